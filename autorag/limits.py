"""What this process may use of the machine: cores by affinity and cgroup quota, memory by cgroup
limit.

Both cgroup versions, also mixed: a group's limit is the smallest on the way up to the mount
(https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/). ``root`` is where ``/proc``
and ``/sys`` are, for tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
UNLIMITED_BYTES = 2**60
"""cgroup v1 says "no limit" by a number near 2⁶³."""


def usable_cores(root: Path = ROOT) -> int:
    """Cores that this process may keep busy. A quota is rounded down: with one thread more than
    it pays for, all of them are throttled."""
    quota, cores = cpu_quota(root), affinity_cores()
    return cores if quota is None else max(1, min(cores, int(quota)))


def affinity_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(root: Path = ROOT) -> float | None:
    """CPU seconds a second that the cgroups allow, or None without a limit."""
    quotas = [_quota_v2(f) or _quota_v1(f) for f in cgroup_folders("cpu", root)]
    return min((q for q in quotas if q is not None), default=None)


def usable_memory_bytes(root: Path = ROOT) -> int | None:
    """The machine's memory or what the cgroups allow of it, whichever is less; None if unknown."""
    total = _memory_total(root)
    limits = [
        _number(folder / name)
        for folder in cgroup_folders("memory", root)
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    known = [n for n in (total, *limits) if n is not None and n < UNLIMITED_BYTES]
    return min(known, default=None)


def cgroup_folders(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """The folders of this process's cgroups for a controller, each with those above it, the
    innermost first: of version 1 where the controller is mounted, and of version 2."""
    groups = list(_groups(root))
    for mounted, point, version, controllers in _mounts(root):
        for owned, path in groups:
            of_v1 = controller in owned and controller in controllers
            mine = owned == [""] if version == 2 else of_v1
            if mine:
                yield from _upwards(root / point.lstrip("/"), mounted, path)


def _groups(root: Path) -> Iterator[tuple[list[str], str]]:
    """Controllers and path of each line of ``/proc/self/cgroup``; version 2 has no controllers."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        yield controllers.split(","), path


def _mounts(root: Path) -> Iterator[tuple[str, str, int, list[str]]]:
    """Mounted path, mount point, version and controllers of each cgroup hierarchy."""
    for line in _lines(root / "proc/self/mountinfo"):
        fields, _, kind = line.partition(" - ")
        system, _, options = kind.split(" ", 2)
        if system in ("cgroup", "cgroup2"):
            mounted, point = fields.split(" ")[3:5]
            yield mounted, point, 2 if system == "cgroup2" else 1, options.split(",")


def _upwards(point: Path, mounted: str, path: str) -> Iterator[Path]:
    """From the group up to the mount point. A path outside of what is mounted, as a container may
    see it (``/..``), is the mount point itself."""
    top = mounted.rstrip("/")
    inside = (path + "/").startswith(top + "/") and ".." not in path.split("/")
    folder = point / path[len(top) :].strip("/") if inside else point
    yield folder
    while folder != point:
        folder = folder.parent
        yield folder


def _quota_v2(folder: Path) -> float | None:
    words = " ".join(_lines(folder / "cpu.max")).split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0] != "max" else None


def _quota_v1(folder: Path) -> float | None:
    quota, period = (_number(folder / f"cpu.cfs_{n}_us") for n in ("quota", "period"))
    return quota / period if quota and period and quota > 0 else None


def _memory_total(root: Path) -> int | None:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _number(file: Path) -> int | None:
    text = "".join(_lines(file)).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _lines(file: Path) -> list[str]:
    """The lines of a kernel file; none where it is not there or may not be read."""
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
