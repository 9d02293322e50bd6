"""The contract of registered apps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from autorag.apps import Ack
from autorag.errors import ConflictError, InputError, NotFoundError
from autorag.manifest import Manifest, difference
from store import tables
from store.acks import AckRepository
from store.apps import AppRepository
from store.engine import reading
from store.forgetting import forget
from store.jobs import JobRepository
from store.keys import KeyRepository
from store.manifests import ManifestRepository
from store.repositories import SqlTrialLog, StudyRepository
from store.revisions import RevisionRepository
from store.suggestions import SuggestionRepository
from tests.store.backends import Backend
from tests.store.measured import a_measurement
from tests.store.registered import new_app, register, start_trial

UNSTORABLE = {"a NUL": "a\0b", "half a surrogate pair": "a\ud800b"}

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
"""JSON has no other numbers, and what comes over HTTP is held to that."""

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, json, max_size=3)


@pytest.fixture
def apps(backend: Backend) -> AppRepository:
    return backend.repository(AppRepository)


class TestApps:
    """What every repository of apps does."""

    def test_there_are_none_at_first(self, apps: AppRepository) -> None:
        assert apps.all() == []
        assert apps.by_id(1) is None
        assert apps.versions(["shop"]) == {}

    def test_a_new_app_has_what_it_was_registered_with_and_no_settings(
        self, apps: AppRepository, backend: Backend
    ) -> None:
        app = apps.add(new_app("shop", policy="off", webhook="https://shop/hook"))
        assert (app.name, app.space, app.objective) == ("shop", {"knobs": []}, "max ndcg_at_10")
        assert (app.policy, app.webhook, app.frozen) == ("off", "https://shop/hook", False)
        assert (app.settings, app.pending, app.built) == ({}, {}, {})
        assert (app.revision, app.root) == (None, None)
        assert (app.settings_version, app.documents_version) == (0, 0)
        assert app.created_at == app.changed_at == backend.clock.now
        assert apps.get("shop") == apps.by_id(app.id) == app

    def test_an_app_may_have_the_whole_space(self, apps: AppRepository) -> None:
        assert apps.add(new_app(space=None)).space is None

    def test_a_name_is_there_once(self, apps: AppRepository) -> None:
        app = apps.add(new_app())
        with pytest.raises(ConflictError, match="'shop'") as caught:
            apps.add(new_app(objective="min latency_p95_ms"))
        assert (caught.value.key, caught.value.value) == ("name", "shop")
        assert apps.all() == [app]

    def test_names_are_told_apart_by_case(self, apps: AppRepository) -> None:
        for name in ("shop", "Shop"):
            apps.add(new_app(name))
        assert apps.get("Shop").name == "Shop"

    def test_they_come_by_name(self, apps: AppRepository) -> None:
        for name in ("c", "a", "b"):
            apps.add(new_app(name))
        assert [a.name for a in apps.all()] == ["a", "b", "c"]

    def test_a_name_that_is_not_registered_is_not_found(self, apps: AppRepository) -> None:
        for look in (apps.get, apps.settings):
            with pytest.raises(NotFoundError, match="'nobody'") as caught:
                look("nobody")
            assert (caught.value.key, caught.value.value) == ("app", "nobody")

    def test_a_change_changes_that_and_nothing_else(
        self, apps: AppRepository, backend: Backend
    ) -> None:
        before, other = apps.add(new_app()), apps.add(new_app("other"))
        backend.clock.advance(60)
        apps.change(before.id, docs="docs/", frozen=True, features={"documents": 3})
        after = apps.get("shop")
        assert (after.docs, after.frozen, after.features) == ("docs/", True, {"documents": 3})
        assert (after.created_at, after.changed_at) == (before.created_at, backend.clock.now)
        assert (after.name, after.space, after.queries) == ("shop", before.space, None)
        assert apps.get("other") == other

    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(settings_=objects, pending=objects, built=objects)
    def test_what_is_delivered_reads_back(
        self,
        apps: AppRepository,
        settings_: dict[str, Any],
        pending: dict[str, Any],
        built: dict[str, Any],
    ) -> None:
        known = apps.all() or [apps.add(new_app())]
        apps.change(
            known[0].id,
            settings=settings_,
            pending=pending,
            built=built,
            settings_version=3,
            revision=2,
        )
        app, row = apps.get("shop"), apps.settings("shop")
        assert (app.settings, app.pending, app.built) == (settings_, pending, built)
        assert (row.app_id, row.revision, row.version, row.frozen) == (app.id, 2, 3, False)
        assert (row.settings, row.pending) == (settings_, pending)

    def test_versions_are_those_of_the_names_that_are_registered(self, apps: AppRepository) -> None:
        one, two = (apps.add(new_app(name)) for name in ("one", "two"))
        apps.change(two.id, settings_version=7)
        wanted = {"one": (one.id, 0), "two": (two.id, 7)}
        assert apps.versions(["one", "two", "nobody"]) == wanted

    def test_deleting_an_app_deletes_what_belongs_to_it_and_nothing_else(
        self, apps: AppRepository, backend: Backend
    ) -> None:
        kept, gone = (everything_of(backend, name) for name in ("kept", "gone"))
        before = rows(backend)
        assert set(before.values()) == {2}
        apps.delete(gone)
        assert rows(backend) == {**dict.fromkeys(TABLES, 1), "studies": 2, "trials": 2}
        assert [a.id for a in apps.all()] == [kept]
        forget(backend.engine, backend.clock, days=1)
        assert rows(backend) == dict.fromkeys(TABLES, 1)

    def test_studies_of_a_deleted_app_are_not_found_any_more(
        self, apps: AppRepository, backend: Backend
    ) -> None:
        app = register(backend)
        studies = backend.repository(StudyRepository)
        study = start_trial(backend, app)
        SqlTrialLog(backend.engine, backend.clock, study, "search").finish(
            0, a_measurement("q"), 1.0
        )
        assert len(studies.measured_configs("w", besides=0)) == 1
        apps.delete(app.id)
        studies.finish(study, {})  # by a tune that has not heard of it
        assert studies.measured(app.id, 10) == studies.measured_configs("w", besides=0) == []
        assert not studies.open({"hash": "w"}, {"seed": 7}, app_id=app.id).resumed

    def test_a_number_is_never_given_again(self, apps: AppRepository) -> None:
        first = apps.add(new_app())
        apps.delete(first.id)
        assert apps.add(new_app()).id > first.id

    @pytest.mark.parametrize("text", UNSTORABLE.values(), ids=UNSTORABLE)
    def test_a_text_that_cannot_be_stored_is_refused_or_kept(
        self, apps: AppRepository, text: str
    ) -> None:
        try:
            assert apps.add(new_app(objective=text)).objective == text
        except InputError as error:
            said = str(error)
        else:
            return
        assert "could not be registered" in said
        assert apps.all() == []

    @pytest.mark.parametrize("text", UNSTORABLE.values(), ids=UNSTORABLE)
    def test_every_text_can_be_stored_within_json(self, apps: AppRepository, text: str) -> None:
        assert apps.add(new_app(space={text: [text]})).space == {text: [text]}

    def test_a_number_that_no_database_holds_is_refused(self, apps: AppRepository) -> None:
        app = apps.add(new_app())
        with pytest.raises(InputError, match="could not be changed"):
            apps.change(app.id, settings_version=2**70)
        assert apps.get("shop") == app


TABLES = (
    *("apps", "revisions", "acks", "documents", "keys", "jobs"),
    *("studies", "trials", "suggestions"),
)


def everything_of(backend: Backend, name: str) -> int:
    """An app with a row in every table that belongs to it."""
    app = register(backend, name)
    backend.repository(RevisionRepository).add(app.id, {}, "registered", None)
    backend.repository(AckRepository).record(app.id, Ack("one", 1, "received"))
    backend.repository(KeyRepository).add_for_app(app.id, name, ["ack"])
    backend.repository(JobRepository).enqueue("tune", app.id, {})
    after = Manifest({"a": "1"})
    manifests = backend.repository(ManifestRepository)
    manifests.change(app.id, after, difference(Manifest({}), after))
    study = start_trial(backend, app)
    backend.repository(SuggestionRepository).add(app.id, study, 0, "client", 1)
    return app.id


def rows(backend: Backend) -> dict[str, int]:
    """How many rows each table has that belongs to apps."""
    with reading(backend.engine) as connection:
        return {
            name: connection.scalar(select(func.count()).select_from(tables.metadata.tables[name]))
            or 0
            for name in TABLES
        }
