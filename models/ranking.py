"""Choosing among candidates by predictions: the best of those that are likely to hold the bounds.

Candidates are looked at from the best prediction of the objective's metric downwards, in blocks,
and the chance of holding all bounds together is asked for a block at a time, until enough are
found. Ranking metrics are ordered by the effect on nDCG@10, which stands for all of them; other
metrics by their predicted value. Where nothing holds the bounds with the chance that is asked for,
the likeliest come first and ``sure`` is False: then the models cannot tell, and what they name is
worth measuring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autorag.errors import InputError
from autorag.objective import Objective
from models.analytic.columns import Floats
from models.examples import QUALITY
from models.predictor import Predicted
from models.training import TOLD

RANKED = (QUALITY, "recall_at_1", "recall_at_5", "recall_at_10", "mrr_at_10")
"""Metrics that the effect on nDCG@10 stands for."""

SURE = 0.9
"""Least joint chance of holding all bounds."""

BLOCK = 128

A_CHANGE = 0.003
"""What one more changed knob has to be worth: a share of the way from the worst to the best config,
or of the metric. Settings that make no difference stay as they are."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A candidate and its chance of holding all bounds."""

    candidate: int
    chance: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best candidates first; ``sure`` when the first holds all bounds in all likelihood."""

    chosen: tuple[Chosen, ...]
    sure: bool


def check_predictable(objective: Objective) -> None:
    """
    Raises:
        InputError: models say nothing of the metric, or of one that is bounded.
    """
    known = ", ".join(TOLD)
    if objective.metric not in (*RANKED, *TOLD):
        raise InputError(
            f"{objective.metric} is not predicted, but {', '.join(RANKED[1:])}, {known} are; "
            "autorag tune measures it",
            key="objective",
            value=objective.metric,
        )
    for slo in objective.slos:
        if slo.metric not in TOLD:
            raise InputError(
                f"{slo}: a bound can be on {known}; autorag tune measures the others",
                key="objective",
                value=slo.metric,
            )


def rank(predicted: Predicted, objective: Objective, count: int) -> Ranking:
    """The best ``count`` valid candidates for an objective that is predictable.

    Raises:
        InputError: there is none.
    """
    pool = predicted.pool
    known = pool.known(predicted.models.choices)
    valid = np.flatnonzero(known & pool.trainable(predicted.chunks))
    if not valid.size:
        raise InputError(
            "no config of this space has only parts that were measured on any workload: "
            "autorag tune measures them",
            key="space",
        )
    order = valid[np.argsort(_cost(predicted, objective, valid), kind="stable")]
    sure: list[Chosen] = []
    doubtful: list[Chosen] = []
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        for candidate, chance in zip(block, predicted.chance(objective, block), strict=True):
            one = Chosen(int(candidate), float(chance))
            (sure if chance >= SURE else doubtful).append(one)
        if len(sure) >= count:
            return Ranking(tuple(sure[:count]), True)
    likeliest = sorted(doubtful, key=lambda one: -one.chance)
    return Ranking(tuple([*sure, *likeliest][:count]), bool(sure))


def _cost(predicted: Predicted, objective: Objective, rows: np.ndarray) -> Floats:
    """What is minimised, ``(k,)``: effects, or logarithms; NaN is worst."""
    sign = -1.0 if objective.direction == "max" else 1.0
    if objective.metric in RANKED:
        value = predicted.quality.effect.take(rows)
    else:
        value = np.log(np.maximum(predicted.metric(objective.metric, rows), 1e-12))
    cost: Floats = sign * value + A_CHANGE * predicted.pool.changes.take(rows)
    return np.nan_to_num(cost, nan=np.inf)
