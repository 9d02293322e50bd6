"""What the machine and the cgroups did to the process: PSI totals and CPU throttling.

PSI (see :mod:`collectors.pressure`) is of the whole machine. Throttling is of the process's
cgroups, other processes in them included, on every level up to the mount point, because a quota on
any of them stops the process (https://docs.kernel.org/scheduler/sched-bwc.html):
``cgroup_throttled_s`` are seconds for which cores were refused, summed over cores and levels.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from autorag.limits import ROOT, cgroup_folders
from collectors import pressure
from collectors.counters.source import open_file, reason

PSI: dict[str, tuple[str, Literal["some", "full"]]] = {
    "psi_cpu_some_us": ("cpu", "some"),
    "psi_memory_some_us": ("memory", "some"),
    "psi_memory_full_us": ("memory", "full"),
    "psi_io_some_us": ("io", "some"),
    "psi_io_full_us": ("io", "full"),
}
"""Metric → file and line."""


class Pressure:
    """Microseconds in which tasks of the machine waited for a CPU, for memory, for IO."""

    METRICS: ClassVar[Sequence[str]] = tuple(PSI)

    def __init__(self, folder: Path = pressure.FOLDER) -> None:
        self.missing: dict[str, str] = {}
        self.files: list[io.FileIO] = []
        self._names: list[str] = []
        for name in dict.fromkeys(name for name, _ in PSI.values()):
            self._open(folder / name)

    def values(self, before: Sequence[str], after: Sequence[str]) -> dict[str, float]:
        was, now = (dict(zip(self._names, texts, strict=True)) for texts in (before, after))
        told = {m: (waited(was, m), waited(now, m)) for m in PSI if m not in self.missing}
        return {m: b - a for m, (a, b) in told.items() if a is not None and b is not None}

    def _open(self, path: Path) -> None:
        metrics = [m for m, (name, _) in PSI.items() if name == path.name]
        try:
            file, text = open_file(path)
        except OSError as error:
            why = reason(error, f"{path}, the kernel has no PSI or has it off")
            self.missing.update(dict.fromkeys(metrics, why))
            return
        self.files.append(file)
        self._names.append(path.name)
        lacking = (m for m in metrics if waited({path.name: text}, m) is None)
        self.missing.update({m: f"{path} has no line '{PSI[m][1]}'" for m in lacking})


class Throttling:
    """How often and how long the process's cgroups had used up their CPU quota."""

    METRICS: ClassVar[Sequence[str]] = ("cgroup_throttled_s", "cgroup_throttled_periods")

    def __init__(self, root: Path = ROOT) -> None:
        stats = (folder / "cpu.stat" for folder in cgroup_folders("cpu", root))
        opened = [open_file(stat) for stat in stats if stat.is_file()]
        self.files = [file for file, text in opened if throttled(text) is not None]
        for file, text in opened:
            if throttled(text) is None:
                file.close()
        why = "no cgroup of this process has the CPU controller"
        self.missing = {} if self.files else dict.fromkeys(self.METRICS, why)

    def values(self, before: Sequence[str], after: Sequence[str]) -> dict[str, float]:
        was, now = ([t for t in map(throttled, texts) if t] for texts in (before, after))
        if not was or len(was) != len(now):
            return {}
        totals = (sum(n[i] for n in now) - sum(w[i] for w in was) for i in (0, 1))
        return dict(zip(self.METRICS, totals, strict=True))


def waited(texts: dict[str, str], metric: str) -> int | None:
    """The total of a metric in the texts of the files."""
    name, who = PSI[metric]
    return pressure.waited_us(texts[name], who)


def throttled(text: str) -> tuple[float, int] | None:
    """Seconds and periods in a ``cpu.stat``; None where the group cannot be throttled.

    Version 2 has microseconds (``throttled_usec``), version 1 nanoseconds (``throttled_time``).
    """
    words = text.split()
    totals = dict(zip(words[::2], words[1::2], strict=False))
    for key, unit_s in (("throttled_usec", 1e-6), ("throttled_time", 1e-9)):
        if key in totals and "nr_throttled" in totals:
            return int(totals[key]) * unit_s, int(totals["nr_throttled"])
    return None
