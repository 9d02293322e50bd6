"""How far predictions are off on workloads that were not learned from, and what follows.

Residuals come from leaving out one corpus after the other: every config of a corpus that was not
learned from gives one joint residual, a number per metric (quality: measured − predicted; times,
tokens and memory: ``log(measured / predicted)``). What is exchangeable is the *corpus*, not the
config: residuals of one corpus are alike, so every corpus counts as one, however many configs it
has, and a quantile is that of the mean of the corpora's distribution functions (pooled CDF: Dunn,
Wasserman and Ramdas 2023). The finite-sample correction is that of split conformal prediction with
as many examples as there are corpora: nine are the fewest that support intervals of 80 %, and the
fewest that support a chance of .9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from autorag.objective import Slo
from models.analytic.columns import Floats

COVERAGE = 0.8
FEWEST_CORPORA = 9
"""k of them support quantiles from 1 / (k + 1) to k / (k + 1)."""

PER_CORPUS = 64
"""Residual vectors kept of a corpus, evenly spread over its configs."""

ADDED = ("ndcg_at_10", "ann_recall_at_10")
"""Metrics whose residual is a difference; those of the others are log ratios."""


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
        corpora = self.corpora[known]
        count = len(np.unique(corpora))
        if count < FEWEST_CORPORA:
            return -math.inf, math.inf
        tail = (1.0 - COVERAGE) / 2
        tail -= (1.0 - tail) / count
        return _quantiles(column[known], _weights(corpora), max(tail, 0.0))

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
