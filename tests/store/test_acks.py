"""The contract of acknowledgements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autorag.apps import Ack
from store.acks import AckRepository
from tests.store.backends import Backend
from tests.store.registered import register

RECEIVED = Ack("one", 1, "received")
APPLIED = Ack("one", 1, "applied", {"retrieve.k": 5})
FAILED = Ack("one", 1, "failed", error="out of memory")
MISMATCH = {"retrieve.k": {"delivered": 5, "read": 10}}


@pytest.fixture
def app(backend: Backend) -> int:
    return register(backend).id


@pytest.fixture
def acks(backend: Backend) -> AckRepository:
    return backend.repository(AckRepository)


class TestAcks:
    """What every repository of acknowledgements does."""

    def test_there_are_none_at_first(self, acks: AckRepository, app: int) -> None:
        assert acks.of_app(app) == acks.applied(0) == []

    @pytest.mark.parametrize("ack", [RECEIVED, APPLIED, FAILED], ids=lambda a: a.state)
    def test_what_was_said_reads_back_with_its_time(
        self, acks: AckRepository, app: int, backend: Backend, ack: Ack
    ) -> None:
        said = replace(ack, mismatched=MISMATCH)
        recorded = acks.record(app, said)
        assert recorded == replace(said, **{f"{ack.state}_at": backend.clock.now})
        assert acks.of_app(app) == [recorded]

    def test_times_of_earlier_states_are_kept(
        self, acks: AckRepository, app: int, backend: Backend
    ) -> None:
        acks.record(app, RECEIVED)
        backend.clock.advance(5)
        acks.record(app, FAILED)
        backend.clock.advance(5)
        now = backend.clock.now
        last = acks.record(app, APPLIED)
        assert (last.received_at, last.failed_at, last.applied_at) == (now - 10, now - 5, now)
        assert (last.state, last.values, last.error) == ("applied", {"retrieve.k": 5}, None)
        assert acks.of_app(app) == [last]

    @pytest.mark.parametrize("ack", [RECEIVED, APPLIED, FAILED], ids=lambda a: a.state)
    def test_saying_the_same_again_changes_nothing(
        self, acks: AckRepository, app: int, backend: Backend, ack: Ack
    ) -> None:
        first = acks.record(app, ack)
        backend.clock.advance(60)
        assert acks.record(app, ack) == first
        assert acks.of_app(app) == [first]

    @pytest.mark.parametrize("ack", [APPLIED, FAILED], ids=lambda a: a.state)
    def test_late_news_takes_nothing_back(
        self, acks: AckRepository, app: int, backend: Backend, ack: Ack
    ) -> None:
        first = acks.record(app, ack)
        backend.clock.advance(60)
        assert acks.record(app, RECEIVED) == first

    def test_other_values_that_were_read_back_are_news(
        self, acks: AckRepository, app: int, backend: Backend
    ) -> None:
        first = acks.record(app, APPLIED)
        backend.clock.advance(60)
        again = acks.record(app, replace(APPLIED, values={"retrieve.k": 10}, mismatched=MISMATCH))
        assert (again.values, again.mismatched) == ({"retrieve.k": 10}, MISMATCH)
        assert again.applied_at == first.applied_at

    def test_instances_revisions_and_apps_are_told_apart(
        self, acks: AckRepository, app: int, backend: Backend
    ) -> None:
        other = register(backend, "other").id
        for to, instance, revision in ((app, "two", 1), (app, "one", 2), (app, "one", 1)):
            acks.record(to, Ack(instance, revision, "received"))
        acks.record(other, FAILED)
        found = [(a.instance, a.revision, a.state) for a in acks.of_app(app)]
        assert found == [("one", 2, "received"), ("one", 1, "received"), ("two", 1, "received")]
        assert [a.state for a in acks.of_app(other)] == ["failed"]

    def test_what_was_applied_comes_in_the_order_of_time(
        self, acks: AckRepository, app: int, backend: Backend
    ) -> None:
        start = int(backend.clock.now)
        other = register(backend, "other").id
        for to, ack in ((app, APPLIED), (other, FAILED), (other, replace(APPLIED, revision=3))):
            acks.record(to, ack)
            backend.clock.advance(10)
        acks.record(app, replace(APPLIED, instance="two"))
        acks.record(app, Ack("three", 1, "received"))
        assert acks.applied(0) == [
            ("shop", "one", 1, start),
            ("other", "one", 3, start + 20),
            ("shop", "two", 1, start + 30),
        ]

    def test_of_what_was_applied_before_each_instance_has_its_last(
        self, acks: AckRepository, app: int, backend: Backend
    ) -> None:
        start = int(backend.clock.now)
        other = register(backend, "other").id
        for revision in (1, 2, 3, 4):
            acks.record(app, replace(APPLIED, revision=revision))
            backend.clock.advance(10)
        acks.record(other, APPLIED)
        acks.record(app, replace(APPLIED, instance="two"))
        applied = [("shop", "one", n, start + 10 * (n - 1)) for n in (1, 2, 3, 4)]
        new = [("other", "one", 1, start + 40), ("shop", "two", 1, start + 40)]
        assert acks.applied(start + 20)[:3] == applied[1:]
        assert acks.applied(start + 21)[:2] == applied[2:]
        assert acks.applied(start + 40)[0] == applied[3]
        assert sorted(acks.applied(start + 40)[1:]) == new
        assert sorted(acks.applied(start + 41)) == sorted([applied[3], *new])

    def test_the_newest_come_first(self, acks: AckRepository, app: int, backend: Backend) -> None:
        said = [replace(APPLIED, revision=2), RECEIVED, Ack("two", 2, "received"), FAILED]
        for ack in said:
            acks.record(app, ack)
            backend.clock.advance(10)
        found = [(a.instance, a.revision, a.state) for a in acks.of_app(app)]
        assert found == [("one", 1, "failed"), ("two", 2, "received"), ("one", 2, "applied")]
        assert acks.of_app(app, limit=2) == acks.of_app(app)[:2]
        assert [a.instance for a in acks.of_app(app, revision=2)] == ["two", "one"]
        assert acks.of_app(app, revision=3) == []

    def test_a_revision_that_failed_after_it_was_applied_was_applied(
        self, acks: AckRepository, app: int
    ) -> None:
        acks.record(app, APPLIED)
        acks.record(app, FAILED)
        assert [(i, r) for _, i, r, _ in acks.applied(0)] == [("one", 1)]
