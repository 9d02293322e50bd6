"""The child process that probes: its libraries have the threads that its environment allows.

    python -m collectors.hardware.child JOB PARENT

JOB is a JSON object. Progress and figures go to standard output, one JSON object a line: ``{"at":
probe, "done", "total"}``, ``{"figure", "rate"}`` and ``{"figure", "missing": reason}``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from autorag.hardware import FIGURES, Rate
from collectors.hardware import disk, generator, int8, pipeline_rates, roofline
from collectors.hardware.job import Job
from collectors.hardware.sampling import Probe, Setting
from collectors.pressure import PressureMark
from collectors.trial_process import die_with_parent

BUSY = 0.1
"""CPU pressure above which a figure is measured again. Stricter than for trials: a figure takes a
second, and where threads wait for each other a little disturbance costs much.
"""


def probes(span: str) -> list[Probe]:
    """What is probed on one core or on all, in order."""
    return [
        *roofline.probes(span),
        int8.probe(span),
        *([disk.probe()] if span == "one" else []),
        *pipeline_rates.probes(span),
        generator.probe(span),
    ]


def main(job: Job, parent: int) -> None:
    """Probe and tell."""
    die_with_parent(parent)
    todo = [p for p in probes(job.setting.span) if {*p.figures} & {*job.figures}]
    for done, probe in enumerate(todo):
        tell({"at": probe.name, "done": done, "total": len(todo)})
        run_probe(probe, job.setting)


def run_probe(probe: Probe, setting: Setting) -> None:
    """Measure and tell a probe's figures, or why it cannot."""
    reason = probe.lacks(setting)
    told: set[str] = set()
    try:
        for figure, rate in samples(probe, setting) if reason is None else ():
            tell({"figure": figure, "rate": asdict(rate)})
            told.add(figure)
    except TimeoutError as error:
        reason = str(error)
    except Exception as error:  # a probe's failure costs its own figures, and the profile tells it
        reason = f"{type(error).__name__}: {error}"
    for figure in probe.figures:
        if figure not in told:
            tell({"figure": figure, "missing": reason or "the probe did not tell it"})


def samples(probe: Probe, setting: Setting) -> Iterator[tuple[str, Rate]]:
    """A probe's figures, each with the CPU pressure while it was measured."""
    for sampling in probe.samplings(setting):
        mark = PressureMark.now()
        values = sampling.take()
        pressure = mark.since()
        for figure, repeats in values.items():
            yield figure, rate_of(figure, repeats, pressure, sampling.note)


def rate_of(figure: str, repeats: Sequence[float], pressure: float | None, note: str) -> Rate:
    busy = (pressure or 0.0) > BUSY
    return Rate.of(repeats, FIGURES[figure].unit, pressure=pressure, busy=busy, note=note)


def tell(row: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Job.from_json(sys.argv[1]), int(sys.argv[2]))
