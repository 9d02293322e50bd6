"""How a figure is sampled: repeats long enough to time, problems large enough to mean something."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

Value = TypeVar("Value")
Span = Literal["one", "all"]
"""On one core, or on all usable ones."""

CACHES = 4
"""Arrays are this many times as large as the last-level cache, or it would be measured instead."""

LARGEST_ARRAY_BYTES = 2**30
MEMORY_SHARE = 1 / 16
LONGEST_S = 4.0
"""After this long ``LEAST_REPEATS`` repeats are enough."""

LEAST_REPEATS = 2


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent on a figure: repeats, seconds each lasts at least, size of its problem."""

    name: str
    repeats: int
    repeat_s: float
    scale: float


FULL = Effort("full", 7, 0.1, 1.0)
QUICK = Effort("quick", 3, 0.005, 1 / 16)
EFFORTS = {e.name: e for e in (FULL, QUICK)}


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how the probes of one process run.

    Attributes:
        threads: 1 or all usable cores; the process's libraries are limited to as many.
        home: the folder whose disk is measured. ``models``: where models made here are kept.
        cache_bytes: the last-level cache that these threads reach.
        memory_bytes: memory that may be used.
    """

    span: Span
    threads: int
    effort: Effort
    home: Path
    models: Path
    cache_bytes: int
    memory_bytes: int

    def size(self, full: int) -> int:
        """A linear problem's size under the effort."""
        return max(1, int(full * self.effort.scale))

    def array_bytes(self) -> tuple[int, str]:
        """Bytes of an array beyond the caches, in whole MiB, and what is wrong with them."""
        wanted = self.size(CACHES * self.cache_bytes)
        allowed = int(self.memory_bytes * MEMORY_SHARE)
        chosen = max(1, min(wanted, LARGEST_ARRAY_BYTES, allowed) >> 20) << 20
        return chosen, "" if chosen > self.cache_bytes else "within the last-level cache"


Values = Mapping[str, Sequence[float]]
"""Figure → one value a repeat, in its unit."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Something that is set up and can be measured, again if need be."""

    take: Callable[[], Values]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """Figures that are measured together.

    Attributes:
        figures: their names.
        lacks: what is not here to measure them, or None.
        samplings: sets up and yields; what was set up is freed when it goes on.
    """

    name: str
    figures: tuple[str, ...]
    samplings: Callable[[Setting], Iterator[Sampling]]
    lacks: Callable[[Setting], str | None] = lambda setting: None


def rates(run: Callable[[], object], work: float, effort: Effort) -> list[float]:
    """``work`` over the seconds of one call, a value a repeat; a repeat is many calls where one
    is short. The first call is not timed."""
    run()
    once = _seconds(run, 1)
    calls = max(1, round(effort.repeat_s / once))
    return repeated(lambda: work * calls / _seconds(run, calls), effort.repeats)


def repeated(take: Callable[[], Value], repeats: int) -> list[Value]:
    """So many repeats; fewer when a disturbed machine makes them take too long."""
    ends = time.monotonic() + LONGEST_S
    taken = [take()]
    while len(taken) < repeats and (len(taken) < LEAST_REPEATS or time.monotonic() < ends):
        taken.append(take())
    return taken


def taking(
    figure: str, run: Callable[[], object], work: float, setting: Setting
) -> Callable[[], Values]:
    """Takes the repeats of one figure: ``work`` units a call."""
    return lambda: {figure: rates(run, work, setting.effort)}


def _seconds(run: Callable[[], object], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - started
