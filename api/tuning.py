"""The use case behind ``autorag tune``: from a workload to a recommended config with its proof."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.prepared import TuneRequest, prepare
from api.strategies import Beginning, Findings, begin, models_asked
from api.targets import Costs, Target
from api.watching import TuneWatcher
from api.wiring import (
    SEED_BOOTSTRAP,
    Parts,
    hardware_profile,
    workload_features,
)
from autorag.errors import AutoragError
from autorag.features import WorkloadFeatures
from autorag.hashing import address
from autorag.importance import Importance, importance, joined
from autorag.objective import Objective
from autorag.optimizer import (
    RandomSearch,
    pareto_trials,
)
from autorag.outcome import Outcome, differences, intervals
from autorag.ports import Estimate, Trial
from autorag.queries import query_groups
from autorag.space import Space
from autorag.study import Limits, Plan, Study
from autorag.workload import Workload
from collectors.counters import capabilities
from collectors.leftovers import unused
from collectors.prepare import needs_preparation, prepare_models
from store.database import Database
from store.engine import open_database
from store.hosts import HostRepository
from store.repositories import SqlTrialLog, StudyRepository

if TYPE_CHECKING:
    from sqlalchemy import Engine

BESIDE = Objective("latency_p95_ms", "min")
"""What trials are shown against where the objective names one metric."""

CONTINUED_WITHIN_S = 2 * 86_400.0
"""An unfinished study in which nothing happened for longer is not continued: the machine, and what
it runs beside, may be another by now."""


@dataclass(frozen=True)
class TuneResult:
    """Everything that was found, in which study. ``features`` is None where they were not asked
    for; ``models`` is the version of the set that was asked, None where none was."""

    study: int
    workload: Workload
    outcome: Outcome
    trials: Sequence[Trial]
    seconds: float
    search_queries: int
    report_queries: int
    features: WorkloadFeatures | None
    models: int | None

    @cached_property
    def importance(self) -> Sequence[Importance]:
        """Which knobs explained each metric that is optimised."""
        return [importance(self.trials, one.metric) for one in self.outcome.objective.each]

    def to_json(self) -> dict[str, Any]:
        """The object that ``tune --json`` prints."""
        reused = Counter(stage for t in self.trials for stage in t.reused)
        return {
            **self.outcome.to_json(),
            "importance": joined(self.importance),
            "trials": sum(t.state == "finished" and t.number > 0 for t in self.trials),
            "pruned": sum(t.state == "censored" for t in self.trials),
            "skipped": sum(t.state == "skipped" for t in self.trials),
            "failed": sum(t.state == "failed" for t in self.trials),
            "seconds": round(self.seconds, 3),
            "reused": dict(reused),
            "busy": sum(t.busy for t in self.trials),
            "queries": {"search": self.search_queries, "report": self.report_queries},
            "workload": _described(self.workload, self.features),
            "models": self.models,
        }


def tune(
    workload: Workload,
    target: Target,
    request: TuneRequest,
    parts: Parts,
    watcher: TuneWatcher,
    publish: Callable[[TuneResult], None],
) -> TuneResult:
    """Search, then measure the default and the best config on queries the search never saw.

    A study that was interrupted or cancelled is continued when the same is asked again on the same
    machine within two days; it counts as finished once ``publish`` has the result, or has recorded
    its end together with something else.

    Raises:
        MeasurementError: the default config could not be measured.
        UnreachableError: who measures is not there now; the study goes on when it is asked again.
        WorkCancelled: the measurer was told to stop.
    """
    prepared = prepare(workload, target, request, parts)
    space, plan, settings = prepared.space, prepared.plan, dict(prepared.settings)
    profile = None
    if target.hardware:
        predicting = request.strategy == "bayesian"
        profile = hardware_profile(parts, watcher.progress, whole=predicting)
        settings["hardware"] = profile.fingerprint
    name = address([workload.hash_hex, settings, request.app_id])
    lock = parts.settings.home / "locks" / f"{name}.lock"
    with _alone(lock), _database(request.database) as engine:
        if profile is not None:
            HostRepository(engine, parts.clock).record(profile, capabilities())
        features = _features(workload, parts, watcher) if target.features else None
        studies = StudyRepository(engine, parts.clock)
        row = studies.open(
            _described(workload, features),
            settings,
            app_id=request.app_id,
            within_s=CONTINUED_WITHIN_S,
        )
        runner = uuid.uuid4().hex
        log = SqlTrialLog(engine, parts.clock, row.id, "search", runner)
        report_log = SqlTrialLog(engine, parts.clock, row.id, "report", runner)
        costs = target.costs(studies.measured_configs(workload.hash_hex, besides=row.id))
        forecast = _forecast(space, request, costs, plan, parts.seed)
        watcher.planned(forecast, len(log.trials()))
        _check_disk(parts, forecast)
        models = models_asked(Database(engine, parts.clock), target, request)
        found = Findings(workload.query_source == "pseudo", features, profile)
        beginning = Beginning(prepared, request, target, parts, found, costs.model)
        strategy = begin(beginning, engine, row.id, watcher)
        measurer = target.measurer()
        study = Study(plan, measurer, log, report_log, costs.model, parts.clock, watcher)
        trials = study.run(strategy, Limits(request.trials, request.budget_s))
        groups = query_groups(workload.queries)
        best = strategy.best(trials)
        outcome = _outcome(study, trials, best, log, report_log, request.objective, parts, groups)
        seconds = sum(t.seconds for t in [*trials, *report_log.trials()])
        sides = len(plan.search), len(plan.report)
        result = TuneResult(row.id, workload, outcome, trials, seconds, *sides, features, models)
        publish(result)
        studies.finish(row.id, result.to_json())
    return result


def _features(workload: Workload, parts: Parts, watcher: TuneWatcher) -> WorkloadFeatures:
    """The features of the workload; the static embedder, which they need, is made before."""
    if needs_preparation(parts.settings.models):
        watcher.preparing("the static embedder (once per machine)")
        prepare_models(parts.settings.models)
    watcher.preparing("a description of the workload")
    return workload_features(workload, parts)


def _described(workload: Workload, features: WorkloadFeatures | None) -> dict[str, Any]:
    known = None if features is None else features.to_json()
    return {**workload.summary(), "hashes": workload.part_hashes, "features": known}


def _shown(trials: Sequence[Trial], objective: Objective) -> Sequence[Trial]:
    """The trials whose front is shown: of a front that is asked for, those that hold the bounds."""
    if objective.beside is None:
        return trials
    return [t for t in trials if objective.feasible(t.metrics)]


def front_of(objective: Objective) -> tuple[Objective, Objective]:
    """The two metrics whose front is shown."""
    first, *second = objective.each
    return first, second[0] if second else BESIDE


def _forecast(
    space: Space, request: TuneRequest, costs: Costs, plan: Plan, seed: int
) -> Estimate | None:
    """Time and disk of as many random configs: how the strategy will go is not known before."""
    if costs.forecaster is None:
        return None
    drawn = RandomSearch(space, request.objective, seed, request.trials).block()
    estimate = costs.forecaster.total([plan.default, *drawn], len(plan.search))
    return Estimate(min(estimate.seconds, request.budget_s), estimate.disk_bytes)


def _check_disk(parts: Parts, forecast: Estimate | None) -> None:
    if forecast is None:
        return
    home = parts.settings.home
    wanted = min(forecast.disk_bytes, parts.settings.artifacts_bytes)
    free = shutil.disk_usage(home).free
    if wanted > free:
        raise AutoragError(
            f"about {wanted / 1e6:.0f} MB of artifacts are expected, {home} has {free / 1e6:.0f} MB"
        )


def _outcome(
    study: Study,
    trials: Sequence[Trial],
    best: Trial,
    log: SqlTrialLog,
    report_log: SqlTrialLog,
    objective: Objective,
    parts: Parts,
    groups: Mapping[str, int],
) -> Outcome:
    default_report = study.measure_report(0)
    best_report = study.measure_report(best.number)
    rng = parts.rng(SEED_BOOTSTRAP)
    before, after = (report_log.query_results(n) for n in (0, best.number))
    return Outcome(
        objective=objective,
        default=trials[0],
        recommended=best,
        default_report=default_report,
        recommended_report=best_report,
        predicted=intervals(best, log.query_results(best.number), rng, groups),
        difference=differences(default_report, best_report, before, after, rng, groups),
        pareto=pareto_trials(_shown(trials, objective), *front_of(objective)),
    )


@contextmanager
def _database(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Refuse to run when another process runs the same study. Files of studies that nobody ran for
    long are deleted."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    for old in unused(path.parent, CONTINUED_WITHIN_S):
        with suppress(Timeout, OSError), FileLock(old).acquire(timeout=0):
            old.unlink()
    try:
        lock = FileLock(path).acquire(timeout=0)
    except Timeout:
        raise AutoragError("another process is running this very study") from None
    with lock:
        yield
