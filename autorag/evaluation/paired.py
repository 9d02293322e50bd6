"""Paired comparisons of two configs measured on the same queries.

Percentile bootstrap over queries (Efron and Tibshirani, 1993): the queries are drawn with
replacement, the same draw for both configs, and the statistic's difference is taken. Queries about
the same document succeed and fail together, so groups of them are drawn as a whole. The
difference is *distinguishable* when its 95 % interval does not contain zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95

Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps values of shape ``(resamples, n)`` to ``(resamples,)``."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with a 95 % interval, in the metric's unit."""

    value: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    def to_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


def mean(values: np.ndarray) -> np.ndarray:
    """The mean along the last axis."""
    return np.asarray(values.mean(axis=-1))


def quantile(q: float) -> Statistic:
    """The ``q`` quantile along the last axis."""

    def statistic(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.quantile(values, q, axis=-1))

    return statistic


def paired_difference(
    before: np.ndarray,
    after: np.ndarray,
    statistic: Statistic,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
) -> Interval:
    """``statistic(after) - statistic(before)`` with its interval.

    Args:
        before, after: one value per query, shape ``(n,)``, same queries in the same order.
        groups: labels ``(n,)`` of queries that are not independent; whole groups are drawn.
    """
    both = np.stack([before, after])
    left, right = _resampled(both, statistic, rng, groups)
    value = statistic(after[None])[0] - statistic(before[None])[0]
    return _interval(float(value), right - left)


def bootstrap(
    values: np.ndarray,
    statistic: Statistic,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
) -> Interval:
    """``statistic(values)`` with its interval; shapes as in :func:`paired_difference`."""
    (resampled,) = _resampled(values[None], statistic, rng, groups)
    return _interval(float(statistic(values[None])[0]), resampled)


def _resampled(
    values: np.ndarray, statistic: Statistic, rng: np.random.Generator, groups: np.ndarray | None
) -> np.ndarray:
    """The statistic of each row of ``(rows, n)`` under the same draws: ``(rows, RESAMPLES)``."""
    labels = np.arange(values.shape[1]) if groups is None else groups
    _, label = np.unique(labels, return_inverse=True)
    count = int(label.max()) + 1
    draws = rng.integers(count, size=(RESAMPLES, count))
    if count == len(label):
        return np.stack([statistic(row[np.argsort(label)][draws]) for row in values])
    members = [np.flatnonzero(label == g) for g in range(count)]
    drawn = (np.concatenate([members[g] for g in draw]) for draw in draws)
    return np.stack([statistic(values[:, d]) for d in drawn], axis=1)


def _interval(value: float, resampled: np.ndarray) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
