"""Background work as rows: what a job is, and how it may end.

A job is *queued*, then *running* under a lease that its worker renews; it ends *done*, *cancelled*
or *dead*. One that failed, or whose worker was killed, is queued again after a growing pause until
its attempts are used up; then it is dead and stays visible, to be looked at and tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

JobKind = Literal["tune", "retune", "train", "prune"]
JobState = Literal["queued", "running", "done", "cancelled", "dead"]

KINDS: tuple[JobKind, ...] = ("tune", "retune", "train", "prune")
STATES: tuple[JobState, ...] = ("queued", "running", "done", "cancelled", "dead")


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of background work. Times are seconds since the epoch.

    Attributes:
        app: name of the app that it is for, None for the whole service.
        arguments: what it was asked for, as JSON.
        attempts: how often it was begun.
        due_at: not before.
        lease: who runs it, until ``lease_until`` unless renewed.
        cancelling: it was asked to stop.
        progress: how far it is, as its kind tells it.
        error: why the last attempt failed.
    """

    id: int
    kind: JobKind
    app: str | None
    app_id: int | None
    arguments: Mapping[str, Any]
    state: JobState
    attempts: int
    most_attempts: int
    due_at: int
    lease: str | None
    lease_until: int | None
    cancelling: bool
    progress: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    error: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Schedule:
    """When jobs are begun by themselves.

    Attributes:
        cron: five fields, in UTC.
        next_at: when it begins the next job.
        last_job: the job that it began last; it skips a time when that kind of job is live.
    """

    id: int
    kind: JobKind
    app: str | None
    app_id: int | None
    arguments: Mapping[str, Any]
    cron: str
    enabled: bool
    next_at: int
    last_at: int | None
    last_job: int | None
    created_at: int
