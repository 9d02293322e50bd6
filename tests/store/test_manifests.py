"""The contract of manifests."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autorag.manifest import Manifest, difference
from store.manifests import ManifestRepository
from tests.store.backends import Backend
from tests.store.registered import register

ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=4)
entries = st.dictionaries(ids, st.sampled_from("xyz"), max_size=6)


@pytest.fixture
def app(backend: Backend) -> int:
    return register(backend).id


@pytest.fixture
def manifests(backend: Backend) -> ManifestRepository:
    return backend.repository(ManifestRepository)


def change(manifests: ManifestRepository, app: int, after: Manifest) -> None:
    manifests.change(app, after, difference(manifests.load(app), after))


class TestManifests:
    """What every repository of manifests does."""

    def test_it_is_empty_before_one_came(self, manifests: ManifestRepository, app: int) -> None:
        assert manifests.load(app) == Manifest({})

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(steps=st.lists(entries, min_size=1, max_size=4))
    def test_after_every_change_it_is_what_was_told(
        self, manifests: ManifestRepository, app: int, steps: list[dict[str, str]]
    ) -> None:
        for step in steps:
            after = Manifest(step)
            change(manifests, app, after)
            assert manifests.load(app) == after
            assert manifests.load(app).root == after.root

    def test_documents_that_only_moved_are_there_under_their_new_ids(
        self, manifests: ManifestRepository, app: int
    ) -> None:
        change(manifests, app, Manifest({"a": "1", "b": "2", "c": "3"}))
        after = Manifest({"x": "1", "b": "2", "a": "3"})
        change(manifests, app, after)
        assert manifests.load(app) == after

    def test_apps_do_not_mix(
        self, manifests: ManifestRepository, app: int, backend: Backend
    ) -> None:
        other = register(backend, "other").id
        change(manifests, app, Manifest({"a": "1", "b": "2"}))
        change(manifests, other, Manifest({"a": "9"}))
        change(manifests, app, Manifest({}))
        assert manifests.load(other) == Manifest({"a": "9"})

    def test_many_may_come_and_go_at_once(self, manifests: ManifestRepository, app: int) -> None:
        many = {str(i): "1" for i in range(1_001)}
        change(manifests, app, Manifest(many))
        assert len(manifests.load(app)) == len(many)
        after = Manifest({**dict.fromkeys(many, "2"), "0": "1"})
        change(manifests, app, after)
        assert manifests.load(app) == after
        change(manifests, app, Manifest({}))
        assert manifests.load(app) == Manifest({})
