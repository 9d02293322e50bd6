"""Priors that are wrong on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autorag.metrics import METRICS
from autorag.ports import Belief, Prior
from autorag.space import Config


class Reversed:
    """What is believed to rank best is believed to rank worst: means of ranking metrics are
    mirrored at their mean over the configs that are asked for."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior

    def believe(self, metric: str, configs: Sequence[Config]) -> Belief | None:
        belief = self._prior.believe(metric, configs)
        if belief is None or METRICS[metric].kind != "ranking":
            return belief
        return replace(belief, mean=2.0 * belief.mean.mean() - belief.mean)
