"""Background work: rows that workers claim by lease.

A lease is a token that the worker makes up. Whoever holds it renews it while it works; once it has
expired anybody may claim the job, and what the former holder then writes changes nothing. Times are
whole seconds of each machine's clock: a lease must be long against how far those differ.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from autorag.errors import ConflictError, NotFoundError
from autorag.hashing import address
from autorag.jobs import KINDS, Job, JobKind, JobState
from store.repositories import Repository
from store.tables import apps, jobs

Beat = Literal["go on", "cancelling", "lost"]
"""What a worker learns when it renews its lease."""

ENDED: tuple[JobState, ...] = ("done", "cancelled", "dead")
AGAIN: tuple[JobState, ...] = ("cancelled", "dead")
"""States of a job that can be tried again."""

FIRST_PAUSE_S = 5
LONGEST_PAUSE_S = 600
JITTER = 0.25
"""Share of a pause that is added at most, so that jobs which failed together are not all tried
again at once."""

WORKER_DIED = "its worker died"

ERROR_CHARS = 2_000
"""Kept of why a job failed."""


class JobRepository(Repository):
    """Jobs, of which one for each kind and app is queued or running at a time.

    ``finish``, ``fail``, ``end_cancelled`` and ``release`` return whether the lease was still held:
    else nothing was written.
    """

    def enqueue(
        self,
        kind: JobKind,
        app_id: int | None,
        arguments: Mapping[str, Any],
        *,
        due_at: int | None = None,
        most_attempts: int = 3,
    ) -> Job:
        """Queue a job.

        Args:
            due_at: not before; now if left out.

        Raises:
            ConflictError: one of this kind for this app is queued or running; ``value`` is its id.
        """
        now = self._now
        row = {
            "kind": kind,
            "app_id": app_id,
            "arguments": dict(arguments),
            "state": "queued",
            "live": _live(kind, app_id),
            "attempts": 0,
            "most_attempts": most_attempts,
            "due_at": now if due_at is None else due_at,
            "cancelling": False,
            "created_at": now,
        }
        with self._transaction("the job could not be queued") as connection:
            _check_free(connection, kind, app_id)
            inserted = connection.execute(insert(jobs), row).inserted_primary_key
            assert inserted is not None
            return _get(connection, inserted[0])

    def get(self, job_id: int) -> Job:
        """One job.

        Raises:
            NotFoundError: there is no such job.
        """
        with self._reading() as connection:
            return _get(connection, job_id)

    def newest(
        self,
        limit: int,
        *,
        before: int | None = None,
        state: JobState | None = None,
        kind: JobKind | None = None,
        app_id: int | None = None,
    ) -> list[Job]:
        """Jobs, the newest first.

        Args:
            before: only those with a smaller id.
            state, kind, app_id: only those.
        """
        c = jobs.c
        query = _JOBS if before is None else _JOBS.where(c.id < before)
        for column, value in ((c.state, state), (c.kind, kind), (c.app_id, app_id)):
            if value is not None:
                query = query.where(column == value)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(c.id.desc()).limit(limit))
            return [_job(row) for row in rows]

    def counts(self) -> dict[JobState, int]:
        """How many jobs there are in each state."""
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        found: dict[JobState, int] = dict.fromkeys(get_args(JobState), 0)
        with self._reading() as connection:
            return found | dict(map(tuple, connection.execute(query)))

    # -- working ----------------------------------------------------------------------------

    def any_due(self, kinds: Collection[JobKind] = KINDS) -> bool:
        """Whether :meth:`claim` would find something; it only reads."""
        with self._reading() as connection:
            due = select(jobs.c.id).where(self._due(kinds)).limit(1)
            return connection.scalar(due) is not None

    def claim(self, lease: str, seconds: int, kinds: Collection[JobKind] = KINDS) -> Job | None:
        """Take the job that was due first: one that is queued, or whose lease has expired; that
        counts as an attempt. One that has none left is dead, one that was to be cancelled is.

        Args:
            lease: the token of the claim, never used before.
            seconds: for how long.
            kinds: only those.
        """
        c = jobs.c
        due = select(c.id, c.state, c.attempts, c.most_attempts, c.cancelling)
        due = due.where(self._due(kinds))
        first = due.order_by(c.due_at, c.id).limit(1)
        with self._transaction("no job could be claimed") as connection:
            while (row := connection.execute(first).first()) is not None:
                values = self._claimed(row, lease, seconds)
                connection.execute(update(jobs).where(c.id == row.id).values(values))
                if values["state"] == "running":
                    return _get(connection, row.id)
        return None

    def beat(
        self, job_id: int, lease: str, seconds: int, progress: Mapping[str, Any] | None
    ) -> Beat:
        """Renew the lease for so many seconds from now, and tell how far the work is.

        Args:
            progress: None keeps what was told before.
        """
        values: dict[str, Any] = {"lease_until": self._now + seconds}
        if progress is not None:
            values["progress"] = dict(progress)
        renewed = update(jobs).where(*_held(job_id, lease)).values(values)
        with self._transaction("a job's lease could not be renewed") as connection:
            cancelling = connection.scalar(renewed.returning(jobs.c.cancelling))
        if cancelling is None:
            return "lost"
        return "cancelling" if cancelling else "go on"

    def finish(self, job_id: int, lease: str, result: Mapping[str, Any]) -> bool:
        """The work is done."""
        return self._end(job_id, lease, "done", result=dict(result), error=None)

    def end_cancelled(self, job_id: int, lease: str) -> bool:
        """The work stopped because it was asked to."""
        return self._end(job_id, lease, "cancelled")

    def fail(self, job_id: int, lease: str, error: str, *, retry: bool) -> bool:
        """An attempt failed: it is tried again after a pause that doubles every time, or dead.

        Args:
            retry: whether it may go better another time.
        """
        c = jobs.c
        mine = select(c.attempts, c.most_attempts, c.cancelling).where(*_held(job_id, lease))
        with self._transaction("a job's failure could not be recorded") as connection:
            row = connection.execute(mine).first()
            if row is None:
                return False
            values = {"error": _storable(error), **_no_lease()}
            if row.cancelling:
                values |= self._ended("cancelled")
            elif retry and row.attempts < row.most_attempts:
                due_at = self._now + pause_s(job_id, row.attempts)
                values |= {"state": "queued", "due_at": due_at}
            else:
                values |= self._ended("dead")
            connection.execute(update(jobs).where(c.id == job_id).values(values))
        return True

    def release(self, job_id: int, lease: str) -> bool:
        """The worker stops before the work is done: the job is queued as if it had not begun, or
        cancelled if it was to be."""
        c = jobs.c
        held = _held(job_id, lease)
        queued = {"state": "queued", "attempts": c.attempts - 1, **_no_lease()}
        with self._transaction("a job could not be released") as connection:
            back = update(jobs).where(*held, c.cancelling.is_(False)).values(queued)
            if connection.execute(back).rowcount:
                return True
            values = {**self._ended("cancelled"), **_no_lease()}
            return bool(connection.execute(update(jobs).where(*held).values(values)).rowcount)

    # -- operating --------------------------------------------------------------------------

    def cancel(self, job_id: int) -> Job:
        """Cancel a job that waits; one that runs is asked to stop.

        Raises:
            NotFoundError: there is no such job.
            ConflictError: it has ended.
        """
        with self._transaction("the job could not be cancelled") as connection:
            job = _get(connection, job_id)
            if job.state in ENDED:
                raise ConflictError(f"job {job_id} is {job.state}", key="job", value=job_id)
            values = self._ended("cancelled") if job.state == "queued" else {"cancelling": True}
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
            return _get(connection, job_id)

    def retry(self, job_id: int) -> Job:
        """Queue a job anew that is dead or was cancelled.

        Raises:
            NotFoundError: there is no such job.
            ConflictError: it is neither, or another of its kind and app is queued or running.
        """
        with self._transaction("the job could not be queued again") as connection:
            job = _get(connection, job_id)
            if job.state not in AGAIN:
                raise ConflictError(
                    f"job {job_id} is {job.state}: one that is dead or cancelled can be tried "
                    "again",
                    key="job",
                    value=job_id,
                )
            _check_free(connection, job.kind, job.app_id)
            anew = {
                "state": "queued",
                "live": _live(job.kind, job.app_id),
                "attempts": 0,
                "due_at": self._now,
                "cancelling": False,
                **dict.fromkeys(("progress", "result", "error", "started_at", "ended_at")),
            }
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(anew))
            return _get(connection, job_id)

    # -- inside -----------------------------------------------------------------------------

    def _due(self, kinds: Collection[JobKind]) -> ColumnElement[bool]:
        c, now = jobs.c, self._now
        free = or_(
            and_(c.state == "queued", c.due_at <= now),
            and_(c.state == "running", c.lease_until <= now),
        )
        return and_(free, c.kind.in_(kinds))

    def _claimed(self, row: Any, lease: str, seconds: int) -> dict[str, Any]:
        """What becomes of a job that is due."""
        if row.cancelling:
            return {**self._ended("cancelled"), **_no_lease()}
        if row.attempts >= row.most_attempts:
            return {**self._ended("dead"), **_no_lease(), "error": WORKER_DIED}
        now = self._now
        values = {
            "state": "running",
            "attempts": row.attempts + 1,
            "lease": lease,
            "lease_until": now + seconds,
            "progress": None,
            "started_at": now,
        }
        return values if row.state == "queued" else {**values, "error": WORKER_DIED}

    def _end(self, job_id: int, lease: str, state: JobState, **values: Any) -> bool:
        ended = {**self._ended(state), **_no_lease(), **values}
        mine = update(jobs).where(*_held(job_id, lease)).values(ended)
        with self._transaction("a job's end could not be recorded") as connection:
            return bool(connection.execute(mine).rowcount)

    def _ended(self, state: JobState) -> dict[str, Any]:
        return {"state": state, "live": None, "ended_at": self._now}


def pause_s(job_id: int, attempts: int) -> int:
    """Seconds before the next attempt of a job that failed so often; the same job always waits as
    long."""
    pause = min(FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 30), LONGEST_PAUSE_S)
    share = int(address([job_id, attempts])[:8], 16) / 0xFFFFFFFF
    return round(pause * (1 + JITTER * share))


_JOBS = select(
    *(apps.c.name if f.name == "app" else jobs.c[f.name] for f in fields(Job))
).outerjoin(apps, apps.c.id == jobs.c.app_id)


def _get(connection: Connection, job_id: int) -> Job:
    row = connection.execute(_JOBS.where(jobs.c.id == job_id)).first()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}", key="job", value=job_id)
    return _job(row)


def _job(row: Any) -> Job:
    return Job(*row)


def _storable(error: str) -> str:
    """A text as every database holds it, cut where it is long."""
    text = error.replace("\0", "").encode("utf-8", "replace").decode()
    return text if len(text) <= ERROR_CHARS else f"{text[: ERROR_CHARS - 1]}…"


def _live(kind: JobKind, app_id: int | None) -> str:
    return f"{kind}:{'' if app_id is None else app_id}"


def _check_free(connection: Connection, kind: JobKind, app_id: int | None) -> None:
    """
    Raises:
        ConflictError: a job of this kind for this app is queued or running.
    """
    other = connection.scalar(select(jobs.c.id).where(jobs.c.live == _live(kind, app_id)))
    if other is not None:
        raise ConflictError(
            f"job {other} of kind {kind} is queued or running already", key="kind", value=other
        )


def _held(job_id: int, lease: str) -> tuple[ColumnElement[bool], ...]:
    c = jobs.c
    return c.id == job_id, c.lease == lease, c.state == "running"


def _no_lease() -> dict[str, Any]:
    return {"lease": None, "lease_until": None}
