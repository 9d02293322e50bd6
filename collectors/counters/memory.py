"""Resident memory of the process: at the end of a block, and its peak within.

The kernel keeps one peak per process, and writing 5 to ``/proc/self/clear_refs`` lets it start
again at what is resident now (https://docs.kernel.org/filesystems/proc.html). Every block does so
when it starts, and hands the blocks that are running the peak so far before.

``getrusage`` tells the peak cheaply, but never less than the peak of what the process was before
``exec``, which may be its parent's memory. Where that could hide it, ``VmHWM`` of
``/proc/self/status`` is read, which is right and costs more.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from mmap import PAGESIZE
from pathlib import Path
from typing import Any, ClassVar

from collectors.counters.source import Call, KernelFile, reason

STATM_FILE = Path("/proc/self/statm")
STATUS_FILE = Path("/proc/self/status")
RESET_FILE = Path("/proc/self/clear_refs")
RESET_PEAK = b"5"


@dataclass(eq=False, slots=True)
class Block:
    """A measured block: the highest peak that was found before the kernel's started again."""

    peak_kb: int = 0


_running: list[Block] = []
"""All blocks of the process that run now: they share the kernel's one peak."""

_lock = threading.Lock()


class Memory:
    """Resident memory."""

    METRICS: ClassVar[Sequence[str]] = ("rss_mb", "rss_peak_mb")

    def __init__(self) -> None:
        import resource

        self.missing: dict[str, str] = {}
        self.begins: list[Call] = []
        self._usage = partial(resource.getrusage, resource.RUSAGE_SELF)
        self._statm = KernelFile(STATM_FILE)
        self.ends: list[Call] = [self._statm.read]
        self._blocks: list[Block] = []
        self._reset: io.FileIO | None = None
        try:
            self._open_peak()
        except OSError as error:
            why = reason(error, f"{error.filename or RESET_FILE}, the peak cannot start again")
            self.missing["rss_peak_mb"] = why
            self._close_reset()

    def values(self, begun: Sequence[Any], ended: Sequence[Any]) -> dict[str, float]:
        values = {"rss_mb": int(ended[0].split()[1]) * PAGESIZE / 1e6}
        return values if self._reset is None else {**values, "rss_peak_mb": ended[1] * 1024 / 1e6}

    def close(self) -> None:
        self._statm.close()
        self._close_reset()

    def _open_peak(self) -> None:
        self._reset = io.FileIO(RESET_FILE, "w")
        self._start_again = partial(self._reset.write, RESET_PEAK)
        with _lock:
            tell_running(peak_in_status_kb())
            self._start_again()
            told, own = self._usage().ru_maxrss, peak_in_status_kb()
        self._least_own_kb = told if told <= own else told + 1
        self.begins.append(self._begin)
        self.ends.append(self._end)

    def _begin(self) -> Block:
        block = Block()
        self._blocks.append(block)
        with _lock:
            if _running:
                tell_running(self._peak_kb())
            _running.append(block)
            self._start_again()
        return block

    def _end(self) -> int:
        """The peak of the block that began last."""
        block = self._blocks.pop()
        with _lock:
            now_kb = self._peak_kb()
            _running.remove(block)
        return max(block.peak_kb, now_kb)

    def _peak_kb(self) -> int:
        """The peak since it started again. From ``least_own_kb`` on, what ``getrusage`` tells is of
        this process image."""
        told: int = self._usage().ru_maxrss
        return told if told >= self._least_own_kb else peak_in_status_kb()

    def _close_reset(self) -> None:
        if self._reset is not None:
            self._reset.close()
            self._reset = None


def tell_running(peak_kb: int) -> None:
    """The peak so far was one of every block that runs."""
    for block in _running:
        block.peak_kb = max(block.peak_kb, peak_kb)


def peak_in_status_kb() -> int:
    """The peak in ``/proc/self/status``.

    Raises:
        OSError: it is not told.
    """
    with STATUS_FILE.open() as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), str(STATUS_FILE))
