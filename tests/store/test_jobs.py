"""Jobs: claimed once, ended once, on every kind of database."""

from __future__ import annotations

from pathlib import Path

import pytest

from autorag.errors import ConflictError, NotFoundError
from autorag.jobs import STATES, Job
from store.apps import AppRepository, NewApp
from store.jobs import (
    ERROR_CHARS,
    FIRST_PAUSE_S,
    JITTER,
    LONGEST_PAUSE_S,
    WORKER_DIED,
    JobRepository,
    pause_s,
)
from store.repositories import StudyRepository
from tests.fakes import ManualClock
from tests.store import backends
from tests.store.backends import Backend
from tests.store.processes import run_together

LEASE_S = 30
CLAIMERS, JOBS = 8, 200

CLAIM_ALL = """
from autorag.ports import SystemClock
from store.engine import open_database
from store.jobs import JobRepository
folder, me, url = sys.argv[1:4]
jobs = JobRepository(open_database(url), SystemClock())
meet(folder, me)
mine = []
while (job := jobs.claim(f"worker{me}-{len(mine)}", 600)) is not None:
    mine.append(job.id)
Path(folder, f"claimed{me}").write_text(" ".join(map(str, mine)))
"""

ENQUEUE_ONE = """
from autorag.errors import ConflictError
from autorag.ports import SystemClock
from store.engine import open_database
from store.jobs import JobRepository
folder, me, url = sys.argv[1:4]
jobs = JobRepository(open_database(url), SystemClock())
meet(folder, me)
for _ in range(20):
    try:
        Path(folder, f"queued{jobs.enqueue('prune', None, {}).id}").touch()
    except ConflictError as error:
        assert error.key == "kind" and isinstance(error.value, int)
"""


backend, postgres = backends.backend, backends.postgres


@pytest.fixture
def clock(backend: Backend) -> ManualClock:
    return backend.clock


@pytest.fixture
def jobs(backend: Backend) -> JobRepository:
    return backend.repository(JobRepository)


def app_named(backend: Backend, name: str) -> int:
    apps = AppRepository(backend.engine, ManualClock())
    return apps.add(NewApp(name, None, "max ndcg_at_10", "auto", None)).id


def claimed(jobs: JobRepository, lease: str = "mine") -> Job:
    job = jobs.claim(lease, LEASE_S)
    assert job is not None
    return job


class TestQueueing:
    def test_a_new_job_waits_for_a_worker(self, jobs: JobRepository, clock: ManualClock) -> None:
        job = jobs.enqueue("prune", None, {"deep": [1, {"a": None}]})
        assert jobs.get(job.id) == job
        assert (job.state, job.attempts, job.app, job.app_id) == ("queued", 0, None, None)
        assert job.arguments == {"deep": [1, {"a": None}]}
        assert job.due_at == job.created_at == int(clock.now)
        assert (job.lease, job.progress, job.result, job.error) == (None,) * 4

    def test_a_job_knows_the_name_of_its_app(self, backend: Backend, jobs: JobRepository) -> None:
        app = app_named(backend, "shop")
        job = jobs.enqueue("tune", app, {})
        assert (job.app, job.app_id) == ("shop", app)

    def test_one_of_a_kind_and_app_is_live_at_a_time(
        self,
        backend: Backend,
        jobs: JobRepository,
    ) -> None:
        shop, blog = app_named(backend, "shop"), app_named(backend, "blog")
        first = jobs.enqueue("tune", shop, {})
        jobs.enqueue("tune", blog, {})
        jobs.enqueue("tune", None, {})
        jobs.enqueue("prune", shop, {})
        with pytest.raises(ConflictError) as refused:
            jobs.enqueue("tune", shop, {})
        assert (refused.value.key, refused.value.value) == ("kind", first.id)

    @pytest.mark.parametrize("end", ["finish", "cancel", "fail"])
    def test_when_it_has_ended_the_next_may_come(self, jobs: JobRepository, end: str) -> None:
        job = jobs.enqueue("prune", None, {})
        if end == "cancel":
            jobs.cancel(job.id)
        else:
            claimed(jobs)
            assert (
                jobs.finish(job.id, "mine", {})
                if end == "finish"
                else jobs.fail(job.id, "mine", "no", retry=False)
            )
        assert jobs.enqueue("prune", None, {}).id > job.id

    def test_a_missing_job_is_named(self, jobs: JobRepository) -> None:
        for ask in (jobs.get, jobs.cancel, jobs.retry):
            with pytest.raises(NotFoundError, match="no job 7"):
                ask(7)

    def test_the_newest_come_first(self, backend: Backend, jobs: JobRepository) -> None:
        app = app_named(backend, "shop")
        one = jobs.enqueue("prune", None, {})
        two = jobs.enqueue("tune", None, {})
        three = jobs.enqueue("tune", app, {})
        jobs.cancel(two.id)
        assert [j.id for j in jobs.newest(10)] == [three.id, two.id, one.id]
        assert [j.id for j in jobs.newest(2)] == [three.id, two.id]
        assert [j.id for j in jobs.newest(10, before=three.id)] == [two.id, one.id]
        assert [j.id for j in jobs.newest(10, state="cancelled")] == [two.id]
        assert [j.id for j in jobs.newest(10, kind="tune")] == [three.id, two.id]
        assert [j.id for j in jobs.newest(10, app_id=app)] == [three.id]

    def test_every_state_is_counted(self, jobs: JobRepository) -> None:
        assert jobs.counts() == dict.fromkeys(STATES, 0)
        jobs.enqueue("tune", None, {})
        jobs.cancel(jobs.enqueue("prune", None, {}).id)
        assert jobs.counts() == {**dict.fromkeys(STATES, 0), "queued": 1, "cancelled": 1}

    def test_the_jobs_of_an_app_go_with_it(self, backend: Backend, jobs: JobRepository) -> None:
        app = app_named(backend, "shop")
        jobs.enqueue("tune", app, {})
        AppRepository(backend.engine, ManualClock()).delete(app)
        assert jobs.newest(10) == []


