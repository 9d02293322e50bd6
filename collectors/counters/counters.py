"""Counters around measured blocks, and why some cannot be had on this host."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from collectors.counters.events import PerfEvents
from collectors.counters.gpu import Gpu
from collectors.counters.memory import Memory
from collectors.counters.process import Io, Portable, Usage
from collectors.counters.source import Files, Source, Table, reason
from collectors.counters.system import Pressure, Throttling

METRICS = (
    "wall_s",
    *Usage.METRICS,
    *Memory.METRICS,
    *Io.METRICS,
    *Pressure.METRICS,
    *Throttling.METRICS,
    *PerfEvents.METRICS,
    *Gpu.METRICS,
)
"""Every metric, in the order in which they are shown."""

TABLES: Sequence[type[Table]] = (Throttling, Pressure, Io)
"""IO last: what is read after it would be IO of the block."""

FILE_METRICS = tuple(metric for table in TABLES for metric in table.METRICS)


class Counters:
    """Counters around blocks. Opened once, they serve any number of blocks, also nested ones::

        with closing(Counters()) as counters:
            with counters:
                work()
            counters.values["cpu_user_s"]

    One instance belongs to one thread; what it counts is the whole process. Threads that start
    after it was opened cost nothing to count, earlier ones some microseconds a block.

    Attributes:
        capabilities: metric → why it cannot be had on this host, None where it can.
        sources: what is open, in the order in which it is read when a block starts; at its end it
            is the other way round.
    """

    def __init__(self) -> None:
        self.sources: list[Source] = []
        elsewhere = f"only Linux tells it, and this is {sys.platform}"
        self.capabilities: dict[str, str | None] = dict.fromkeys(METRICS, elsewhere)
        self.capabilities["wall_s"] = None
        self._add(Gpu.METRICS, Gpu)
        if sys.platform == "linux":
            self._add(PerfEvents.METRICS, PerfEvents)
            self._add(Memory.METRICS, Memory)
            self._add(FILE_METRICS, partial(Files, TABLES))
            self._add(Usage.METRICS, Usage)
        else:
            self._add(Portable.METRICS, Portable)
        self._begins = [source.begin for source in self.sources]
        self._ends = [source.end for source in reversed(self.sources)]
        self._started: list[tuple[list[Any], float]] = []
        self._ended: tuple[list[Any], list[Any], float] | None = None
        self._values: Mapping[str, float | None] | None = None

    @property
    def values(self) -> Mapping[str, float | None]:
        """Metric → number of the block that ended last, None where it is unknown."""
        if self._ended is None:
            raise LookupError("no block has ended yet")
        if self._values is None:
            begun, ended, wall_s = self._ended
            values: dict[str, float | None] = {**dict.fromkeys(METRICS), "wall_s": wall_s}
            for source, before, after in zip(self.sources, begun, reversed(ended), strict=True):
                values.update(source.values(before, after))
            self._values = values
        return self._values

    def __enter__(self) -> Counters:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin a block."""
        begun = [begin() for begin in self._begins]
        self._started.append((begun, time.perf_counter()))

    def stop(self) -> None:
        """End the block that began last."""
        stopped = time.perf_counter()
        begun, started = self._started.pop()
        ended = [end(b) for end, b in zip(self._ends, reversed(begun), strict=True)]
        self._ended = begun, ended, stopped - started
        self._values = None

    def close(self) -> None:
        """Give all file descriptors back. The values of the last block stay."""
        if self._ended is not None:
            self._values = self.values
        for source in self.sources:
            source.close()
        self.sources = []

    def _add(self, metrics: Sequence[str], opener: Callable[[], Source]) -> None:
        """Open a source and try it."""
        source, why = opened(opener)
        if source is None:
            self.capabilities.update(dict.fromkeys(metrics, why))
            return
        self.capabilities.update({m: source.missing.get(m) for m in metrics})
        if set(metrics) <= set(source.missing):
            source.close()
        else:
            self.sources.append(source)


def opened(opener: Callable[[], Source]) -> tuple[Source | None, str | None]:
    """A source that works, or why there is none."""
    try:
        source = opener()
    except OSError as error:
        return None, reason(error)
    try:
        begun = source.begin()
        source.values(begun, source.end(begun))
    except (OSError, ValueError, LookupError) as error:
        source.close()
        return None, reason(error)
    return source, None


def capabilities() -> dict[str, str | None]:
    """What this host counts: metric → why it cannot be had, None where it can."""
    counters = Counters()
    counters.close()
    return counters.capabilities
