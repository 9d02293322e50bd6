"""Counters around measured blocks, and why some cannot be had on this host."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collectors.counters.events import PerfEvents
from collectors.counters.gpu import Gpu
from collectors.counters.memory import Memory
from collectors.counters.process import Io, Portable, Usage
from collectors.counters.source import Call, Source, reason
from collectors.counters.system import Pressure, Throttling

LINUX: Sequence[type[Source]] = (Gpu, PerfEvents, Memory, Throttling, Pressure, Io, Usage)
"""In the order in which they are read when a block starts; at its end it is the other way round.
What is read between the reads of ``Io`` would be IO of the block."""

ELSEWHERE: Sequence[type[Source]] = (Gpu, Portable)

METRICS = ("wall_s", *(metric for source in reversed(LINUX) for metric in source.METRICS))
"""Every metric, in the order in which they are shown."""


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
        sources: what is open.
    """

    def __init__(self) -> None:
        elsewhere = f"only Linux tells it, and this is {sys.platform}"
        self.capabilities: dict[str, str | None] = dict.fromkeys(METRICS, elsewhere)
        self.capabilities["wall_s"] = None
        kinds = LINUX if sys.platform == "linux" else ELSEWHERE
        self.sources = [source for kind in kinds if (source := self._opened(kind)) is not None]
        self._begins = [call for source in self.sources for call in source.begins]
        self._ends = [call for source in self.sources for call in source.ends][::-1]
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
            before, after = iter(begun), reversed(ended)
            for source in self.sources:
                values.update(source_values(source, before, after))
            self._values = values
        return self._values

    def __enter__(self) -> Counters:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin a block."""
        self._started.append((call_all(self._begins), time.perf_counter()))

    def stop(self) -> None:
        """End the block that began last."""
        stopped = time.perf_counter()
        begun, started = self._started.pop()
        self._ended = begun, call_all(self._ends), stopped - started
        self._values = None

    def close(self) -> None:
        """Give all file descriptors back. The values of the last block stay."""
        if self._ended is not None:
            self._values = self.values
        for source in self.sources:
            source.close()
        self.sources = []

    def _opened(self, kind: type[Source]) -> Source | None:
        """A source that tells anything; why its metrics cannot be had is noted."""
        try:
            source = kind()
        except (OSError, ValueError, LookupError) as error:
            self.capabilities.update(dict.fromkeys(kind.METRICS, reason(error)))
            return None
        self.capabilities.update({m: source.missing.get(m) for m in kind.METRICS})
        if set(kind.METRICS) <= set(source.missing):
            source.close()
            return None
        return source


def call_all(calls: Sequence[Call]) -> list[Any]:
    """What each call gives; None where it failed, as reading from a removed cgroup does."""
    given = []
    for call in calls:
        try:
            given.append(call())
        except OSError:
            given.append(None)
    return given


def source_values(source: Source, before: Iterable[Any], after: Iterable[Any]) -> dict[str, float]:
    """The values of the source whose reads come next; none where one of them failed."""
    begun = [given for _, given in zip(source.begins, before, strict=False)]
    ended = [given for _, given in zip(source.ends, after, strict=False)]
    return source.values(begun, ended) if None not in (*begun, *ended) else {}


def capabilities() -> dict[str, str | None]:
    """What this host counts: metric → why it cannot be had, None where it can."""
    counters = Counters()
    counters.close()
    return counters.capabilities
