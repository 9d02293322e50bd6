"""The job that tunes a registered app and proposes what it found.

The baseline is the app's active revision. An app with an HTTP evaluator is measured through it. Of
any other the reference pipeline on its documents is measured: knobs that the app did not declare
are at the reference pipeline's defaults, and knobs of its own, which that pipeline does not know,
stay as they are. A revision is proposed when it is better beyond chance on queries that the search
never saw, or holds an SLO that the current settings violate, and violates none that they hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from api.delivery import propose
from api.jobs import JobContext, check_tunable
from api.paths import check_links, data_path
from api.prepared import TuneRequest
from api.settings import Settings
from api.spaces import Spaces
from api.targets import Target, evaluator_target, reference_target
from api.tuning import TuneResult, tune
from api.watching import TuneWatcher
from api.wiring import Parts, bind, load_workload, make_parts
from autorag.apps import App
from autorag.errors import InputError, MeasurementError, WorkCancelled
from autorag.objective import Objective, parse_objective
from autorag.optimizer import Proposal
from autorag.outcome import Outcome
from autorag.ports import Estimate, Measurement, Measurer, Progress, Trial
from autorag.racing import Race
from autorag.space import Config, Space
from autorag.workload import Workload
from collectors.outbound import Outbound
from store.database import Session

KEPT = ("recommended", "default", "difference", "trials", "seconds", "queries")
"""What of a tune's result a job keeps; the rest is in the study."""


def run_tune(context: JobContext) -> Mapping[str, Any]:
    """Tune the app; a study that was interrupted is continued.

    Raises:
        InputError: what is to be measured cannot be read, or not be measured with this objective.
        MeasurementError: the current settings could not be measured.
        WorkCancelled: it was told to stop.
    """
    return search(context, begin(context))


@dataclass(frozen=True)
class Work:
    """What a job tunes: of which app, what is measured, and what is asked for."""

    app: App
    spaces: Spaces
    workload: Workload
    target: Target
    request: TuneRequest
    parts: Parts
    watcher: JobWatcher


def begin(context: JobContext, *, warm: bool = False) -> Work:
    """Read what the job is to tune.

    Args:
        warm: whether the search begins with what was found for the app before.

    Raises:
        InputError, WorkCancelled: see :func:`run_tune`.
    """
    app, asked, spaces = _app(context), context.job.arguments, Spaces()
    parts = make_parts(context.settings, asked["seed"])
    objective = parse_objective(asked["objective"] or app.objective)
    watcher = JobWatcher(context, objective)
    watcher.preparing("documents")
    workload, target = _target(context, spaces, objective, parts)
    request = TuneRequest(
        objective,
        asked["trials"],
        math.inf if asked["budget"] == "none" else asked["budget"],
        asked["strategy"],
        asked["max_queries"],
        context.database_url,
        app.id,
        warm,
    )
    return Work(app, spaces, workload, target, request, parts, watcher)


def search(
    context: JobContext, work: Work, told: Mapping[str, Any] = MappingProxyType({})
) -> Mapping[str, Any]:
    """Tune, propose what is better, and end the job; returns its result.

    Args:
        told: what the result says beside what a tune's does.

    Raises:
        InputError, MeasurementError, WorkCancelled: see :func:`run_tune`.
    """
    concluded: list[Mapping[str, Any]] = []

    def publish(result: TuneResult) -> None:
        concluded.append(
            context.conclude(
                lambda session: {**told, **_conclusion(session, context, work.spaces, result)}
            )
        )

    tune(work.workload, work.target, work.request, work.parts, work.watcher, publish)
    return concluded[0]


def verdict(outcome: Outcome) -> tuple[bool, str]:
    """Whether the recommended config is worth a change of the current settings, and why."""
    objective = outcome.objective
    before, after = (t.metrics for t in (outcome.default_report, outcome.recommended_report))
    if outcome.recommended.config == outcome.default.config:
        return False, "nothing that was measured is better than the current settings"
    missed, still = (objective.violations(metrics) for metrics in (before, after))
    if broken := [str(s) for s in still if s not in missed]:
        return False, f"it violates {', '.join(broken)}, which the current settings hold"
    if mended := [str(s) for s in missed if s not in still]:
        return True, f"it holds {', '.join(mended)}, which the current settings violate"
    name, gap = objective.metric, outcome.difference.get(objective.metric)
    if gap is None or not gap.distinguishable:
        return False, f"its {name} is not distinguishable from that of the current settings"
    values = f"{name} {after[name]:.4g} instead of {before[name]:.4g}"
    if (gap.value > 0) != (objective.direction == "max"):
        return False, f"it is worse on queries that the search never saw: {values}"
    return True, f"{values} (difference {gap.low:+.3g} to {gap.high:+.3g}, 95 %)"


def measured_space(app: App, spaces: Spaces, current: Mapping[str, Any]) -> Space:
    """What of the reference pipeline's space a tune of this app searches: the knobs that the app
    took over, from where they are now; all others are at their defaults, or as near as the rules
    between knobs allow."""
    mine, reference = taken_over(app, spaces), spaces.reference
    start = reference.config({}, base={n: v for n, v in current.items() if n in mine})
    others = {k.name: start.get(k.name, k.default) for k in reference if k.name not in mine}
    return reference.fixed(others).defaulting(start)


def taken_over(app: App, spaces: Spaces) -> set[str]:
    """Names of the reference pipeline's knobs that the app declared."""
    own = {knob["name"] for knob in (app.space or {}).get("knobs", ())}
    return {k.name for k in spaces.of(app)} - own