class TestWorking:
    def test_without_jobs_nothing_is_claimed(self, jobs: JobRepository) -> None:
        assert not jobs.any_due()
        assert jobs.claim("mine", LEASE_S) is None

    def test_what_was_due_first_is_claimed_first(
        self, jobs: JobRepository, clock: ManualClock
    ) -> None:
        now = int(clock.now)
        late = jobs.enqueue("tune", None, {}, due_at=now - 1)
        early = jobs.enqueue("prune", None, {}, due_at=now - 2)
        assert [claimed(jobs, str(i)).id for i in range(2)] == [early.id, late.id]
        assert jobs.claim("more", LEASE_S) is None

    def test_only_jobs_of_some_kinds_are_claimed(self, jobs: JobRepository) -> None:
        jobs.enqueue("tune", None, {})
        assert not jobs.any_due(["prune"])
        assert jobs.claim("a", LEASE_S, ["prune"]) is None
        assert jobs.claim("b", LEASE_S, []) is None
        prune = jobs.enqueue("prune", None, {})
        assert jobs.any_due(["prune"])
        claimed = jobs.claim("c", LEASE_S, ["prune"])
        assert claimed is not None
        assert claimed.id == prune.id

    def test_a_claimed_job_is_held_for_a_while(
        self, jobs: JobRepository, clock: ManualClock
    ) -> None:
        jobs.enqueue("prune", None, {})
        job = claimed(jobs)
        assert (job.state, job.attempts, job.lease) == ("running", 1, "mine")
        assert job.lease_until == int(clock.now) + LEASE_S
        assert job.started_at == int(clock.now)

    def test_a_job_is_not_claimed_before_it_is_due(
        self, jobs: JobRepository, clock: ManualClock
    ) -> None:
        jobs.enqueue("prune", None, {}, due_at=int(clock.now) + 5)
        assert not jobs.any_due()
        assert jobs.claim("mine", LEASE_S) is None
        clock.advance(5)
        assert jobs.any_due()
        claimed(jobs)

    def test_a_lease_that_is_renewed_lasts(self, jobs: JobRepository, clock: ManualClock) -> None:
        job = jobs.enqueue("prune", None, {})
        claimed(jobs)
        for done in range(5):
            clock.advance(LEASE_S - 1)
            assert jobs.beat(job.id, "mine", LEASE_S, {"done": done}) == "go on"
            assert not jobs.any_due()
        assert jobs.beat(job.id, "mine", LEASE_S, None) == "go on"
        assert jobs.get(job.id).progress == {"done": 4}

    def test_after_its_lease_a_job_is_somebody_elses(
        self, jobs: JobRepository, clock: ManualClock
    ) -> None:
        job = jobs.enqueue("prune", None, {})
        claimed(jobs)
        clock.advance(LEASE_S)
        again = claimed(jobs, "theirs")
        assert (again.attempts, again.lease, again.error) == (2, "theirs", WORKER_DIED)
        assert jobs.beat(job.id, "mine", LEASE_S, {"done": 1}) == "lost"
        assert not jobs.finish(job.id, "mine", {"late": True})
        assert not jobs.fail(job.id, "mine", "late", retry=True)
        assert not jobs.end_cancelled(job.id, "mine")
        assert not jobs.release(job.id, "mine")
        assert jobs.get(job.id) == again

    def test_a_job_that_kills_its_workers_is_dead_in_the_end(
        self, jobs: JobRepository, clock: ManualClock
    ) -> None:
        job = jobs.enqueue("prune", None, {}, most_attempts=2)
        for attempt in range(2):
            claimed(jobs, str(attempt))
            clock.advance(LEASE_S)
        assert jobs.claim("third", LEASE_S) is None
        dead = jobs.get(job.id)
        assert (dead.state, dead.error, dead.lease) == ("dead", WORKER_DIED, None)
        assert dead.ended_at == int(clock.now)

    def test_a_dead_one_does_not_hide_the_next(
        self, jobs: JobRepository, clock: ManualClock
    ) -> None:
        jobs.enqueue("prune", None, {}, most_attempts=1)
        claimed(jobs)
        clock.advance(LEASE_S)
        second = jobs.enqueue("tune", None, {})
        assert claimed(jobs, "other").id == second.id

    def test_a_finished_job_keeps_its_result(self, jobs: JobRepository, clock: ManualClock) -> None:
        job = jobs.enqueue("prune", None, {})
        claimed(jobs)
        clock.advance(3)
        assert jobs.finish(job.id, "mine", {"deleted": 3})
        done = jobs.get(job.id)
        assert (done.state, done.result, done.error) == ("done", {"deleted": 3}, None)
        assert (done.ended_at, done.lease) == (int(clock.now), None)
        assert not jobs.finish(job.id, "mine", {"deleted": 4})

    @pytest.mark.parametrize(
        ("told", "kept"),
        [("a\0b", "ab"), ("a\ud800b", "a?b"), ("ä" * 5_000, "ä" * (ERROR_CHARS - 1) + "…")],
    )
    def test_any_failure_can_be_recorded(self, jobs: JobRepository, told: str, kept: str) -> None:
        job = jobs.enqueue("prune", None, {})
        claimed(jobs)
        assert jobs.fail(job.id, "mine", told, retry=False)
        assert jobs.get(job.id).error == kept

    def test_a_failed_job_is_tried_again_after_growing_pauses(
        self, jobs: JobRepository, clock: ManualClock
    ) -> None:
        job = jobs.enqueue("prune", None, {}, most_attempts=3)
        for attempt in (1, 2):
            claimed(jobs)
            assert jobs.fail(job.id, "mine", "refused", retry=True)
            waiting = jobs.get(job.id)
            assert (waiting.state, waiting.error) == ("queued", "refused")
            assert waiting.due_at == int(clock.now) + pause_s(job.id, attempt)
            assert not jobs.any_due()
            clock.now = waiting.due_at
        claimed(jobs)
        jobs.fail(job.id, "mine", "refused again", retry=True)
        dead = jobs.get(job.id)
        assert (dead.state, dead.attempts, dead.error) == ("dead", 3, "refused again")

    def test_what_cannot_go_better_is_not_tried_again(self, jobs: JobRepository) -> None:
        job = jobs.enqueue("prune", None, {})
        claimed(jobs)
        jobs.fail(job.id, "mine", "no such thing", retry=False)
        assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == ("dead", 1)

    def test_a_released_job_did_not_use_an_attempt(self, jobs: JobRepository) -> None:
        job = jobs.enqueue("prune", None, {}, most_attempts=1)
        for lease in ("mine", "theirs"):
            assert claimed(jobs, lease).attempts == 1
            assert jobs.release(job.id, lease)
            assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == ("queued", 0)


