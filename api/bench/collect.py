"""Collecting the measured table: every workload of a suite, group by group.

A group is the configs of one part of the design that share chunks and threads, as far as the table
lacks them. It is measured once for quality and once for every repeat of times, each in a process of
its own, and its rows are kept in a file of its own under ``AUTORAG_HOME/bench`` that appears whole
or not at all. The table's file of a workload is written whenever a phase of it is done. What either
holds is not measured again: a collection that was killed goes on where it was, one of a changed
design measures what is new, and another machine adds what the first did not get to. Repeat 1 of all
workloads comes after repeat 0 of all, so that repeats are apart in time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.bench.suite import SuiteWorkload
from api.bench.workload import BenchWorkload, Step
from api.wiring import Parts
from autorag.errors import InputError
from autorag.hardware import HardwareProfile
from autorag.ports import Progress
from autorag.table.files import read_rows, write_machine, write_table
from collectors.hardware.profile import unfinished


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
        InputError: documents of a workload are not there, or times are to be taken and the
            machine's profile is not whole; nothing was measured.
        MeasurementError: a group could not be measured; what was measured before is kept.
    """
    for given in suite:
        given.check()
    lacking = unfinished(collection.profile) if collection.repeats else []
    if lacking:
        raise InputError(
            f"times tell nothing without the machine's profile, which lacks {', '.join(lacking)}: "
            "autorag profile --again, while nothing else runs",
            key="hardware",
            value=lacking[0],
        )
    for number in range(collection.repeats + 1):
        for given in suite:
            file = collection.table / f"{given.name}.parquet"
            known = read_rows(file) if file.is_file() else []
            workload = BenchWorkload(given, collection.parts, collection.repeats, known)
            steps = [s for s in workload.steps if s.round == number]
            if steps:
                _measure(workload, steps, collection)
                write_machine(collection.profile.identity, collection.table)
                write_table(workload.rows(collection.profile), file)


def _measure(workload: BenchWorkload, steps: Sequence[Step], collection: Collection) -> None:
    missing = [s for s in steps if not workload.measured(s)]
    configs = sum(len(s.configs) for s in missing)
    told = f"{len(missing)} groups to measure, {configs} configs"
    collection.said(f"{workload.name}: {steps[0].title}: {told}")
    for step in missing:
        workload.measure(step, collection.progress)
