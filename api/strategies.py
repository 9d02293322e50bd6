"""How a study searches: the strategy that was asked for, with what is known to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.prepared import Prepared, TuneRequest
from api.priors import earlier_best, learned_prior, models_version
from api.targets import Target
from api.watching import TuneWatcher
from api.wiring import Parts
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.optimizer import (
    BayesianSearch,
    ModelFirstGreedy,
    RandomSearch,
    SpaceCandidates,
    Strategy,
    WarmStart,
)
from autorag.ports import CostModel, Prior
from autorag.space import Config
from autorag.table.design import designed
from store.database import Database
from store.repositories import StudyRepository

if TYPE_CHECKING:
    from sqlalchemy import Engine

STRATEGIES = ("bayesian", "greedy", "random")

RECALLED = 3
"""Configs of earlier studies that are measured again before all else, in half of the trials at
most, rounded up: an only trial is one of them."""


@dataclass(frozen=True)
class Findings:
    """What is known of a workload and the machine; None where it was not asked for.

    Attributes:
        pseudo: its queries are sentences held out of the documents.
    """

    pseudo: bool
    features: WorkloadFeatures | None
    profile: HardwareProfile | None


@dataclass(frozen=True)
class Beginning:
    """A study that is to begin, or to go on."""

    prepared: Prepared
    request: TuneRequest
    target: Target
    parts: Parts
    found: Findings
    costs: CostModel


def models_asked(database: Database, target: Target, request: TuneRequest) -> int | None:
    """The version of the set of models that a study asks now, None where it asks none."""
    asks = target.learned and request.strategy == "bayesian"
    return models_version(database) if asks else None


def begin(study: Beginning, engine: Engine, number: int, watcher: TuneWatcher) -> Strategy:
    """The strategy of a study with this number, which begins with what earlier ones found."""
    known = _known(study, StudyRepository(engine, study.parts.clock), number)
    first = [config for config in known if config != study.prepared.plan.default]
    most = min(RECALLED, -(-study.request.trials // 2))
    return WarmStart(first[:most], _strategy(study, known, engine, watcher))


def _strategy(
    study: Beginning, known: Sequence[Config], engine: Engine, watcher: TuneWatcher
) -> Strategy:
    space, request, seed = study.prepared.space, study.request, study.parts.seed
    if request.strategy == "random":
        return RandomSearch(space, request.objective, seed, request.trials)
    if request.strategy == "greedy":
        return ModelFirstGreedy(space, request.objective, seed)
    learned = study.target.learned
    winners = [*designed("quality", space), *designed("index", space)] if learned else []
    return BayesianSearch(
        space,
        request.objective,
        SpaceCandidates(space, [*known, *winners], seed),
        _prior(study, engine, watcher),
        study.costs,
        queries=len(study.prepared.plan.search),
        seed=seed,
        indirect=study.found.pseudo,
    )


def _prior(study: Beginning, engine: Engine, watcher: TuneWatcher) -> Prior | None:
    """What models believe of the workload, where they know the pipeline."""
    features, profile = study.found.features, study.found.profile
    if not study.target.learned or features is None or profile is None:
        return None
    watcher.preparing("what was learned on other workloads")
    database = Database(engine, study.parts.clock)
    space, objective = study.prepared.space, study.request.objective
    prior, trouble = learned_prior(database, space, objective, features, profile)
    if trouble is not None:
        watcher.said(trouble)
    return prior


def _known(study: Beginning, studies: StudyRepository, number: int) -> list[Config]:
    """Configs to begin with: not what this study itself measured before it was interrupted."""
    request = study.request
    if not request.warm or request.app_id is None:
        return []
    return earlier_best(studies, request.app_id, number, study.prepared.space, request.objective)
