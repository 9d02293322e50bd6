"""The use case behind ``autorag tune``: from a workload to a recommended config with its proof."""

from __future__ import annotations

import math
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.priors import earlier_best, learned_prior, models_version
from api.targets import Costs, Target
from api.wiring import (
    SEED_BOOTSTRAP,
    SEED_SAMPLE,
    SEED_SPLIT,
    Parts,
    hardware_profile,
    workload_features,
)
from autorag import __version__
from autorag.errors import AutoragError, InputError, MeasurementError
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.hashing import address
from autorag.importance import Importance, importance, joined
from autorag.metrics import metric
from autorag.objective import Objective
from autorag.optimizer import (
    BayesianSearch,
    ModelFirstGreedy,
    RandomSearch,
    SpaceCandidates,
    Strategy,
    WarmStart,
    pareto_trials,
)
from autorag.outcome import Outcome, differences, intervals
from autorag.ports import CostModel, Estimate, Prior, Trial
from autorag.queries import Query, query_groups, split_queries, subsample
from autorag.space import Config, Knob, Space, knob_to_json
from autorag.stages import VERSIONS
from autorag.study import Limits, Plan, Study, Watcher
from autorag.table.design import designed
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

STRATEGIES = ("bayesian", "greedy", "random")
BESIDE = Objective("latency_p95_ms", "min")
"""What trials are shown against where the objective names one metric."""

UNSEARCHED = ("cache.mb", "batch.embed", "threads.generate")
"""Knobs that a measurement cannot tell apart: its queries are distinct, builds are not what is
optimised, and equal prompts are generated once, whatever the threads."""

GENERATION = ("generate.model", "generate.max_tokens")
"""Knobs that are felt only where answers are generated."""


CONTINUED_WITHIN_S = 2 * 86_400.0
"""An unfinished study in which nothing happened for longer is not continued: the machine, and what
it runs beside, may be another by now."""

RECALLED = 3
"""Configs of earlier studies that are measured again before all else, in half of the trials at
most."""


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """What is asked for. ``max_queries`` bounds each side of the split, ``app_id`` is the
    registered app that it is for, ``warm`` whether to begin with what its earlier studies found."""

    objective: Objective
    trials: int
    budget_s: float
    strategy: str
    max_queries: int
    database: str
    app_id: int | None = None
    warm: bool = False


class TuneWatcher(Watcher):
    """Told what happens; the base class ignores it."""

    def planned(self, estimate: Estimate | None, resumed: int) -> None:
        """What it will take, None where nobody can tell; trials that are there already."""

    def preparing(self, what: str) -> None: ...

    def said(self, text: str) -> None:
        """Something worth knowing."""


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


@dataclass(frozen=True)
class Prepared:
    """A study before it begins.

    Attributes:
        space: that is searched.
        settings: what beside workload, app and machine makes two studies the same.
    """

    space: Space
    plan: Plan
    settings: Mapping[str, Any]


def prepare(workload: Workload, target: Target, request: TuneRequest, parts: Parts) -> Prepared:
    """What a study would be; nothing is measured.

    Raises:
        InputError, MeasurementError: these queries cannot measure that.
    """
    search, report = _sides(workload, request, parts)
    _check_answers(request.objective, search, report)
    space = searched_space(target.space, request.objective)
    plan = Plan(
        space.default(),
        request.objective,
        tuple(q.id for q in search),
        tuple(q.id for q in report),
    )
    return Prepared(space, plan, _identity(request, plan, parts.seed, target))


def models_asked(database: Database, target: Target, request: TuneRequest) -> int | None:
    """The version of the set of models that a study asks now, None where it asks none."""
    asks = target.learned and request.strategy == "bayesian"
    return models_version(database) if asks else None


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
        known = _known(studies, request, row.id, space)
        strategy = _strategy(
            space,
            request,
            parts.seed,
            costs.model,
            plan,
            lambda: _prior(
                engine, parts, target, space, request.objective, features, profile, watcher
            ),
            known,
            learned=target.learned,
            pseudo=workload.query_source == "pseudo",
        )
        strategy = WarmStart(_first(known, plan, request), strategy)
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


