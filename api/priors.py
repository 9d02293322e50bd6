"""What a study of the reference pipeline starts from: the models in production."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.model_registry import Registry, unreadable
from autorag.errors import InputError, ModelError
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.objective import Objective
from autorag.ports import Prior
from autorag.space import Space
from store.database import Database

if TYPE_CHECKING:
    from models.training import ModelSet


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
        prior = LearnedPrior(models, Task(features, profile, host=host), space)
        lacking = prior.missing(objective.metrics, space.default())
    except (InputError, ModelError) as error:
        return None, f"nothing that was learned elsewhere is used: {error}"
    return prior, lacking or trouble


def _models(database: Database) -> tuple[ModelSet, str | None]:
    row = database.read(lambda session: session.model_sets.production())
    models, _, version = Registry(database).answering(row)
    wanted = version if row is None else row.version
    return models, None if version == wanted else unreadable(wanted)