@dataclass
class JobWatcher(TuneWatcher):
    """Tells the job how far its study is, and stops it between trials."""

    context: JobContext
    objective: Objective
    _doing: str = "starting"
    _trial: int | None = None
    _last: Mapping[str, Any] | None = None
    _notes: list[str] = field(default_factory=list)

    def planned(self, estimate: Estimate | None, resumed: int) -> None:
        self._tell("resuming" if resumed else "starting")

    def preparing(self, what: str) -> None:
        self.context.check()
        self._tell(f"preparing {what}")

    def trial_started(self, number: int, proposal: Proposal, estimate: Estimate) -> None:
        self.context.check()
        self._trial = number
        self._tell("measuring", why=proposal.why or None)

    def said(self, text: str) -> None:
        self._notes.append(text)

    def search_ended(self, reason: str) -> None:
        self._notes.append(f"the search ends: {reason}")

    def report_started(self, config: Config) -> None:
        self.context.check()
        self._trial = None
        self._tell("measuring the report")

    def progress(self, stage: str, done: int, total: int) -> None:
        self._tell(self._doing, stage=stage, done=done, total=total)

    def trial_ended(self, trial: Trial) -> None:
        named = self.objective.metrics
        measured = {name: value for name, value in trial.metrics.items() if name in named}
        self._last = {"trial": trial.number, "state": trial.state, "measured": measured}

    def _tell(self, doing: str, **stage: Any) -> None:
        self._doing = doing
        asked = self.context.job.arguments["trials"]
        told = {"doing": doing, "trial": self._trial, "trials": asked, "last": self._last}
        if self._notes:
            told["notes"] = list(self._notes)
        self.context.progress({**told, **stage})


@dataclass(frozen=True)
class _Stopping:
    """A measurer whose failures do not count when the work is to stop: whoever stops it may have
    stopped the measuring process too."""

    measurer: Measurer
    cancelled: Callable[[], bool]

    def measure(
        self,
        config: Config,
        queries: Sequence[str],
        *,
        generate: bool = False,
        deadline: float | None = None,
        progress: Progress | None = None,
        race: Race | None = None,
    ) -> Measurement:
        """See :class:`autorag.ports.Measurer`."""
        try:
            return self.measurer.measure(
                config,
                queries,
                generate=generate,
                deadline=deadline,
                progress=progress,
                race=race,
            )
        except MeasurementError as error:
            if self.cancelled():
                raise WorkCancelled("cancelled") from error
            raise


def _app(context: JobContext) -> App:
    if context.app is None:
        raise InputError(f"a {context.job.kind} job needs an app", key="app")
    check_tunable(context.app, context.settings)
    return context.app


def _paths(app: App, settings: Settings) -> tuple[Path, Path | None]:
    """The documents and queries of the app."""
    if app.docs is None:
        raise InputError(f"app {app.name!r} has no docs to judge answers by", key="docs")
    docs = data_path(settings, app.docs, "docs")
    check_links(settings, docs, "docs")
    return docs, None if app.queries is None else data_path(settings, app.queries, "queries")


def _target(
    context: JobContext, spaces: Spaces, objective: Objective, parts: Parts
) -> tuple[Workload, Target]:
    """The workload, and what is measured on it."""
    app, cancelled = _app(context), context.cancelled
    current = context.database.read(lambda session: _active(session, app))
    workload = load_workload(*_paths(app, context.settings), parts)
    if app.evaluator is None:
        space = bind(measured_space(app, spaces, current), workload)
        target = reference_target(workload, space, objective, parts, cancelled=cancelled)
    else:
        space = spaces.of(app)
        space = space.defaulting(space.config({}, base=current))
        space = bind(space, workload) if space.rules else space
        outbound = Outbound(context.settings.allowed_networks)
        target = evaluator_target(
            workload, space, objective, app.evaluator, outbound, cancelled=cancelled
        )
    measurer = target.measurer
    return workload, replace(target, measurer=lambda: _Stopping(measurer(), cancelled))


def _active(session: Session, app: App) -> Mapping[str, Any]:
    assert app.revision is not None
    return session.revisions.get(app.id, app.revision).config


def _conclusion(
    session: Session, context: JobContext, spaces: Spaces, result: TuneResult
) -> dict[str, Any]:
    """The result of the job, with the revision that it proposed; the study ends with the job."""
    worth, why = verdict(result.outcome)
    revision = None
    if worth and not context.job.arguments["apply"]:
        why = f"not applied, as asked; {why}"
    elif worth:
        revision, why = _propose(session, _app(context), spaces, result.outcome, why)
    found = result.to_json()
    session.studies.finish(result.study, found)
    return {**{name: found[name] for name in KEPT}, "revision": revision, "why": why}


def _propose(
    session: Session, app: App, spaces: Spaces, outcome: Outcome, why: str
) -> tuple[int | None, str]:
    """Propose what was recommended, unless the settings are others than it was compared with."""
    now = session.apps.get(app.name, lock=True).revision
    if now != app.revision:
        return None, f"revision {now} became active meanwhile; against {app.revision}, {why}"
    known = {k.name for k in spaces.of(app)} if app.evaluator else taken_over(app, spaces)
    values = {n: v for n, v in outcome.recommended.config.items() if n in known}
    try:
        with session.connection.begin_nested():
            return propose(session, app.name, values, "tune", why, spaces.of).number, why
    except InputError as error:
        return None, f"{why}; but it could not be proposed: {error}"
