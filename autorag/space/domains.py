"""Domains: what one knob may be, and how its values are sampled, moved and encoded.

A domain checks a value, draws one, names the values next to one, and maps a value to coordinates
in [0, 1] and back. ``decode(encode(x)) == x`` holds for every value that ``check`` accepts.

Sampling and neighbours use the domain's *grid* where it has one. A grid makes trials meet in the
same artifacts: 300 and 310 tokens a chunk are hardly different for answers but share no build.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Value = bool | int | float | str

FLOAT_DIGITS = 6
"""Floats are rounded to this many digits, so that encoding and decoding are exact."""


class Domain(Protocol):
    """What one knob may be."""

    @property
    def width(self) -> int:
        """Number of coordinates of an encoded value."""

    @property
    def grid(self) -> tuple[Value, ...]:
        """The values that sampling and neighbours use, in order."""

    @property
    def ordered(self) -> bool:
        """Whether nearby grid values behave alike."""

    def check(self, value: Any) -> Value:
        """Return the normalised value; raise ``ValueError`` saying what is allowed."""

    def sample(self, rng: np.random.Generator) -> Value:
        """Draw one value."""

    def neighbours(self, value: Value) -> tuple[Value, ...]:
        """The values one step away; never ``value`` itself."""

    def encode(self, value: Value) -> tuple[float, ...]:
        """Coordinates in [0, 1], ``width`` of them."""

    def decode(self, coordinates: Sequence[float]) -> Value:
        """The value at the coordinates."""

    def describe(self) -> str:
        """The domain in words, for messages."""


@dataclass(frozen=True, slots=True)
class Number:
    """An interval of integers or floats, linear or logarithmic.

    Args:
        low, high: the closed bounds; ``low > 0`` when ``log``.
        integer: whether only whole numbers are allowed.
        log: whether distances are ratios.
        grid: the values to sample from; a continuous draw without one.
    """

    low: float
    high: float
    integer: bool = False
    log: bool = False
    grid: tuple[Value, ...] = ()

    @property
    def width(self) -> int:
        return 1

    @property
    def ordered(self) -> bool:
        return True

    def check(self, value: Any) -> Value:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"expected {self.describe()}")
        if not self.low <= value <= self.high:
            raise ValueError(f"expected {self.describe()}")
        if not self.integer:
            return round(float(value), FLOAT_DIGITS) + 0.0
        if value != int(value):
            raise ValueError(f"expected {self.describe()}")
        return int(value)

    def sample(self, rng: np.random.Generator) -> Value:
        if self.grid:
            return self.grid[int(rng.integers(len(self.grid)))]
        return self.decode((float(rng.random()),))

    def neighbours(self, value: Value) -> tuple[Value, ...]:
        if self.grid:
            below = [g for g in self.grid if float(g) < float(value)]
            above = [g for g in self.grid if float(g) > float(value)]
            return tuple(below[-1:] + above[:1])
        (at,) = self.encode(value)
        left, right = (self.decode((min(1.0, max(0.0, at + d)),)) for d in (-0.1, 0.1))
        if self.integer:
            left, right = min(int(left), int(value) - 1), max(int(right), int(value) + 1)
        steps = (s for s in (left, right) if self.low <= float(s) <= self.high)
        return tuple(dict.fromkeys(s for s in steps if s != value))

    def encode(self, value: Value) -> tuple[float, ...]:
        low, high, x = (self._scale(v) for v in (self.low, self.high, float(value)))
        return ((x - low) / (high - low),) if high > low else (0.0,)

    def decode(self, coordinates: Sequence[float]) -> Value:
        low, high = self._scale(self.low), self._scale(self.high)
        x = self._unscale(low + float(coordinates[0]) * (high - low))
        x = min(self.high, max(self.low, x))
        return round(x) if self.integer else round(float(x), FLOAT_DIGITS) + 0.0

    def describe(self) -> str:
        kind = "an integer" if self.integer else "a number"
        return f"{kind} from {self.low:g} to {self.high:g}"

    def _scale(self, x: float) -> float:
        return math.log(x) if self.log else x

    def _unscale(self, x: float) -> float:
        return math.exp(x) if self.log else x


@dataclass(frozen=True, slots=True)
class Choice:
    """A set of values: categorical (one-hot), or ordinal when ``ordered``."""

    grid: tuple[Value, ...]
    ordered: bool = False

    @property
    def width(self) -> int:
        return 1 if self.ordered else len(self.grid)

    def check(self, value: Any) -> Value:
        for allowed in self.grid:
            if type(allowed) is type(value) and allowed == value:
                return allowed
            if isinstance(allowed, float) and type(value) is int and allowed == value:
                return allowed
        raise ValueError(f"expected {self.describe()}")

    def sample(self, rng: np.random.Generator) -> Value:
        return self.grid[int(rng.integers(len(self.grid)))]

    def neighbours(self, value: Value) -> tuple[Value, ...]:
        if not self.ordered:
            return tuple(v for v in self.grid if v != value)
        at = self.grid.index(value)
        return self.grid[max(0, at - 1) : at] + self.grid[at + 1 : at + 2]

    def encode(self, value: Value) -> tuple[float, ...]:
        at = self.grid.index(value)
        if self.ordered:
            return (at / max(1, len(self.grid) - 1),)
        return tuple(float(i == at) for i in range(len(self.grid)))

    def decode(self, coordinates: Sequence[float]) -> Value:
        if self.ordered:
            return self.grid[round(float(coordinates[0]) * max(1, len(self.grid) - 1))]
        return self.grid[int(np.argmax(coordinates))]

    def describe(self) -> str:
        return "one of " + ", ".join(str(v) for v in self.grid)
