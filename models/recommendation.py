"""The answer to "which config?": predictions ranked for an objective, with intervals and reasons.

What is certain is said, and what is not: every config comes with intervals, the joint chance of
holding all bounds, where its figures come from and what makes it differ from the default. Where no
candidate holds the bounds in all likelihood, the workload is unlike all that were learned from, or
too little was learned for a chance to be relied on, a sentence says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autorag.metrics import METRICS
from autorag.objective import Objective
from autorag.space import Config
from models.examples import QUALITY
from models.predictor import Predicted
from models.ranking import RANKED, Ranking, check_predictable, rank
from models.ratios import TOTALS
from models.reasons import Reason, reasons
from models.training import HEADS, LEARNED, TOLD

DEFAULT_CANDIDATE = 0
"""Where ``Candidates`` has the default."""


@dataclass(frozen=True, slots=True)
class Recommended:
    """A config and what is predicted of it.

    Attributes:
        predicted: metric → value, low and high end; an end is infinite where nothing bounds it.
        stages: stage that runs → its ``p50_ms`` and ``p95_ms``.
        reasons: what makes it differ from the default, in nDCG@10.
    """

    config: Config
    predicted: Mapping[str, tuple[float, float, float]]
    stages: Mapping[str, Mapping[str, float]]
    chance: float
    provenance: str
    reasons: tuple[Reason, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON; infinite ends are null."""
        return {
            "config": self.config.to_json(),
            "predicted": {
                name: dict(zip(("value", "low", "high"), map(_finite, told), strict=True))
                for name, told in self.predicted.items()
            },
            "stages": self.stages,
            "chance": round(self.chance, 3),
            "provenance": self.provenance,
            "reasons": [str(r) for r in self.reasons],
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """Configs, the best first, and how far they can be trusted.

    Attributes:
        sure: nothing speaks against the first one holding all bounds and being a good choice.
        reason: one sentence.
        strangeness: see ``models.predictor``.
        alike: the known workloads that weigh most, with their weights.
    """

    recommended: tuple[Recommended, ...]
    sure: bool
    reason: str
    strangeness: float
    alike: Mapping[str, float]


def recommend(predicted: Predicted, objective: Objective, count: int) -> Answer:
    """The best ``count`` configs for an objective.

    Raises:
        InputError: models say nothing of one of its metrics.
    """
    check_predictable(objective)
    ranking = rank(predicted, objective, count)
    doubts = _doubts(predicted, objective, ranking)
    weights = sorted(predicted.quality.alike.items(), key=lambda pair: -pair[1])[:3]
    return Answer(
        tuple(_told(predicted, ranking)),
        not doubts,
        _reason(objective, ranking, doubts),
        predicted.strangeness,
        dict(weights),
    )


def _doubts(predicted: Predicted, objective: Objective, ranking: Ranking) -> list[str]:
    """What speaks against relying on the first."""
    doubts = []
    times = [m for m in objective.metrics if m in TOTALS]
    if not ranking.sure:
        doubts.append("no config is predicted to hold every bound in all likelihood")
    if objective.slos and not predicted.models.residuals.supported:
        doubts.append("too few corpora were learned from to rely on a chance")
    if times and predicted.provenance == "analytic":
        doubts.append("no times were learned on this machine")
    if predicted.strangeness > 1.0:
        doubts.append("the workload is unlike all that were learned from")
    return doubts


def _reason(objective: Objective, ranking: Ranking, doubts: Sequence[str]) -> str:
    found = f"predicted best for: {objective}"
    if objective.metric in RANKED and objective.metric != QUALITY:
        found += f" (ranked by {QUALITY})"
    if objective.slos:
        found += f"; chance to hold every bound {ranking.chosen[0].chance:.0%}"
    return f"{found}; measure before relying on it: {'; '.join(doubts)}" if doubts else found


def _told(predicted: Predicted, ranking: Ranking) -> Iterator[Recommended]:
    rows = np.array([chosen.candidate for chosen in ranking.chosen])
    values = {name: predicted.metric(name, rows) for name in TOLD}
    stages = {time: predicted.metric(time, rows) for time in HEADS if time not in LEARNED}
    measured = predicted.task.landmarks if predicted.task.labelled else {}
    for i, chosen in enumerate(ranking.chosen):
        mine = {name: float(column[i]) for name, column in values.items()}
        told = {
            name: (value, *_within(name, *predicted.interval(name, value)))
            for name, value in mine.items()
            if not math.isnan(value)
        }
        seen = measured.get(chosen.candidate)
        if seen is not None:
            told[QUALITY] = seen, seen, seen
        yield Recommended(
            predicted.pool.configs[chosen.candidate],
            told,
            _by_stage({time: float(column[i]) for time, column in stages.items()}),
            chosen.chance,
            predicted.provenance if seen is None else "measured",
            tuple(reasons(predicted, DEFAULT_CANDIDATE, chosen.candidate)),
        )


def _by_stage(times: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Of times such as ``embed_p50_ms``; a stage that does not run is left out."""
    found: dict[str, dict[str, float]] = {}
    for time, value in times.items():
        stage, _, quantile = time.partition("_")
        if not math.isnan(value):
            found.setdefault(stage, {})[quantile] = round(value, 4)
    return found


def _within(name: str, low: float, high: float) -> tuple[float, float]:
    """An interval cut to what the metric can be; ends that nothing bounds stay infinite."""
    if math.isinf(low) or math.isinf(high):
        return -math.inf, math.inf
    most = 1.0 if METRICS[name].unit == "" else math.inf
    return max(low, 0.0), min(high, most)


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