class TestCancelling:
    def test_a_job_that_waits_is_cancelled_at_once(self, jobs: JobRepository) -> None:
        job = jobs.cancel(jobs.enqueue("prune", None, {}).id)
        assert (job.state, job.cancelling) == ("cancelled", False)
        assert jobs.claim("mine", LEASE_S) is None

    def test_a_job_that_runs_is_asked_to_stop(self, jobs: JobRepository) -> None:
        job = jobs.enqueue("prune", None, {})
        claimed(jobs)
        for _ in range(2):
            asked = jobs.cancel(job.id)
            assert (asked.state, asked.cancelling) == ("running", True)
        assert jobs.beat(job.id, "mine", LEASE_S, None) == "cancelling"
        assert jobs.end_cancelled(job.id, "mine")
        assert jobs.get(job.id).state == "cancelled"

    def test_an_ended_job_cannot_be_cancelled(self, jobs: JobRepository) -> None:
        job = jobs.enqueue("prune", None, {})
        jobs.cancel(job.id)
        with pytest.raises(ConflictError, match="is cancelled"):
            jobs.cancel(job.id)

    @pytest.mark.parametrize("how", ["fails", "is released", "loses its worker"])
    def test_a_job_that_was_to_stop_is_not_tried_again(
        self, jobs: JobRepository, clock: ManualClock, how: str
    ) -> None:
        job = jobs.enqueue("prune", None, {})
        claimed(jobs)
        jobs.cancel(job.id)
        if how == "fails":
            assert jobs.fail(job.id, "mine", "broken", retry=True)
        elif how == "is released":
            assert jobs.release(job.id, "mine")
        else:
            clock.advance(LEASE_S)
            assert jobs.claim("theirs", LEASE_S) is None
        assert jobs.get(job.id).state == "cancelled"

    def test_work_that_was_done_before_it_could_stop_is_done(self, jobs: JobRepository) -> None:
        job = jobs.enqueue("prune", None, {})
        claimed(jobs)
        jobs.cancel(job.id)
        assert jobs.finish(job.id, "mine", {})
        assert jobs.get(job.id).state == "done"


