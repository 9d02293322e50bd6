"""The child process of one group: measure every config, write one row each, exit.

    python -m collectors.group.process JOB RESULT PARENT

A row is an object by the names of the measured table's columns; a config that cannot be measured
here gives ``{"config", "failed"}``. See :mod:`collectors.child` for how the process speaks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from autorag.errors import AutoragError, InputError, MeasurementError
from autorag.ports import Progress
from autorag.space import Config
from collectors.counters import Counters
from collectors.group.job import GroupJob
from collectors.trial_process import die_with_parent, report


def main(job_path: Path, result_path: Path, parent: int) -> None:
    """Run the job and write its rows."""
    die_with_parent(parent)
    try:
        result: Any = list(measured(GroupJob.read(job_path), report))
    except AutoragError as error:
        result = {"error": str(error), "input": isinstance(error, InputError)}
    draft = result_path.with_suffix(".draft")
    draft.write_text(json.dumps(result), encoding="utf-8")
    draft.replace(result_path)


def measured(job: GroupJob, progress: Progress) -> Iterator[dict[str, Any]]:
    """One row a config, in an order that shares what can be shared."""
    from autorag.pipeline.workbench import build_order
    from collectors.group.quality import Quality
    from collectors.group.timing import Timing

    configs = sorted(job.to_configs(), key=build_order)
    with closing(Counters()) as counters:
        quality = job.phase == "quality"
        phase = Quality(job, progress) if quality else Timing(job, counters, progress)
        for done, config in enumerate(configs):
            progress(job.phase, done, len(configs))
            yield {"config": config.canonical, **_row(phase, config)}


def _row(phase: Any, config: Config) -> dict[str, Any]:
    try:
        row: dict[str, Any] = phase.row(config)
    except MeasurementError as error:
        return {"failed": str(error)}
    return row


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
