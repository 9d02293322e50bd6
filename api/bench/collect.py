"""Collecting the measured table: every workload of a suite, group by group.

A group is the configs of one part of the design that share chunks and threads. It is measured once
for quality and once for every repeat of times, each in a process of its own, and its rows are kept
in a file of its own under ``AUTORAG_HOME/bench`` that appears whole or not at all; what is there is
not measured again. So a collection that was killed goes on where it was, and one of a changed
design measures what is new. Repeat 1 of all workloads comes after repeat 0 of all, so that repeats
are apart in time. The table's file of a workload is written again whenever a phase of it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.bench.suite import SuiteWorkload
from api.bench.workload import BenchWorkload, Step
from api.wiring import Parts
from autorag.hardware import HardwareProfile
from autorag.ports import Progress
from autorag.table.files import write_table


@dataclass(frozen=True)
class Collection:
    """What is collected, and where it goes.

    Attributes:
        table: folder of the table.
        repeats: how often times are taken; 0 judges quality only.
        progress: told how far a group is.
        said: told what happens, one line each.
    """

    parts: Parts
    profile: HardwareProfile
    table: Path
    repeats: int
    progress: Progress
    said: Callable[[str], None]


def collect(suite: Sequence[SuiteWorkload], collection: Collection) -> None:
    """Collect what is not there yet.

    Raises:
        MeasurementError: a group could not be measured; what was measured before is kept.
    """
    for number in range(collection.repeats + 1):
        for given in suite:
            workload = BenchWorkload(given, collection.parts, collection.repeats)
            _measure(workload, [s for s in workload.steps if s.round == number], collection)


def _measure(workload: BenchWorkload, steps: Sequence[Step], collection: Collection) -> None:
    missing = [s for s in steps if not workload.measured(s)]
    configs = sum(len(s.configs) for s in missing)
    told = f"{len(missing)} of {len(steps)} groups to measure, {configs} configs"
    collection.said(f"{workload.name}: {steps[0].title}: {told}")
    for step in missing:
        workload.measure(step, collection.progress)
    write_table(workload.rows(collection.profile), collection.table / f"{workload.name}.parquet")