class TestAgain:
    def test_a_dead_job_can_be_tried_again(self, jobs: JobRepository, clock: ManualClock) -> None:
        job = jobs.enqueue("prune", None, {"a": 1}, most_attempts=1)
        claimed(jobs)
        jobs.fail(job.id, "mine", "refused", retry=True)
        clock.advance(100)
        again = jobs.retry(job.id)
        assert (again.state, again.attempts, again.error) == ("queued", 0, None)
        assert (again.due_at, again.ended_at) == (int(clock.now), None)
        assert claimed(jobs).arguments == {"a": 1}

    def test_a_cancelled_job_can_be_tried_again(self, jobs: JobRepository) -> None:
        job = jobs.enqueue("prune", None, {})
        claimed(jobs)
        jobs.cancel(job.id)
        jobs.end_cancelled(job.id, "mine")
        jobs.retry(job.id)
        claimed(jobs, "theirs")
        assert jobs.beat(job.id, "theirs", LEASE_S, None) == "go on"

    def test_others_cannot(self, jobs: JobRepository) -> None:
        job = jobs.enqueue("prune", None, {})
        with pytest.raises(ConflictError, match="is queued"):
            jobs.retry(job.id)
        claimed(jobs)
        jobs.finish(job.id, "mine", {})
        with pytest.raises(ConflictError, match="is done"):
            jobs.retry(job.id)

    def test_nor_while_another_of_its_kind_is_live(self, jobs: JobRepository) -> None:
        old = jobs.enqueue("prune", None, {})
        jobs.cancel(old.id)
        new = jobs.enqueue("prune", None, {})
        with pytest.raises(ConflictError) as refused:
            jobs.retry(old.id)
        assert (refused.value.key, refused.value.value) == ("kind", new.id)
        assert jobs.get(old.id).state == "cancelled"


@pytest.fixture
def many(backend: Backend) -> list[int]:
    """Jobs for as many apps, so that all are live at once."""
    if backend.kind == "reopened":
        pytest.skip("one way of opening the file is enough for races")
    jobs = JobRepository(backend.engine, ManualClock())
    return [jobs.enqueue("tune", app_named(backend, f"app{i}"), {}).id for i in range(JOBS)]


def test_of_many_workers_one_claims_each_job(
    backend: Backend,
    many: list[int],
    tmp_path: Path,
) -> None:
    assert run_together(CLAIM_ALL, tmp_path, CLAIMERS, backend.url) == [""] * CLAIMERS
    shares = [(tmp_path / f"claimed{i}").read_text().split() for i in range(CLAIMERS)]
    assert sorted(int(id_) for share in shares for id_ in share) == many
    left = JobRepository(backend.engine, ManualClock()).newest(JOBS)
    assert {(j.state, j.attempts) for j in left} == {("running", 1)}


def test_of_many_callers_one_queues_a_job(backend: Backend, tmp_path: Path) -> None:
    assert run_together(ENQUEUE_ONE, tmp_path, CLAIMERS, backend.url) == [""] * CLAIMERS
    assert len(list(tmp_path.glob("queued*"))) == 1
    assert len(JobRepository(backend.engine, ManualClock()).newest(10)) == 1


def test_pauses_grow_up_to_a_limit() -> None:
    for job in range(50):
        pauses = [pause_s(job, attempts) for attempts in range(1, 100)]
        assert FIRST_PAUSE_S <= pauses[0] <= FIRST_PAUSE_S * (1 + JITTER) + 1
        assert pauses[:4] == sorted(pauses[:4])
        assert all(p <= LONGEST_PAUSE_S * (1 + JITTER) for p in pauses)
        assert pauses == [pause_s(job, attempts) for attempts in range(1, 100)]
    assert len({pause_s(job, 8) for job in range(50)}) > 10


def test_studies_of_two_apps_are_two(backend: Backend) -> None:
    studies = StudyRepository(backend.engine, ManualClock())
    nobodys, shops, blogs = (
        studies.open({"hash": "w"}, {"seed": 0}, app_id=app) for app in (None, 1, 2)
    )
    assert len({nobodys.id, shops.id, blogs.id}) == 3
    again = studies.open({"hash": "w"}, {"seed": 0}, app_id=1)
    assert (again.id, again.resumed) == (shops.id, True)
