"""The kinds of background work: what they take, and what they do.

A *tune* of an app takes

* ``objective``: an expression; the app's own if left out;
* ``trials`` beside the current settings (25), ``budget`` (``"10m"``, seconds, or ``"none"``; ten
  minutes), ``strategy`` (``"bayesian"``, ``"greedy"`` or ``"random"``), ``max_queries`` on each
  side of the split (500), ``seed`` (0);
* ``apply``: whether a better config is proposed as a revision (true).

A *retune* takes the same, and ``force`` (false): unless that is true it measures nothing when
nothing changed since the app was tuned last.

A *train* takes ``seed`` (0) and ``promote``: whether a set of models that is not worse goes into
production (true).

A *prune* takes nothing. It deletes what is older than is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from api.cli.options import parse_duration
from api.paths import data_path
from api.settings import Settings
from api.strategies import STRATEGIES
from api.wiring import queries_beside
from autorag.apps import App
from autorag.errors import ConflictError, InputError, ObjectiveError, WorkCancelled
from autorag.jobs import Job, JobKind
from autorag.objective import parse_goal
from autorag.ports import SystemClock
from autorag.space.given import Given
from store.database import Database, Session
from store.pruning import prune_all

MOST_TRIALS = 10_000
MOST_QUERIES = 1_000_000
LARGEST_SEED = 2**32 - 1
LONGEST_BUDGET_S = 30 * 86_400.0

_TUNE_TAKES = (
    "objective",
    "trials",
    "budget",
    "strategy",
    "max_queries",
    "seed",
    "apply",
)
_RETUNE_TAKES = (*_TUNE_TAKES, "force")
_TRAIN_TAKES = ("seed", "promote")

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
    if kind == "retune":
        given = given.only(_RETUNE_TAKES)
        return {**_tune_arguments(given), "force": given.at("force", False).flag()}
    if kind == "train":
        given = given.only(_TRAIN_TAKES)
        return {"seed": _seed(given), "promote": given.at("promote", True).flag()}
    if given.names():
        raise given.at(given.names()[0]).refused(f"a {kind} job takes no arguments")
    return {}


def check_tunable(app: App, settings: Settings) -> None:
    """
    Raises:
        ConflictError: nobody has said what a tune of this app would measure, or by which queries.
    """
    if app.docs is None and app.evaluator is None:
        lacks = "neither docs nor an evaluator: there is nothing to measure"
    elif app.docs is None:
        lacks = "an evaluator but no docs: there is nothing to judge its answers by"
    elif app.evaluator is not None and not _may_have_queries(app, app.docs, settings):
        lacks = (
            "an evaluator but neither queries nor queries.jsonl beside its docs: sentences cannot "
            "be held out of an index that is not ours"
        )
    else:
        return
    raise ConflictError(
        f"app {app.name!r} has {lacks}; change it with PUT /v1/apps/{app.name}/workload",
        key="app",
        value=app.name,
    )


def _may_have_queries(app: App, docs: str, settings: Settings) -> bool:
    """Whether there are queries with gold; also when the docs cannot be looked at, since why not
    is for the job to say."""
    try:
        return (
            app.queries is not None or queries_beside(data_path(settings, docs, "docs")) is not None
        )
    except InputError:
        return True


def run(context: JobContext) -> Mapping[str, Any]:
    """Do the work of a job; returns its result.

    Raises:
        WorkCancelled: it was told to stop.
        AutoragError: it failed; an ``InputError`` will do so again.
    """
    if context.job.kind == "tune":
        from api.tune_job import run_tune

        return run_tune(context)
    if context.job.kind == "retune":
        from api.retune_job import run_retune

        return run_retune(context)
    if context.job.kind == "train":
        from api.train_job import run_train

        return run_train(context)
    return run_prune(context)


def run_prune(context: JobContext) -> Mapping[str, Any]:
    """Delete what is older than is kept."""
    pruned = prune_all(
        context.database_url,
        SystemClock(),
        days=context.settings.retention_days,
        rollup_days=context.settings.rollup_days,
        progress=lambda done: context.progress(asdict(done)),
        cancelled=context.cancelled,
    )
    if not pruned.complete:
        raise WorkCancelled("cancelled")
    return asdict(pruned)


def _tune_arguments(given: Given) -> dict[str, Any]:
    return {
        "objective": _objective(given.at("objective", None)),
        "trials": _whole(given.at("trials", 25), 1, MOST_TRIALS),
        "budget": _budget(given.at("budget", 600)),
        "strategy": given.at("strategy", "bayesian").one_of(STRATEGIES),
        "max_queries": _whole(given.at("max_queries", 500), 2, MOST_QUERIES),
        "seed": _seed(given),
        "apply": given.at("apply", True).flag(),
    }


def _seed(given: Given) -> int:
    return _whole(given.at("seed", 0), 0, LARGEST_SEED)


def _objective(given: Given) -> str | None:
    if given.value is None:
        return None
    if not isinstance(given.value, str):
        raise given.refused("expected a text")
    try:
        return str(parse_goal(given.value))
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
