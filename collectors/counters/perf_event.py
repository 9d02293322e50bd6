"""A shim over ``perf_event_open(2)``: events of the kernel and the processor, by ctypes.

Events are opened in groups, whose members count over the same time. A processor counts few events
at once: when there are more, the kernel takes turns (multiplexing) and tells how long a group was
enabled and how long it ran; a count is scaled by enabled / running.
"""

from __future__ import annotations

import ctypes
import errno
import io
import os
import platform
import struct
from dataclasses import dataclass
from pathlib import Path

from collectors.counters.source import reason

SYSCALL = {"x86_64": 298, "aarch64": 241}
"""Machine → number of ``perf_event_open``."""

HARDWARE, SOFTWARE, HW_CACHE = 0, 1, 3
FORMAT = 1 | 2 | 8
"""Total time enabled, total time running, group."""

DISABLED, INHERIT, EXCLUDE_KERNEL, EXCLUDE_HV = 1 << 0, 1 << 1, 1 << 5, 1 << 6
INHERIT_THREAD = 1 << 35
CLOEXEC = 1 << 3
ENABLE, WHOLE_GROUP = 0x2400, 1
"""``PERF_EVENT_IOC_ENABLE`` and its flag."""

ATTR_BYTES = 64
"""``PERF_ATTR_SIZE_VER0``: everything used here."""

PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")


@dataclass(frozen=True, slots=True)
class Event:
    """A thing to count.

    Attributes:
        kind: ``type`` of ``perf_event_attr``.
        kernel: also what the kernel does for the process.
        unit: the metric's unit over the event's.
    """

    metric: str
    kind: int
    config: int
    kernel: bool = False
    unit: float = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """A group's totals since it was opened: nanoseconds enabled and running, and its counts."""

    enabled_ns: int
    running_ns: int
    counts: tuple[int, ...]

    @classmethod
    def unpack(cls, data: bytes) -> Reading:
        size, enabled, running, *counts = struct.unpack(f"{len(data) // 8}Q", data)
        return cls(enabled, running, tuple(counts[:size]))

    def __add__(self, other: Reading) -> Reading:
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        enabled, running = self.enabled_ns + other.enabled_ns, self.running_ns + other.running_ns
        return Reading(enabled, running, counts)

    def __sub__(self, other: Reading) -> Reading:
        counts = tuple(a - b for a, b in zip(self.counts, other.counts, strict=True))
        enabled, running = self.enabled_ns - other.enabled_ns, self.running_ns - other.running_ns
        return Reading(enabled, running, counts)

    def scaled(self) -> tuple[float, ...] | None:
        """Counts as if the group had run all the time it was enabled; None if it never ran."""
        if self.running_ns == self.enabled_ns:
            return self.counts
        if self.running_ns == 0:
            return None
        return tuple(c * self.enabled_ns / self.running_ns for c in self.counts)


def open_event(event: Event, thread: int, leader: int) -> io.FileIO:
    """Open an event of a thread (0 is the calling one), and of those it starts, in the group of a
    leader, or as the leader of a new group (-1), which waits for :func:`enable`.

    Raises:
        OSError: it cannot be counted here.
    """
    number = SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"no system call number is known for {platform.machine()}")
    flags = DISABLED if leader < 0 else 0
    try:
        attr = attributes(event, flags | INHERIT_THREAD)
        return io.FileIO(_call(number, attr, thread, leader))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    # Before Linux 5.13 child processes cannot be told from threads: then they count too.
    return io.FileIO(_call(number, attributes(event, flags), thread, leader))


def attributes(event: Event, flags: int) -> bytes:
    """``struct perf_event_attr``: type, size, config, period, what to sample, format, flags;
    the rest is 0."""
    flags |= INHERIT | EXCLUDE_HV | (0 if event.kernel else EXCLUDE_KERNEL)
    head = struct.pack("IIQQQQQ", event.kind, ATTR_BYTES, event.config, 0, 0, FORMAT, flags)
    return head.ljust(ATTR_BYTES, b"\0")


def enable(leader: io.FileIO) -> None:
    """Start a complete group. A member added to a group that counts already would not count before
    its thread is scheduled again."""
    from fcntl import ioctl

    ioctl(leader, ENABLE, WHOLE_GROUP)


def why_not(error: OSError, event: Event) -> str:
    """Why an event cannot be counted, in words."""
    if error.errno in (errno.EACCES, errno.EPERM):
        allowed = 1 if event.kernel else 2
        return reason(
            error,
            f"perf_event_paranoid is {_paranoid()} (needed: at most {allowed}) and CAP_PERFMON is "
            "missing, or a container forbids perf_event_open",
        )
    if error.errno == errno.ENOENT and event.kind != SOFTWARE:
        return reason(error, "the processor shows no such counter (a virtual machine?)")
    if error.errno == errno.EMFILE:
        return reason(error, "too many threads run, each needs file descriptors of its own")
    return reason(error, "perf_event_open")


def _call(number: int, attr: bytes, thread: int, leader: int) -> int:
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    arguments = [ctypes.c_long(v) for v in (thread, -1, leader, CLOEXEC)]
    opened = int(syscall(ctypes.c_long(number), attr, *arguments))
    if opened < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return opened


def _paranoid() -> str:
    try:
        return PARANOID.read_text().strip()
    except OSError:
        return "unknown"