def _prior(
    engine: Engine,
    parts: Parts,
    target: Target,
    space: Space,
    objective: Objective,
    features: WorkloadFeatures | None,
    profile: HardwareProfile | None,
    watcher: TuneWatcher,
) -> Prior | None:
    """What models believe of the workload, where they know the pipeline."""
    if not target.learned or features is None or profile is None:
        return None
    watcher.preparing("what was learned on other workloads")
    database = Database(engine, parts.clock)
    prior, trouble = learned_prior(database, space, objective, features, profile)
    if trouble is not None:
        watcher.said(trouble)
    return prior


def _known(
    studies: StudyRepository, request: TuneRequest, study: int, space: Space
) -> list[Config]:
    """Configs to begin with: not what this study itself measured before it was interrupted."""
    if not request.warm or request.app_id is None:
        return []
    return earlier_best(studies, request.app_id, study, space, request.objective)


def _first(known: Sequence[Config], plan: Plan, request: TuneRequest) -> list[Config]:
    """Those that are measured before all else."""
    most = min(RECALLED, -(-request.trials // 2))
    return [config for config in known if config != plan.default][:most]


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


def front_of(objective: Objective) -> tuple[Objective, Objective]:
    """The two metrics whose front is shown."""
    first, *second = objective.each
    return first, second[0] if second else BESIDE


def searched_space(space: Space, objective: Objective) -> Space:
    """The subspace that a search varies: knobs that no metric named can feel keep their default."""
    unfelt = UNSEARCHED if objective.needs_generation else (*UNSEARCHED, *GENERATION)
    return space.fixed({k.name: k.default for k in space if k.name in unfelt})


def _sides(
    workload: Workload, request: TuneRequest, parts: Parts
) -> tuple[list[Query], list[Query]]:
    search, report = split_queries(workload.queries, parts.rng(SEED_SPLIT))
    if not report:
        raise MeasurementError(
            "all queries share gold documents: none are left for the report; add queries"
        )
    rng = parts.rng(SEED_SAMPLE)
    asked, told = (subsample(side, request.max_queries, rng) for side in (search, report))
    return [asked[i] for i in rng.permutation(len(asked))], told


def _check_answers(objective: Objective, search: Sequence[Query], report: Sequence[Query]) -> None:
    """Refuse an objective that these queries cannot measure."""
    judged = [m for m in objective.metrics if metric(m).kind == "answer"]
    if judged and not all(any(q.has_answer for q in side) for side in (search, report)):
        raise InputError(
            f"objective {objective}: {judged[0]} needs queries with answers", key="objective"
        )


def _strategy(
    space: Space,
    request: TuneRequest,
    seed: int,
    costs: CostModel,
    plan: Plan,
    prior: Callable[[], Prior | None],
    known: Sequence[Config],
    *,
    learned: bool,
    pseudo: bool,
) -> Strategy:
    if request.strategy == "random":
        return RandomSearch(space, request.objective, seed, request.trials)
    if request.strategy == "greedy":
        return ModelFirstGreedy(space, request.objective, seed)
    portfolio = [*designed("quality", space), *designed("index", space)] if learned else []
    return BayesianSearch(
        space,
        request.objective,
        SpaceCandidates(space, [*known, *portfolio], seed),
        prior(),
        costs,
        queries=len(plan.search),
        seed=seed,
        indirect=pseudo,
    )


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


def _identity(request: TuneRequest, plan: Plan, seed: int, target: Target) -> dict[str, Any]:
    """What makes two studies the same."""
    return {
        "objective": str(request.objective),
        "version": [__version__, dict(VERSIONS)],
        "strategy": request.strategy,
        "trials": request.trials,
        "budget_s": None if math.isinf(request.budget_s) else request.budget_s,
        "seed": seed,
        "default": plan.default.to_json(),
        "space": [_declared(knob) for knob in target.space],
        "queries": address([plan.search, plan.report]),
        **target.identity,
    }


def _declared(knob: Knob) -> dict[str, Any]:
    """A knob without its default, which is the baseline's, and what is for people only."""
    return {n: v for n, v in knob_to_json(knob).items() if n not in ("default", "meaning")}


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
        pareto=pareto_trials(trials, *front_of(objective)),
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
