"""Paired comparisons of two configs measured on the same queries.

Percentile bootstrap over queries (Efron and Tibshirani, 1993): the queries are drawn with
replacement, the same draw for both configs, and the statistic's difference is taken. The
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
    before: np.ndarray, after: np.ndarray, statistic: Statistic, rng: np.random.Generator
) -> Interval:
    """``statistic(after) - statistic(before)`` with its interval.

    Args:
        before, after: one value per query, shape ``(n,)``, same queries in the same order.
    """
    draws = rng.integers(len(before), size=(RESAMPLES, len(before)))
    differences = statistic(after[draws]) - statistic(before[draws])
    value = float(statistic(after[None])[0] - statistic(before[None])[0])
    return _interval(value, differences)


def bootstrap(values: np.ndarray, statistic: Statistic, rng: np.random.Generator) -> Interval:
    """``statistic(values)`` with its interval; ``values`` has shape ``(n,)``."""
    draws = rng.integers(len(values), size=(RESAMPLES, len(values)))
    return _interval(float(statistic(values[None])[0]), statistic(values[draws]))


def _interval(value: float, resampled: np.ndarray) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
