"""What the machine and the cgroups did to the process: PSI totals and CPU throttling.

PSI (see :mod:`collectors.pressure`) is of the whole machine. Throttling is of the process's
cgroups, other processes in them included, on every level up to the mount point, because a quota on
any of them stops the process (https://docs.kernel.org/scheduler/sched-bwc.html):
``cgroup_throttled_s`` are seconds for which cores were refused, summed over cores and levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from autorag.limits import ROOT, cgroup_folders
from collectors import pressure
from collectors.counters.source import Call, KernelFile, reason

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
        self._files: dict[str, KernelFile] = {}
        for name in dict.fromkeys(name for name, _ in PSI.values()):
            self._open(folder / name)
        self.begins: list[Call] = [file.read for file in self._files.values()]
        self.ends = self.begins

    def values(self, begun: Sequence[Any], ended: Sequence[Any]) -> dict[str, float]:
        was, now = (dict(zip(self._files, texts, strict=True)) for texts in (begun, ended))
        told = {m: (waited(was, m), waited(now, m)) for m in PSI if m not in self.missing}
        return {m: b - a for m, (a, b) in told.items() if a is not None and b is not None}

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _open(self, path: Path) -> None:
        metrics = [m for m, (name, _) in PSI.items() if name == path.name]
        try:
            self._files[path.name] = KernelFile(path)
        except OSError as error:
            why = reason(error, f"{path}, the kernel has no PSI or has it off")
            self.missing.update(dict.fromkeys(metrics, why))
            return
        text = self._files[path.name].first.encode()
        lacking = (m for m in metrics if waited({path.name: text}, m) is None)
        self.missing.update({m: f"{path} has no line '{PSI[m][1]}'" for m in lacking})


class Throttling:
    """How often and how long the process's cgroups had used up their CPU quota."""

    METRICS: ClassVar[Sequence[str]] = ("cgroup_throttled_s", "cgroup_throttled_periods")

    def __init__(self, root: Path = ROOT) -> None:
        stats = (folder / "cpu.stat" for folder in cgroup_folders("cpu", root))
        files = [KernelFile(stat) for stat in stats if stat.is_file()]
        self._files = [file for file in files if throttled(file.first) is not None]
        for file in files:
            if file not in self._files:
                file.close()
        self.begins: list[Call] = [file.read for file in self._files]
        self.ends = self.begins
        why = "no cgroup of this process has the CPU controller"
        self.missing = {} if self._files else dict.fromkeys(self.METRICS, why)

    def values(self, begun: Sequence[Any], ended: Sequence[Any]) -> dict[str, float]:
        was, now = ([throttled(text.decode()) for text in texts] for texts in (begun, ended))
        known = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(was, now, strict=True) if a and b]
        totals = (sum(seconds for seconds, _ in known), sum(periods for _, periods in known))
        return dict(zip(self.METRICS, totals, strict=True)) if len(known) == len(was) else {}

    def close(self) -> None:
        for file in self._files:
            file.close()


def waited(texts: Mapping[str, bytes], metric: str) -> int | None:
    """The total of a metric in the texts of the files."""
    name, who = PSI[metric]
    return pressure.waited_us(texts[name].decode(), who)


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
