"""The contract of revisions."""

from __future__ import annotations

import pytest

from autorag.errors import ConflictError, NotFoundError
from store.revisions import RevisionRepository
from tests.store.backends import Backend
from tests.store.registered import register


@pytest.fixture
def app(backend: Backend) -> int:
    return register(backend).id


@pytest.fixture
def revisions(backend: Backend) -> RevisionRepository:
    return backend.repository(RevisionRepository)


def states(revisions: RevisionRepository, app: int) -> list[str]:
    """Of every revision, the oldest first."""
    return [r.state for r in revisions.newest(app, 100)][::-1]


class TestRevisions:
    """What every repository of revisions does."""

    def test_there_are_none_at_first(self, revisions: RevisionRepository, app: int) -> None:
        assert revisions.newest(app, 10) == []

    def test_a_new_one_is_proposed_and_reads_back(
        self, revisions: RevisionRepository, app: int, backend: Backend
    ) -> None:
        config = {"retrieve.k": 5, "retrieve.alpha": 0.5, "index.kind": "hnsw"}
        new = revisions.add(app, config, "tune", "better by é")
        assert (new.number, new.config, new.state) == (1, config, "proposed")
        assert new.delivered is None
        assert (new.origin, new.reason) == ("tune", "better by é")
        assert (new.created_at, new.activated_at, new.ended_at) == (backend.clock.now, None, None)
        assert revisions.get(app, 1) == new

    def test_each_app_counts_its_own(
        self, revisions: RevisionRepository, app: int, backend: Backend
    ) -> None:
        other = register(backend, "other").id
        numbers = [revisions.add(a, {}, "app", None).number for a in (app, app, other, app)]
        assert numbers == [1, 2, 1, 3]
        assert [r.number for r in revisions.newest(other, 10)] == [1]

    def test_one_that_is_not_there_is_not_found(
        self, revisions: RevisionRepository, app: int
    ) -> None:
        revisions.add(app, {}, "app", None)
        for look in (revisions.get, lambda a, n: revisions.activate(a, n, {})):
            with pytest.raises(NotFoundError, match="revision 2") as caught:
                look(app, 2)
            assert (caught.value.key, caught.value.value) == ("revision", 2)

    def test_activating_one_supersedes_what_was_before_it(
        self, revisions: RevisionRepository, app: int, backend: Backend
    ) -> None:
        for _ in range(4):
            revisions.add(app, {}, "app", None)
        revisions.activate(app, 1, {})
        assert states(revisions, app) == ["active", "proposed", "proposed", "proposed"]
        backend.clock.advance(60)
        revisions.activate(app, 3, {"retrieve.k": 5})
        assert states(revisions, app) == ["superseded", "superseded", "active", "proposed"]
        first, second, third = (revisions.get(app, n) for n in (1, 2, 3))
        now = backend.clock.now
        assert (first.activated_at, first.ended_at) == (now - 60, now)
        assert (second.activated_at, second.ended_at) == (None, now)
        assert (third.activated_at, third.ended_at) == (now, None)
        delivered = [r.delivered for r in (first, second, third)]
        assert delivered == [{}, None, {"retrieve.k": 5}]

    def test_one_is_active_at_most(self, revisions: RevisionRepository, app: int) -> None:
        for _ in range(3):
            revisions.add(app, {}, "app", None)
        revisions.activate(app, 2, {})
        with pytest.raises(ConflictError, match="revision 1 is superseded"):
            revisions.activate(app, 1, {})
        with pytest.raises(ConflictError, match="revision 2 is active"):
            revisions.activate(app, 2, {})
        assert states(revisions, app) == ["superseded", "active", "proposed"]

    def test_another_apps_revisions_stay(
        self, revisions: RevisionRepository, app: int, backend: Backend
    ) -> None:
        other = register(backend, "other").id
        for a in (app, other, app):
            number = revisions.add(a, {}, "app", None).number
            revisions.activate(a, number, {})
        assert states(revisions, other) == ["active"]

    def test_the_newest_come_first_page_by_page(
        self, revisions: RevisionRepository, app: int
    ) -> None:
        for _ in range(5):
            revisions.add(app, {}, "app", None)
        assert [r.number for r in revisions.newest(app, 2)] == [5, 4]
        assert [r.number for r in revisions.newest(app, 2, before=4)] == [3, 2]
        assert [r.number for r in revisions.newest(app, 9, before=2)] == [1]
        assert revisions.newest(app, 9, before=1) == []
