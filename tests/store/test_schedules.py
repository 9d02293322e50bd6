"""Schedules: every time once, on every kind of database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from autorag.errors import InputError, NotFoundError
from autorag.jobs import Schedule
from store.jobs import JobRepository
from store.schedules import CLOCKS_DIFFER_S, ScheduleRepository, next_time
from tests.fakes import ManualClock
from tests.store import backends
from tests.store.backends import Backend
from tests.store.processes import run_together
from tests.store.test_jobs import app_named

NIGHTLY = "30 3 * * *"
HOURLY = "0 * * * *"
DAY_S = 86_400

RUN_DUE = """
from autorag.ports import SystemClock
from store.engine import open_database
from store.schedules import ScheduleRepository
folder, me, url = sys.argv[1:4]
schedules = ScheduleRepository(open_database(url), SystemClock())
meet(folder, me)
for job in schedules.run_due(100):
    Path(folder, f"job{job.id}by{me}").touch()
"""


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


backend, postgres = backends.backend, backends.postgres


@pytest.fixture
def clock(backend: Backend) -> ManualClock:
    backend.clock.now = at("2026-03-01T12:00:00")
    return backend.clock


@pytest.fixture
def schedules(backend: Backend, clock: ManualClock) -> ScheduleRepository:
    return backend.repository(ScheduleRepository)


@pytest.fixture
def jobs(backend: Backend, clock: ManualClock) -> JobRepository:
    return backend.repository(JobRepository)


def ended(jobs: JobRepository, job_id: int) -> None:
    jobs.cancel(job_id)


def test_a_schedule_tells_when_it_comes_next(
    schedules: ScheduleRepository, clock: ManualClock
) -> None:
    made = schedules.add("prune", None, {"a": 1}, NIGHTLY)
    assert schedules.get(made.id) == made
    assert schedules.all() == [made]
    assert made == Schedule(
        id=made.id,
        kind="prune",
        app=None,
        app_id=None,
        arguments={"a": 1},
        cron=NIGHTLY,
        enabled=True,
        next_at=at("2026-03-02T03:30:00"),
        last_at=None,
        last_job=None,
        created_at=int(clock.now),
    )


def test_nothing_is_queued_before_its_time(
    schedules: ScheduleRepository, clock: ManualClock, jobs: JobRepository
) -> None:
    made = schedules.add("prune", None, {}, NIGHTLY)
    clock.now = made.next_at - 1
    assert not schedules.any_due()
    assert schedules.run_due(10) == []
    assert jobs.newest(10) == []


def test_a_job_is_queued_at_its_time(
    backend: Backend,
    schedules: ScheduleRepository,
    clock: ManualClock,
    jobs: JobRepository,
) -> None:
    app = app_named(backend, "shop")
    made = schedules.add("tune", app, {"trials": 5}, NIGHTLY)
    clock.now = made.next_at
    assert schedules.any_due()
    (job,) = schedules.run_due(10)
    assert (job.kind, job.app, job.arguments, job.state) == (
        "tune",
        "shop",
        {"trials": 5},
        "queued",
    )
    assert jobs.newest(10) == [job]
    after = schedules.get(made.id)
    assert after.next_at == made.next_at + DAY_S
    assert (after.last_at, after.last_job) == (made.next_at, job.id)
    assert schedules.run_due(10) == []


def test_times_that_were_missed_are_made_up_for_once(
    schedules: ScheduleRepository, clock: ManualClock, jobs: JobRepository
) -> None:
    made = schedules.add("prune", None, {}, HOURLY)
    clock.advance(10 * DAY_S + 60)
    (job,) = schedules.run_due(10)
    ended(jobs, job.id)
    assert schedules.run_due(10) == []
    assert schedules.get(made.id).next_at == at("2026-03-11T13:00:00")


def test_a_time_is_passed_over_while_such_a_job_is_live(
    schedules: ScheduleRepository, clock: ManualClock, jobs: JobRepository
) -> None:
    made = schedules.add("prune", None, {}, HOURLY)
    clock.now = made.next_at
    (job,) = schedules.run_due(10)
    clock.advance(3600)
    assert schedules.run_due(10) == []
    after = schedules.get(made.id)
    assert (after.next_at, after.last_job) == (made.next_at + 7200, job.id)
    ended(jobs, job.id)
    clock.advance(3600)
    assert len(schedules.run_due(10)) == 1


def test_one_that_is_passed_over_holds_back_no_other(
    schedules: ScheduleRepository, clock: ManualClock, jobs: JobRepository
) -> None:
    jobs.enqueue("prune", None, {})
    schedules.add("prune", None, {}, HOURLY)
    schedules.add("tune", None, {}, HOURLY)
    clock.advance(3600)
    assert [j.kind for j in schedules.run_due(10)] == ["tune"]


def test_no_more_are_run_than_asked_for(
    backend: Backend,
    schedules: ScheduleRepository,
    clock: ManualClock,
) -> None:
    for i in range(3):
        schedules.add("tune", app_named(backend, f"app{i}"), {}, HOURLY)
    clock.advance(3600)
    assert [len(schedules.run_due(2)) for _ in range(3)] == [2, 1, 0]


def test_a_schedule_that_is_off_rests_and_makes_up_for_nothing(
    schedules: ScheduleRepository, clock: ManualClock
) -> None:
    made = schedules.add("prune", None, {}, HOURLY)
    assert not schedules.change(made.id, enabled=False).enabled
    clock.advance(5 * 3600)
    assert schedules.run_due(10) == []
    assert schedules.change(made.id, enabled=True).next_at == int(clock.now) + 3600
    assert schedules.run_due(10) == []


def test_what_a_clock_that_was_ahead_put_off_is_set_back(
    schedules: ScheduleRepository, clock: ManualClock, jobs: JobRepository
) -> None:
    late, right = (schedules.add("prune", None, {}, c) for c in (HOURLY, "0 0 29 2 *"))
    off = schedules.add("tune", None, {}, HOURLY)
    schedules.change(off.id, enabled=False)
    clock.advance(400 * DAY_S)
    (job,) = schedules.run_due(10)
    ended(jobs, job.id)
    clock.advance(-400 * DAY_S)
    assert schedules.ahead() == [late.id]
    schedules.set_back([late.id])
    assert schedules.ahead() == []
    assert schedules.get(late.id).next_at == late.next_at
    assert schedules.get(right.id) == right
    clock.now = late.next_at
    assert len(schedules.run_due(10)) == 1


def test_clocks_that_differ_a_little_let_no_time_come_twice(
    schedules: ScheduleRepository, clock: ManualClock
) -> None:
    made = schedules.add("prune", None, {}, HOURLY)
    clock.now = made.next_at
    schedules.run_due(10)
    clock.advance(-CLOCKS_DIFFER_S)
    assert schedules.ahead() == []


def test_what_is_not_given_stays(schedules: ScheduleRepository) -> None:
    made = schedules.add("prune", None, {"a": 1}, HOURLY)
    assert schedules.change(made.id) == made
    assert schedules.change(made.id, enabled=True) == made
    changed = schedules.change(made.id, cron=NIGHTLY, arguments={})
    assert (changed.cron, changed.arguments) == (NIGHTLY, {})
    assert changed.next_at == at("2026-03-02T03:30:00")


def test_a_bad_change_changes_nothing(schedules: ScheduleRepository) -> None:
    made = schedules.add("prune", None, {}, HOURLY)
    with pytest.raises(InputError):
        schedules.change(made.id, enabled=False, cron="often")
    assert schedules.get(made.id) == made


def test_a_deleted_schedule_is_gone(
    schedules: ScheduleRepository, clock: ManualClock, jobs: JobRepository
) -> None:
    made = schedules.add("prune", None, {}, HOURLY)
    clock.advance(3600)
    (job,) = schedules.run_due(10)
    schedules.delete(made.id)
    assert schedules.all() == []
    assert jobs.get(job.id) == job


def test_a_missing_schedule_is_named(schedules: ScheduleRepository) -> None:
    for ask in (schedules.get, schedules.change, schedules.delete):
        with pytest.raises(NotFoundError, match="no schedule 7"):
            ask(7)


def test_of_many_processes_one_queues_each_job(
    backend: Backend,
    tmp_path: Path,
) -> None:
    if backend.kind == "reopened":
        pytest.skip("one way of opening the file is enough for races")
    past = ManualClock(at("2026-03-01T12:00:00"))
    for i in range(20):
        app = app_named(backend, f"app{i}")
        ScheduleRepository(backend.engine, past).add("tune", app, {}, HOURLY)
    assert run_together(RUN_DUE, tmp_path, 4, backend.url) == [""] * 4
    begun = [path.name.split("by")[0] for path in tmp_path.glob("job*")]
    assert len(begun) == len(set(begun)) == 20
    assert len(JobRepository(backend.engine, past).newest(100)) == 20


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "often",
        "* * * *",
        "* * * * * *",
        "@daily",
        "60 * * * *",
        "0 0 30 2 *",
        "0 0 * * MON-",
        "*/0 * * * *",
        "0," * 80 + "0 * * * *",
    ],
)
def test_what_is_no_time_is_named(cron: str) -> None:
    with pytest.raises(InputError) as refused:
        next_time(cron, 0)
    assert (refused.value.key, refused.value.value) == ("cron", cron)


def test_times_are_utc_and_after_now() -> None:
    now = at("2026-03-29T01:30:00")
    assert next_time("30 1 * * *", now) == now + DAY_S
    assert next_time("0 2 * * sun", now) == now + 1800
    assert next_time("0 0 29 2 *", now) == at("2028-02-29T00:00:00")
