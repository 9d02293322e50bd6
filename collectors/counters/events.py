"""Performance events of the process, as a source of counters.

Counting starts when the events are opened and never stops; a block is the difference of two
readings. Every thread counts: those that run when the events are opened are opened one by one,
later ones inherit. Counts of a group are scaled over all threads together.

Hardware events are of user mode only, which is what ``perf_event_paranoid`` = 2, the usual setting,
allows. Events of the kernel need more (≤ 1, or CAP_PERFMON).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from collectors.counters.perf_event import (
    HARDWARE,
    HW_CACHE,
    SOFTWARE,
    Event,
    Reading,
    enable,
    open_event,
    why_not,
)
from collectors.counters.source import Call

TASKS = Path("/proc/self/task")
GROUP_BYTES = 128
LL, DTLB, READ_MISS = 2, 3, 1 << 16
"""A cache event is cache | operation << 8 | result << 16; reading is 0, an access 0, a miss 1."""

GROUPS = (
    (
        Event("perf_task_clock_s", SOFTWARE, 1, unit=1e-9),
        Event("perf_page_faults", SOFTWARE, 2, kernel=True),
        Event("perf_context_switches", SOFTWARE, 3, kernel=True),
        Event("perf_cpu_migrations", SOFTWARE, 4, kernel=True),
    ),
    (
        Event("perf_cycles", HARDWARE, 0),
        Event("perf_instructions", HARDWARE, 1),
        Event("perf_branches", HARDWARE, 4),
        Event("perf_branch_misses", HARDWARE, 5),
    ),
    (
        Event("perf_cache_references", HARDWARE, 2),
        Event("perf_cache_misses", HARDWARE, 3),
        Event("perf_dtlb_load_misses", HW_CACHE, DTLB | READ_MISS),
    ),
    (
        Event("perf_llc_loads", HW_CACHE, LL),
        Event("perf_llc_load_misses", HW_CACHE, LL | READ_MISS),
    ),
)
"""Counted together: the groups are small enough for the counters of common processors."""


class Group:
    """The same events of every thread of the process.

    Attributes:
        events: those that can be had.
        reads: give the group's totals, one a thread.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        """Open what can be had of them here.

        Raises:
            OSError: not even one event can be opened, or not for all threads.
        """
        self.events: list[Event] = []
        self.missing: dict[str, OSError] = {}
        self._files: list[io.FileIO] = []
        self.reads: list[Call] = []
        try:
            self._open_here(events)
            self._open_others()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _open_here(self, events: Iterable[Event]) -> None:
        """The events of this thread, which show what can be had."""
        for event in events:
            try:
                self._add(event, 0)
                self.events.append(event)
            except OSError as error:
                self.missing[event.metric] = error
        if not self.events:
            raise next(iter(self.missing.values()))
        self._enable(self._files[0])

    def _open_others(self) -> None:
        for thread in other_threads():
            first = len(self._files)
            try:
                for event in self.events:
                    self._add(event, thread, first)
                self._enable(self._files[first])
            except ProcessLookupError:  # it ended meanwhile
                continue

    def _add(self, event: Event, thread: int, first: int = 0) -> None:
        leader = self._files[first].fileno() if len(self._files) > first else -1
        self._files.append(open_event(event, thread, leader))

    def _enable(self, leader: io.FileIO) -> None:
        enable(leader)
        self.reads.append(partial(os.read, leader.fileno(), GROUP_BYTES))


class PerfEvents:
    """Software and hardware events of the process."""

    METRICS: ClassVar[Sequence[str]] = tuple(event.metric for group in GROUPS for event in group)

    def __init__(self, groups: Iterable[Sequence[Event]] = GROUPS) -> None:
        self.missing: dict[str, str] = {}
        self._groups: list[Group] = []
        for events in groups:
            try:
                group = Group(events)
            except OSError as error:
                self.missing.update({e.metric: why_not(error, e) for e in events})
                continue
            self._groups.append(group)
            lacking = (e for e in events if e.metric in group.missing)
            self.missing.update({e.metric: why_not(group.missing[e.metric], e) for e in lacking})
        self.begins: list[Call] = [read for group in self._groups for read in group.reads]
        self.ends = self.begins

    def values(self, begun: Sequence[Any], ended: Sequence[Any]) -> dict[str, float]:
        values: dict[str, float] = {}
        for group in self._groups:
            threads = len(group.reads)
            block = total(ended[:threads]) - total(begun[:threads])
            begun, ended = begun[threads:], ended[threads:]
            told = zip(group.events, block.scaled() or (), strict=False)
            values.update({event.metric: count * event.unit for event, count in told})
        return values

    def close(self) -> None:
        for group in self._groups:
            group.close()


def total(readings: Iterable[bytes]) -> Reading:
    """A group over all threads."""
    first, *others = map(Reading.unpack, readings)
    return sum(others, first)


def other_threads() -> Iterator[int]:
    """The threads of this process but the calling one."""
    import threading

    mine = threading.get_native_id()
    threads = (int(entry) for entry in os.listdir(TASKS))
    return (thread for thread in threads if thread != mine)
