"""The kinds of background work: what they take, and what they do.

A *tune* of an app takes

* ``objective``: an expression; the app's own if left out;
* ``trials`` beside the current settings (25), ``budget`` (``"10m"``, seconds, or ``"none"``; ten
  minutes), ``strategy`` (``"greedy"`` or ``"random"``), ``max_queries`` on each side of the split
  (500), ``seed`` (0);
* ``apply``: whether a better config is proposed as a revision (true).

A *prune* takes nothing. It deletes what is older than is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from api.cli.options import parse_duration
from api.settings import Settings
from api.tuning import STRATEGIES
from autorag.apps import App
from autorag.errors import ConflictError, InputError, ObjectiveError, WorkCancelled
from autorag.jobs import Job, JobKind
from autorag.objective import parse_objective
from autorag.ports import SystemClock
from autorag.space.given import Given
from store.database import Database, Session
from store.engine import open_telemetry
from store.retention import Pruned, prune

MOST_TRIALS = 10_000
MOST_QUERIES = 1_000_000
LARGEST_SEED = 2**32 - 1
LONGEST_BUDGET_S = 30 * 86_400.0

ANSWERS_KEPT_S = 24 * 3600
"""How long a request can be repeated with its idempotency key."""

AT_ONCE = 1_000
"""Rows deleted in one transaction."""

_TUNE_TAKES = (
    "objective",
    "trials",
    "budget",
    "strategy",
    "max_queries",
    "seed",
    "apply",
)

Make = Callable[[Session], Mapping[str, Any]]


@dataclass(frozen=True)
class JobContext:
    """What a job works with.

    Attributes:
        database_url: of ``database``, for work that opens it itself.
        app: that it is for.
        progress: tells how far it is.
        cancelled: whether it is to stop, or somebody else has it now.
        conclude: records the end of the job with the result that is made, in one transaction with
            what making it writes; raises ``WorkCancelled`` when somebody else has the job now.
    """

    settings: Settings
    database_url: str
    database: Database
    job: Job
    app: App | None
    progress: Callable[[Mapping[str, Any]], None]
    cancelled: Callable[[], bool]
    conclude: Callable[[Make], Mapping[str, Any]]

    def check(self) -> None:
        """
        Raises:
            WorkCancelled: the work is to stop.
        """
        if self.cancelled():
            raise WorkCancelled("cancelled")


def check_arguments(kind: JobKind, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a job with all defaults; checking them again changes nothing.

    Raises:
        InputError: one is unknown or cannot be used.
    """
    given = Given("arguments", arguments)
    if kind == "tune":
        return _tune_arguments(given.only(_TUNE_TAKES))
    if given.names():
        raise given.at(given.names()[0]).refused(f"a {kind} job takes no arguments")
    return {}


def check_tunable(app: App) -> None:
    """
    Raises:
        ConflictError: nobody has said what a tune of this app would measure.
    """
    if app.docs is None and app.evaluator is None:
        raise ConflictError(
            f"app {app.name!r} has neither docs nor an evaluator: there is nothing to measure; "
            f"give one with PUT /v1/apps/{app.name}/workload",
            key="app",
            value=app.name,
        )


def run(context: JobContext) -> Mapping[str, Any]:
    """Do the work of a job; returns its result.

    Raises:
        WorkCancelled: it was told to stop.
        AutoragError: it failed; an ``InputError`` will do so again.
    """
    if context.job.kind == "tune":
        from api.tune_job import run_tune

        return run_tune(context)
    return run_prune(context)


def run_prune(context: JobContext) -> Mapping[str, Any]:
    """Delete what is older than is kept: telemetry, jobs that ended, answers to requests."""
    kept_s = context.settings.retention_days * 86_400
    pruned = _prune_telemetry(context)
    return {
        **asdict(pruned),
        "jobs": _forget(context, lambda s: s.jobs.forget(s.now - kept_s, AT_ONCE)),
        "answers": _forget(context, lambda s: s.answers.forget(s.now - ANSWERS_KEPT_S, AT_ONCE)),
    }


def _prune_telemetry(context: JobContext) -> Pruned:
    settings, engine = context.settings, open_telemetry(context.database_url)
    try:
        pruned = prune(
            engine,
            SystemClock(),
            days=settings.retention_days,
            rollup_days=settings.rollup_days,
            progress=lambda done: context.progress(asdict(done)),
            cancelled=context.cancelled,
        )
    finally:
        engine.dispose()
    context.check()
    return pruned


def _forget(context: JobContext, forget: Callable[[Session], int]) -> int:
    """Delete in small transactions until nothing is left to delete; returns how many rows."""
    deleted = 0
    while (some := context.database.write(forget)) > 0:
        deleted += some
        context.check()
    return deleted


def _tune_arguments(given: Given) -> dict[str, Any]:
    return {
        "objective": _objective(given.at("objective", None)),
        "trials": _whole(given.at("trials", 25), 1, MOST_TRIALS),
        "budget": _budget(given.at("budget", 600)),
        "strategy": given.at("strategy", "greedy").one_of(STRATEGIES),
        "max_queries": _whole(given.at("max_queries", 500), 2, MOST_QUERIES),
        "seed": _whole(given.at("seed", 0), 0, LARGEST_SEED),
        "apply": given.at("apply", True).flag(),
    }


def _objective(given: Given) -> str | None:
    if given.value is None:
        return None
    if not isinstance(given.value, str):
        raise given.refused("expected a text")
    try:
        return str(parse_objective(given.value))
    except ObjectiveError as error:
        raise given.refused(str(error)) from None


def _whole(given: Given, low: int, high: int) -> int:
    number = given.integer()
    if not low <= number <= high:
        raise given.refused(f"expected a whole number from {low} to {high}")
    return number


def _budget(given: Given) -> float | str:
    """Seconds, or ``"none"``."""
    value = given.value
    try:
        seconds = parse_duration(value) if isinstance(value, str) else float(value)
    except (InputError, TypeError, ValueError, OverflowError):
        seconds = math.nan
    if seconds == math.inf and isinstance(value, str):
        return "none"
    if isinstance(value, bool) or not 0 < seconds <= LONGEST_BUDGET_S:
        raise given.refused(
            "expected seconds or a duration such as 90s, 10m or 1h30m, at most 720h, or none"
        )
    return seconds
