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
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from collectors.counters.source import READ_BYTES, reason

RSS, PEAK = "rss_mb", "rss_peak_mb"
STATM_FILE = Path("/proc/self/statm")
STATUS_FILE = Path("/proc/self/status")
RESET_FILE = Path("/proc/self/clear_refs")
RESET_PEAK = b"5"
NOTHING_KNOWN = sys.maxsize


@dataclass(eq=False, slots=True)
class Block:
    """A measured block and the highest peak found while it ran, in the kernel's 1024 bytes."""

    peak_kb: int = 0


_running: list[Block] = []
"""All blocks of the process that run now: they share the kernel's one peak."""

_lock = threading.Lock()


class Memory:
    """Resident memory."""

    METRICS = (RSS, PEAK)

    def __init__(self) -> None:
        import resource

        self.missing: dict[str, str] = {}
        self._usage = partial(resource.getrusage, resource.RUSAGE_SELF)
        self._statm = io.FileIO(STATM_FILE)
        self._reset: io.FileIO | None = None
        self._least_own_kb = NOTHING_KNOWN
        try:
            self._reset = io.FileIO(RESET_FILE, "w")
            self._least_own_kb = self._find_least_own(self._reset)
        except OSError as error:
            self.missing[PEAK] = reason(error, f"{error.filename}, the peak cannot start again")
            self._close_reset()

    def begin(self) -> Block | None:
        if self._reset is None:
            return None
        block = Block()
        with _lock:
            self._tell_running()
            self._reset.write(RESET_PEAK)
            _running.append(block)
        return block

    def end(self, begun: Block | None) -> bytes:
        if begun is not None:
            with _lock:
                self._tell_running()
                _running.remove(begun)
        return os.pread(self._statm.fileno(), READ_BYTES, 0)

    def values(self, begun: Block | None, ended: bytes) -> dict[str, float]:
        rss_mb = int(ended.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        return {RSS: rss_mb} | ({PEAK: begun.peak_kb * 1024 / 1e6} if begun is not None else {})

    def close(self) -> None:
        self._statm.close()
        self._close_reset()

    def _close_reset(self) -> None:
        if self._reset is not None:
            self._reset.close()
            self._reset = None

    def _find_least_own(self, reset: io.FileIO) -> int:
        """From here on, what ``getrusage`` tells is of this process image."""
        with _lock:
            self._tell_running()
            reset.write(RESET_PEAK)
            told, own = self._usage().ru_maxrss, peak_in_status_kb()
        return told if told <= own else told + 1

    def _tell_running(self) -> None:
        if _running:
            told = self._usage().ru_maxrss
            peak_kb = told if told >= self._least_own_kb else peak_in_status_kb()
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
