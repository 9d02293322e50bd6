"""A histogram of one metric that can be merged: what is kept of many values when the values go.

DDSketch (Masson, Rim and Lee, "DDSketch: A fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 2019) without collapsing: bin ``i`` holds the values in
``(γ^(i-1), γ^i]`` with ``γ = (1 + a) / (1 - a)``, so that its middle is within ``a`` = 1 % of each.
Negative values have bins of their own, and zero has one. Merging adds the bins up, in any order and
grouping to the same result: exactly where weights are whole numbers, else up to rounding.

A bin's key is ordered as its values are: ``i + SHIFT`` for positive values (all > 0), its negation
for negative ones, 0 for zero.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import msgspec
import numpy as np

from autorag.errors import InputError, StoreError

RELATIVE_ACCURACY = 0.01
GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY)
SMALLEST = float(np.finfo(np.float64).tiny)
"""Values nearer to zero than this count as zero: below it floats have no relative accuracy."""

LARGEST = float(np.finfo(np.float64).max)

VERSION = 1
"""First byte of the written form; raised when that changes."""

SHIFT = 36_000
"""More than the number of bins between ``SMALLEST`` and 1."""

_LOG_GAMMA = math.log(GAMMA)
_WHOLE = 2.0**53
"""Below it every whole number is a float."""

_Written = tuple[int, float, float | None, float | None, list[int], list[int | float]]
"""count, total, low, high, differences of the keys, weights."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """How one metric was distributed.

    Attributes:
        keys: int64 ``(bins,)``, ascending.
        weights: float64 ``(bins,)``, the weight in each bin, > 0.
        count: how many values were taken in, whatever their weights.
        total: their weighted sum, in the metric's unit; one beyond the floats is the largest float.
        low, high: the least and the greatest value; None of an empty histogram.
    """

    keys: np.ndarray
    weights: np.ndarray
    count: int
    total: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray | None = None) -> Histogram:
        """The histogram of ``values`` ``(n,)``, each once or with its weight ``(n,)``.

        Raises:
            InputError: a value that is not finite, or a weight that is not positive and finite.
        """
        taken = np.asarray(values, dtype=np.float64)
        counted = np.ones(len(taken)) if weights is None else np.asarray(weights, dtype=np.float64)
        _check(taken, counted)
        if not len(taken):
            return EMPTY
        keys, summed = _added_up(_keys(taken), counted)
        with np.errstate(over="ignore", invalid="ignore"):
            total = _saturated(float(taken @ counted))
        return cls(keys, summed, len(taken), total, float(taken.min()), float(taken.max()))

    def merge(self, other: Histogram) -> Histogram:
        """The histogram of the values of both."""
        if not other.count:
            return self
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return other
        keys, weights = _added_up(
            np.concatenate([self.keys, other.keys]), np.concatenate([self.weights, other.weights])
        )
        low, high = min(self.low, other.low), max(self.high, other.high)
        total = _saturated(self.total + other.total)
        return Histogram(keys, weights, self.count + other.count, total, low, high)

    def quantile(self, q: float) -> float | None:
        """The least value that at least the share ``q`` (0..1) of the weight does not exceed,
        within 1 %, and exactly for 0 and 1; None of an empty histogram."""
        if not 0 <= q <= 1:
            raise InputError(f"a quantile must be in 0..1, not {q}", key="q", value=q)
        if self.low is None or self.high is None:
            return None
        if q in (0, 1):
            return self.high if q else self.low
        reached = np.cumsum(self.weights)
        at = min(int(np.searchsorted(reached, q * reached[-1])), len(reached) - 1)
        return min(max(_middle(int(self.keys[at])), self.low), self.high)

    @property
    def weight(self) -> float:
        """Weight of all values: ``count`` where none were given."""
        return float(self.weights.sum())

    @property
    def mean(self) -> float | None:
        """The weighted mean; None of an empty histogram."""
        return self.total / self.weight if self.count else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._written() == other._written()

    __hash__ = None  # type: ignore[assignment]

    def to_bytes(self) -> bytes:
        """A compact form to be kept."""
        return bytes([VERSION]) + zlib.compress(msgspec.msgpack.encode(self._written()))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Histogram:
        """The inverse of :meth:`to_bytes`.

        Raises:
            StoreError: not written by it, or damaged since.
        """
        if raw[:1] != bytes([VERSION]):
            raise StoreError(f"a histogram of version {raw[:1].hex() or 'none'}, not {VERSION:02x}")
        try:
            written = msgspec.msgpack.decode(zlib.decompress(raw[1:]), type=_Written)
        except (zlib.error, msgspec.MsgspecError) as error:
            raise StoreError(f"a damaged histogram: {error}") from error
        count, total, low, high, steps, weights = written
        if len(steps) != len(weights) or (count == 0) != (not steps):
            raise StoreError("a damaged histogram: its parts do not fit together")
        keys = np.cumsum(np.array(steps, dtype=np.int64))
        return cls(keys, np.array(weights, dtype=np.float64), count, total, low, high)

    def _written(self) -> _Written:
        steps = np.diff(self.keys, prepend=0).tolist()
        weights = [int(w) if w < _WHOLE and w.is_integer() else w for w in self.weights.tolist()]
        return self.count, self.total, self.low, self.high, steps, weights


EMPTY = Histogram(np.empty(0, np.int64), np.empty(0), 0, 0.0, None, None)


def _check(values: np.ndarray, weights: np.ndarray) -> None:
    if values.ndim != 1 or values.shape != weights.shape:
        shapes = f"{values.shape} and {weights.shape}"
        raise InputError(f"values and weights must be two equal rows, not {shapes}", key="weights")
    finite = np.isfinite(values)
    if not finite.all():
        wrong = float(values[~finite][0])
        raise InputError(f"a value must be a finite number, not {wrong}", key="values", value=wrong)
    usable = np.isfinite(weights) & (weights > 0)
    if not usable.all():
        wrong = float(weights[~usable][0])
        raise InputError(
            f"a weight must be a positive number, not {wrong}", key="weights", value=wrong
        )


def _keys(values: np.ndarray) -> np.ndarray:
    sizes = np.abs(values)
    seen = sizes >= SMALLEST
    keys = np.zeros(len(values), dtype=np.int64)
    bins = np.ceil(np.log(sizes[seen]) / _LOG_GAMMA).astype(np.int64) + SHIFT
    keys[seen] = np.where(values[seen] > 0, bins, -bins)
    return keys


def _saturated(total: float) -> float:
    return max(-LARGEST, min(LARGEST, total))


def _middle(key: int) -> float:
    """The value that is within 1 % of every value of a bin."""
    if key == 0:
        return 0.0
    with np.errstate(over="ignore"):
        size = float(np.exp((abs(key) - SHIFT) * _LOG_GAMMA) * (2 / (1 + GAMMA)))
    return math.copysign(size, key)


def _added_up(keys: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each key once, ascending, with its weights added up."""
    found, where = np.unique(keys, return_inverse=True)
    return found, np.bincount(where, weights)
