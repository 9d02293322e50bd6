"""How far predictions are off on workloads that were not learned from, and what follows.

Residuals come from leaving out one corpus after the other: every config of a corpus that was not
learned from gives one joint residual, a number per metric (quality and recall: measured −
predicted; times, tokens and memory: ``log(measured / predicted)``). What is exchangeable is the
*corpus*, not the config: residuals of one corpus are alike, so every corpus counts as one, however
many configs it has, and a quantile is that of the mean of the corpora's distribution functions
(pooled CDF: Dunn, Wasserman and Ramdas 2023).

Such an interval of a dozen corpora covers the next one a little too seldom, and the correction of
split conformal prediction, which takes residuals of a corpus for one and the same, makes it cover
too often. How much is right depends on how alike residuals of a corpus are, so it is measured: the
tails are the widest that cover every corpus by the residuals of the others, on average over
corpora, as often as wanted. Below ``FEWEST_CORPORA`` nothing is said.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from autorag.objective import Slo
from models.analytic.columns import Floats

COVERAGE = 0.8
FEWEST_CORPORA = 9
"""k of them support quantiles from 1 / (k + 1) to k / (k + 1), and a chance of .9."""

TAILS = tuple((1.0 - COVERAGE) / 2 * step / 10 for step in range(10, -1, -1))
"""What may be left out on either side, the most first."""

FOLDS = 20
"""Groups that corpora are left out in, where there are more."""

PER_CORPUS = 64
"""Residual vectors kept of a corpus, evenly spread over its configs."""

ADDED = ("ndcg_at_10", "ann_recall_at_10")
"""Metrics whose residual is a difference; those of the others are log ratios."""


Name = TypeVar("Name", str, int)


def folds(corpora: Sequence[Name]) -> list[frozenset[Name]]:
    """Corpora that are left out together: each alone, as long as there are few."""
    count = min(len(corpora), FOLDS)
    return [frozenset(corpora[i::count]) for i in range(count)]


@dataclass(frozen=True)
class Residuals:
    """Joint residuals of left-out corpora.

    Attributes:
        metrics: the columns.
        values: ``(n, metrics)``; NaN where a metric was not measured.
        corpora: number of the corpus that each row is of, ``(n,)``.
    """

    metrics: tuple[str, ...]
    values: Floats
    corpora: NDArray[np.intp]

    @classmethod
    def of(cls, metrics: Sequence[str], by_corpus: Mapping[str, Floats]) -> Residuals:
        """Residuals ``(n, metrics)`` of every corpus."""
        kept = [_spread(values) for values in by_corpus.values()]
        corpora = np.repeat(np.arange(len(kept)), [len(values) for values in kept])
        return cls(tuple(metrics), np.vstack(kept), corpora.astype(np.intp))

    @property
    def supported(self) -> bool:
        """Whether there are corpora enough for intervals and chances that can be relied on."""
        return len(np.unique(self.corpora)) >= FEWEST_CORPORA

    def interval(self, metric: str) -> tuple[float, float]:
        """What is added to a prediction to get the ends of its interval of ``COVERAGE``; infinite
        where too few corpora tell of the metric."""
        return self._intervals[metric]

    @cached_property
    def _intervals(self) -> dict[str, tuple[float, float]]:
        return {name: self._interval(self.values[:, i]) for i, name in enumerate(self.metrics)}

    def _interval(self, column: Floats) -> tuple[float, float]:
        known = np.isfinite(column)
        values, corpora = column[known], self.corpora[known]
        if len(np.unique(corpora)) < FEWEST_CORPORA:
            return -math.inf, math.inf
        widest = bisect_left(
            TAILS, True, key=lambda tail: _coverage(values, corpora, tail) >= COVERAGE
        )
        return _quantiles(values, _weights(corpora), TAILS[min(widest, len(TAILS) - 1)])

    def chance(
        self, predicted: Mapping[str, Floats], bounds: Sequence[Slo], configs: int
    ) -> Floats:
        """The chance ``(configs,)`` that configs hold all bounds together: the share of residual
        vectors that, added to the predictions, hold them. Vectors that lack a bounded metric say
        nothing.

        Args:
            predicted: metric → values ``(configs,)``, of every bounded metric.
        """
        columns = [self.metrics.index(bound.metric) for bound in bounds]
        known = np.isfinite(self.values[:, columns]).all(axis=1)
        values = self.values[known]
        held = np.ones((configs, len(values)), dtype=bool)
        for bound, column in zip(bounds, columns, strict=True):
            slack = _slack(predicted[bound.metric], bound)[:, None]
            residual = values[:, column]
            held &= residual <= slack if bound.at_most else residual >= slack
        chance: Floats = held @ _weights(self.corpora[known])
        return chance


def _coverage(values: Floats, corpora: NDArray[np.intp], tail: float) -> float:
    """Share of values ``(n,)`` of a corpus between quantiles of the others, mean over corpora."""
    inside = []
    for group in folds(np.unique(corpora).tolist()):
        out = np.isin(corpora, list(group))
        low, high = _quantiles(values[~out], _weights(corpora[~out]), tail)
        held = (values >= low) & (values <= high)
        inside += [float(held[corpora == corpus].mean()) for corpus in group]
    return float(np.mean(inside))


def _slack(predicted: Floats, bound: Slo) -> Floats:
    """The residual at which a prediction meets the bound, ``(n,)``."""
    if bound.metric in ADDED:
        return bound.bound - predicted
    slack: Floats = math.log(max(bound.bound, 1e-12)) - np.log(np.maximum(predicted, 1e-12))
    return slack


def _weights(corpora: NDArray[np.intp]) -> Floats:
    """Of rows of these corpora ``(n,)``: every corpus the same, 1 in all."""
    counts = np.bincount(corpora)
    there = max(int((counts > 0).sum()), 1)
    found: Floats = 1.0 / (counts.take(corpora) * there)
    return found


def _spread(values: Floats) -> Floats:
    """At most ``PER_CORPUS`` rows, evenly spread."""
    at = np.linspace(0, len(values) - 1, min(len(values), PER_CORPUS)).round().astype(np.intp)
    return values.take(at, axis=0)


def _quantiles(values: Floats, weights: Floats, tail: float) -> tuple[float, float]:
    """Weighted quantiles that leave ``tail`` outside on either side."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    low = int(np.searchsorted(reached, tail + 1e-9, side="right"))
    high = int(np.searchsorted(reached, 1.0 - tail - 1e-9, side="left"))
    ends = values.take(order.take([low, min(high, len(values) - 1)]))
    return float(ends[0]), float(ends[1])
