"""Estimating and testing a mean while watching it: valid whenever one stops.

Values lie in [0, 1] and have, whatever was seen before, the same expectation. Both tools bet
against a candidate mean ``m`` (Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting", JRSS B 2024): with stakes ``λ`` fixed before each value is seen, the capital
``Π (1 + λ_i (x_i - m))`` is a martingale if ``m`` is the mean, and ever exceeds ``1 / α`` with
chance ``α`` at most (Ville 1939). Nothing is assumed of the distribution; a small variance is
found out and used.

* :class:`MeanSequence`: the interval of all ``m`` that nobody got rich against. Stakes are those
  that win soonest against means ``half_width`` away, ``λ = half_width / variance``: the interval is
  valid at all times and narrowest about when it is that narrow, after
  ``2 variance ln(2 / α) / half_width²`` values.
* :class:`MeanTest`: is the mean at least a target? Stakes grow with the distance seen so far
  (approximate growth-rate adaptive stakes, aGRAPA there): a mean far from the target is told
  after few values.

Drawn without replacement from a known number of values (``population``), the mean of what is left
moves with what was seen (same authors, NeurIPS 2020), and the interval closes on the exact mean.
"""

from __future__ import annotations

import math

import numpy as np

from autorag.evaluation.paired import LEVEL, Interval

STEP = 1e-4
"""Candidate means are this far apart; intervals are widened by as much."""

MOST_STAKE = 0.9
"""Share of the capital that can be lost on one value."""


class Moments:
    """Mean and variance of the values so far, pulled towards 1/2 and 1/4 as if by one value."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self._squares = 0.25

    @property
    def mean(self) -> float:
        return (0.5 + self.total) / (self.count + 1)

    @property
    def variance(self) -> float:
        return self._squares / (self.count + 1)

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self._squares += (value - self.mean) ** 2


class MeanSequence:
    """A confidence sequence of a mean: its intervals hold at all times together with ``level``.

    Args:
        half_width: the precision it is meant to reach; any is valid.
        population: how many values there are, when drawn from these without replacement.
    """

    def __init__(
        self, half_width: float, level: float = LEVEL, population: int | None = None
    ) -> None:
        self._half_width = half_width
        self._threshold = math.log(2 / (1 - level))
        self._population = population
        self._means = np.linspace(0.0, 1.0, round(1 / STEP) + 1)
        self._up, self._down = np.zeros((2, len(self._means)))
        self._seen = Moments()

    @property
    def count(self) -> int:
        """Values seen."""
        return self._seen.count

    def add(self, value: float) -> None:
        """See one more value, 0..1."""
        means = _remaining_mean(self._means, self._seen, self._population)
        stake = self._half_width / self._seen.variance
        with np.errstate(divide="ignore"):
            up = np.minimum(stake, MOST_STAKE / means)
            down = np.minimum(stake, MOST_STAKE / (1 - means))
        self._up += np.log1p(up * (value - means))
        self._down += np.log1p(-down * (value - means))
        self._seen.add(value)
        self._drop_refuted()

    def interval(self) -> Interval:
        """The mean of the values seen, and the interval of the mean that is estimated."""
        seen, low, high = self._seen, self._means[0] - STEP, self._means[-1] + STEP
        least, most = 0.0, 1.0
        if self._population is not None:
            least = seen.total / self._population
            most = least + 1 - seen.count / self._population
        low, high = float(max(low, least)), float(min(high, most))
        mean = seen.total / seen.count if seen.count else 0.5
        return Interval(min(max(mean, low), high), low, high)

    def _drop_refuted(self) -> None:
        kept = np.flatnonzero((self._up < self._threshold) & (self._down < self._threshold))
        if len(kept) and len(kept) < len(self._means):
            hull = slice(kept[0], kept[-1] + 1)
            self._means = self._means[hull].copy()
            self._up, self._down = self._up[hull].copy(), self._down[hull].copy()


class MeanTest:
    """A sequential test whether a mean is at least ``target``; wrong with chance 1 - ``level``."""

    def __init__(self, target: float, level: float = LEVEL, population: int | None = None) -> None:
        self._target = target
        self._threshold = math.log(1 / (1 - level))
        self._population = population
        self._up = self._down = 0.0
        self._seen = Moments()
        self.decision: bool | None = None

    def add(self, value: float) -> None:
        """See one more value, 0..1; a decision once made stands."""
        target = float(_remaining_mean(np.array(self._target), self._seen, self._population))
        gap = self._seen.mean - target
        stake = gap / (self._seen.variance + gap**2)
        if stake > 0:
            self._up += math.log1p(_capped(stake, target) * (value - target))
        else:
            self._down += math.log1p(-_capped(-stake, 1 - target) * (value - target))
        self._seen.add(value)
        if self.decision is None and max(self._up, self._down) >= self._threshold:
            self.decision = self._up > self._down


def _capped(stake: float, most_loss: float) -> float:
    """The stake, or what loses ``MOST_STAKE`` of the capital on the worst value."""
    return min(stake, MOST_STAKE / most_loss) if most_loss > 0 else stake


def _remaining_mean(means: np.ndarray, seen: Moments, population: int | None) -> np.ndarray:
    """The mean of the values not yet seen, if that of all is ``means``."""
    if population is None:
        return means
    if seen.count >= population:
        raise ValueError(f"more values than the population of {population}")
    return np.clip((population * means - seen.total) / (population - seen.count), 0.0, 1.0)
