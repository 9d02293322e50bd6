"""When jobs are begun by themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError
from sqlalchemy import Connection, delete, insert, select, update

from autorag.errors import ConflictError, InputError, NotFoundError
from autorag.jobs import Job, JobKind, Schedule
from store.jobs import JobRepository
from store.repositories import Repository
from store.tables import apps, schedules

FIELDS = 5
LONGEST = 120

CLOCKS_DIFFER_S = 60
"""So much the clocks of machines may differ, or be set back, without a time coming twice."""


class ScheduleRepository(Repository):
    """Schedules. Times that passed while nobody looked are made up for by one job."""

    def add(
        self, kind: JobKind, app_id: int | None, arguments: Mapping[str, Any], cron: str
    ) -> Schedule:
        """Begin such a job at every time of a cron expression, in UTC.

        Raises:
            InputError: not an expression of five fields, or its time never comes.
        """
        now = self._now
        row = {
            "kind": kind,
            "app_id": app_id,
            "arguments": dict(arguments),
            "cron": cron,
            "enabled": True,
            "next_at": next_time(cron, now),
            "created_at": now,
        }
        with self._transaction("the schedule could not be recorded") as connection:
            inserted = connection.execute(insert(schedules), row).inserted_primary_key
            assert inserted is not None
            return _get(connection, inserted[0])

    def get(self, schedule_id: int) -> Schedule:
        """One schedule.

        Raises:
            NotFoundError: there is no such schedule.
        """
        with self._reading() as connection:
            return _get(connection, schedule_id)

    def all(self) -> list[Schedule]:
        """Every schedule, the oldest first."""
        with self._reading() as connection:
            rows = connection.execute(_SCHEDULES.order_by(schedules.c.id))
            return [_schedule(row) for row in rows]

    def change(
        self,
        schedule_id: int,
        *,
        cron: str | None = None,
        enabled: bool | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Schedule:
        """Change what is given; times that passed while it was off, or by its old expression, are
        not made up for.

        Raises:
            NotFoundError: there is no such schedule.
            InputError: as :meth:`add`.
        """
        with self._transaction("the schedule could not be changed") as connection:
            before = _get(connection, schedule_id)
            values: dict[str, Any] = {}
            if cron is not None:
                values["cron"] = cron
            if enabled is not None:
                values["enabled"] = enabled
            if arguments is not None:
                values["arguments"] = dict(arguments)
            if cron is not None or (enabled and not before.enabled):
                values["next_at"] = next_time(cron or before.cron, self._now)
            if values:
                mine = update(schedules).where(schedules.c.id == schedule_id)
                connection.execute(mine.values(values))
            return _get(connection, schedule_id)

    def delete(self, schedule_id: int) -> None:
        """Delete a schedule; jobs that it began stay.

        Raises:
            NotFoundError: there is no such schedule.
        """
        gone = delete(schedules).where(schedules.c.id == schedule_id)
        with self._transaction("the schedule could not be deleted") as connection:
            if connection.execute(gone).rowcount == 0:
                raise _missing(schedule_id)

    def any_due(self) -> bool:
        """Whether :meth:`run_due` would find something; it only reads."""
        with self._reading() as connection:
            due = select(schedules.c.id).where(*self._due()).limit(1)
            return connection.scalar(due) is not None

    def run_due(self, limit: int) -> list[Job]:
        """Queue the jobs of at most ``limit`` schedules that are due and move these on. Of several
        processes that do so at once, one queues each; a time at which such a job is queued or
        running is passed over."""
        query = select(schedules).where(*self._due()).order_by(schedules.c.next_at, schedules.c.id)
        begun = []
        with self._transaction("the schedules could not be run") as connection:
            for row in connection.execute(query.limit(limit)).all():
                values: dict[str, Any] = {"next_at": next_time(row.cron, self._now)}
                job = self._begin(connection, row)
                if job is not None:
                    begun.append(job)
                    values |= {"last_at": self._now, "last_job": job.id}
                moved = update(schedules).where(schedules.c.id == row.id)
                connection.execute(moved.values(values))
        return begun

    def ahead(self) -> list[int]:
        """Schedules that come later than they should: they were moved on when the clock was ahead,
        by more than clocks may differ. It only reads."""
        c, until = schedules.c, self._now + CLOCKS_DIFFER_S
        later = select(c.id, c.cron, c.next_at).where(c.enabled, c.next_at > until)
        with self._reading() as connection:
            rows = connection.execute(later.order_by(c.id)).all()
        return [id_ for id_, cron, next_at in rows if next_at > next_time(cron, until)]

    def set_back(self, ids: Collection[int]) -> None:
        """Let schedules come at the next time of their expressions."""
        c = schedules.c
        with self._transaction("the schedules could not be set back") as connection:
            rows = connection.execute(select(c.id, c.cron).where(c.id.in_(ids))).all()
            for id_, cron in rows:
                moved = update(schedules).where(c.id == id_)
                connection.execute(moved.values(next_at=next_time(cron, self._now)))

    def _due(self) -> tuple[Any, ...]:
        return schedules.c.enabled, schedules.c.next_at <= self._now

    def _begin(self, connection: Connection, row: Any) -> Job | None:
        try:
            queue = JobRepository(connection, self._clock)
            return queue.enqueue(row.kind, row.app_id, row.arguments)
        except ConflictError:
            return None


def next_time(cron: str, now: int) -> int:
    """The first time of a cron expression after ``now`` (seconds since the epoch), in UTC.

    Raises:
        InputError: not an expression of five fields, or its time never comes.
    """
    fields_given = len(cron.split())
    if fields_given != FIELDS or len(cron) > LONGEST:
        raise _refused(cron, "expected five fields: minute, hour, day, month, day of week")
    try:
        return int(next(CronSim(cron, datetime.fromtimestamp(now, UTC))).timestamp())
    except CronSimError as error:
        raise _refused(cron, str(error)) from None
    except StopIteration:
        raise _refused(cron, "its time never comes") from None


_SCHEDULES = select(
    *(apps.c.name if f.name == "app" else schedules.c[f.name] for f in fields(Schedule))
).outerjoin(apps, apps.c.id == schedules.c.app_id)


def _get(connection: Connection, schedule_id: int) -> Schedule:
    row = connection.execute(_SCHEDULES.where(schedules.c.id == schedule_id)).first()
    if row is None:
        raise _missing(schedule_id)
    return _schedule(row)


def _schedule(row: Any) -> Schedule:
    return Schedule(*row)


def _missing(schedule_id: int) -> NotFoundError:
    return NotFoundError(f"there is no schedule {schedule_id}", key="schedule", value=schedule_id)


def _refused(cron: str, why: str) -> InputError:
    return InputError(f"cron = {cron[:LONGEST]!r}: {why}", key="cron", value=cron)
