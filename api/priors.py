"""What a study starts from: the models in production, which know the reference pipeline, and what
its app's earlier studies found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.model_registry import Registry, unreadable
from autorag.errors import InputError, ModelError
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.model_sets import SHIPPED_VERSION
from autorag.objective import Objective
from autorag.optimizer import best_before, valid_configs
from autorag.ports import Prior
from autorag.space import Config, Space
from store.database import Database
from store.repositories import StudyRepository

if TYPE_CHECKING:
    from models.training import ModelSet

KNOWN = 20
"""Configs of earlier studies that are candidates."""

MOST_TRIALS = 500
"""The newest measurements of earlier studies that are looked at."""


def learned_prior(
    database: Database,
    space: Space,
    objective: Objective,
    features: WorkloadFeatures,
    profile: HardwareProfile,
) -> tuple[Prior | None, str | None]:
    """Beliefs about the configs of a space, and what is to be said of them; None where models
    cannot say anything."""
    from models.experience import effect_on
    from models.predictor import Task
    from models.prior import LearnedPrior

    try:
        models, trouble = _models(database)
        host = None
        if not models.ratios.knows(profile.fingerprint):
            tried = database.read(lambda s: s.experience.trials(hardware=profile.fingerprint))
            host = effect_on(models.ratios, tried)
        prior = LearnedPrior(models, Task(features, profile, host=host))
        lacking = prior.missing(objective.metrics, space.default())
    except (InputError, ModelError) as error:
        return None, f"nothing that was learned elsewhere is used: {error}"
    return prior, lacking or trouble


def models_version(database: Database) -> int:
    """Of the set of models in production."""
    row = database.read(lambda session: session.model_sets.production())
    return SHIPPED_VERSION if row is None else row.version


def earlier_best(
    studies: StudyRepository, app_id: int, besides: int, space: Space, objective: Objective
) -> list[Config]:
    """Configs of the space that an app's other studies than ``besides`` measured to be the best by
    the objective, the newest study's best first."""
    measured = studies.measured_by_study(app_id, MOST_TRIALS, besides=besides)
    found = best_before(measured, objective, KNOWN)
    return list(dict.fromkeys(valid_configs(space, found)))


def _models(database: Database) -> tuple[ModelSet, str | None]:
    row = database.read(lambda session: session.model_sets.production())
    models, _, version = Registry(database).answering(row)
    wanted = version if row is None else row.version
    return models, None if version == wanted else unreadable(wanted)
