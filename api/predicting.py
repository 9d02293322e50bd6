"""What the service predicts without measuring: the models that ship, laid over a space once.

Choosing the candidates of a space and laying the landscapes over them takes seconds and is kept; a
prediction takes milliseconds. Models are read when they are asked for the first time.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from autorag.errors import InputError
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.hashing import address
from autorag.objective import Objective
from autorag.space import Space, space_to_json

if TYPE_CHECKING:
    from models.predictor import Predictor
    from models.recommendation import Answer
    from models.training import ModelSet

KEPT = 8
"""Spaces whose candidates are kept: some ten megabytes each."""

SEED = 0


class Predictions:
    """Recommends for the reference pipeline, or a part of its knobs.

    Args:
        reference: the space of the reference pipeline.
    """

    def __init__(self, reference: Space) -> None:
        self._reference = reference
        self._models: ModelSet | None = None
        self._laid: OrderedDict[str, Predictor] = OrderedDict()
        self._lock = Lock()

    def recommend(
        self,
        space: Space,
        features: WorkloadFeatures,
        profile: HardwareProfile,
        objective: Objective,
        count: int,
    ) -> Answer:
        """The best ``count`` configs of a space by prediction.

        Raises:
            InputError: the space has knobs, the objective metrics that models do not know, or the
                features or the profile lack what they need.
        """
        from models.predictor import Task
        from models.recommendation import recommend

        foreign = [knob.name for knob in space if knob.name not in self._known]
        if foreign:
            raise InputError(
                f"models know the knobs of the reference pipeline, not {foreign[0]}",
                key="space",
                value=foreign[0],
            )
        return recommend(self._over(space).on(Task(features, profile)), objective, count)

    @cached_property
    def _known(self) -> set[str]:
        return {knob.name for knob in self._reference}

    def _over(self, space: Space) -> Predictor:
        """The predictor of a space; whoever comes while it is made waits."""
        from models.candidates import Candidates
        from models.files import SHIPPED, read_models
        from models.predictor import Predictor

        name = address(space_to_json(space))
        with self._lock:
            if name not in self._laid:
                if self._models is None:
                    self._models, _ = read_models(SHIPPED)
                pool = Candidates.of(space, self._reference, seed=SEED)
                self._laid[name] = Predictor(self._models, pool)
            self._laid.move_to_end(name)
            while len(self._laid) > KEPT:
                self._laid.popitem(last=False)
            return self._laid[name]
