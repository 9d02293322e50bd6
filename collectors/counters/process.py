"""What the process itself used: CPU time, page faults, context switches, IO.

All threads count, child processes do not. ``getrusage(2)`` tells CPU time (the kernel splits it
into user and system by sampling, the sum is exact), faults and switches. ``/proc/self/io`` tells

* ``io_read_bytes``, ``io_write_bytes``: what came from or goes to storage; what is served from the
  page cache is not in it, and writing is charged when a page is made dirty;
* ``io_read_syscall_bytes``, ``io_write_syscall_bytes``: what passed through read and write calls,
  whatever was behind them;
* ``io_read_syscalls``, ``io_write_syscalls``: these calls.

Where there is no Linux, psutil tells CPU time and resident memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from collectors.counters.source import Call, KernelFile

USAGE = {
    "cpu_user_s": "ru_utime",
    "cpu_system_s": "ru_stime",
    "page_faults_minor": "ru_minflt",
    "page_faults_major": "ru_majflt",
    "context_switches_voluntary": "ru_nvcsw",
    "context_switches_involuntary": "ru_nivcsw",
}
"""Metric → field of ``struct rusage``."""

IO = {
    "io_read_bytes": "read_bytes",
    "io_write_bytes": "write_bytes",
    "io_read_syscall_bytes": "rchar",
    "io_write_syscall_bytes": "wchar",
    "io_read_syscalls": "syscr",
    "io_write_syscalls": "syscw",
}
"""Metric → key of ``/proc/self/io``."""

IO_FILE = Path("/proc/self/io")


class Usage:
    """What ``getrusage`` tells of the process."""

    METRICS: ClassVar[Sequence[str]] = tuple(USAGE)

    def __init__(self) -> None:
        import resource

        self.missing: dict[str, str] = {}
        self.begins: list[Call] = [partial(resource.getrusage, resource.RUSAGE_SELF)]
        self.ends = self.begins

    def values(self, begun: Sequence[Any], ended: Sequence[Any]) -> dict[str, float]:
        (was,), (now,) = begun, ended
        return {m: getattr(now, field) - getattr(was, field) for m, field in USAGE.items()}

    def close(self) -> None:
        pass


class Io:
    """Bytes and calls of the process."""

    METRICS: ClassVar[Sequence[str]] = tuple(IO)

    def __init__(self) -> None:
        self._file = KernelFile(IO_FILE)
        self.begins: list[Call] = [self._file.read]
        self.ends = self.begins
        told = io_totals(self._file.first)
        self.missing = {m: f"{IO_FILE} has no {k}" for m, k in IO.items() if k not in told}

    def values(self, begun: Sequence[Any], ended: Sequence[Any]) -> dict[str, float]:
        """The read at the start was charged after it had been answered: it is taken off."""
        was, now = (io_totals(texts[0].decode()) for texts in (begun, ended))
        own = {"rchar": len(begun[0]), "syscr": 1}
        told = {m: key for m, key in IO.items() if m not in self.missing}
        return {m: now[key] - was[key] - own.get(key, 0) for m, key in told.items()}

    def close(self) -> None:
        self._file.close()


class Portable:
    """What psutil tells of the process on every system."""

    METRICS: ClassVar[Sequence[str]] = ("cpu_user_s", "cpu_system_s", "rss_mb")

    def __init__(self) -> None:
        import psutil

        process = psutil.Process()
        self.missing: dict[str, str] = {}
        self.begins: list[Call] = [process.cpu_times]
        self.ends: list[Call] = [process.memory_info, process.cpu_times]

    def values(self, begun: Sequence[Any], ended: Sequence[Any]) -> dict[str, float]:
        (was,), (memory, now) = begun, ended
        told = (now.user - was.user, now.system - was.system, memory.rss / 1e6)
        return dict(zip(self.METRICS, told, strict=True))

    def close(self) -> None:
        pass


def io_totals(text: str) -> dict[str, int]:
    """The lines ``key: number`` of ``/proc/self/io``."""
    pairs = (line.split(":") for line in text.splitlines())
    return {key: int(value) for key, value in pairs}
