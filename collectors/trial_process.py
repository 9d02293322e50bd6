"""The child process of one trial: build, warm up, measure, write the result, exit.

    python -m collectors.trial_process JOB RESULT PARENT

Progress goes to standard output, one JSON object a line. An error of ours is written to RESULT as
``{"error": ..., "input": whether what was given is at fault}``. The process dies with its parent.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import signal
import sys
from pathlib import Path
from typing import Any

from autorag.errors import AutoragError, InputError
from autorag.ports import Measurement
from collectors.pressure import PressureMark
from collectors.trial_job import TrialJob, measurement_to_json

BUSY = 0.2
"""CPU pressure above which a pass is repeated."""

PASSES = 3
"""Passes at most."""

PR_SET_PDEATHSIG = 1
RESET_PEAK = "5"


def main(job_path: Path, result_path: Path, parent: int) -> None:
    """Run the job and write its result."""
    die_with_parent(parent)
    try:
        row: dict[str, Any] = measurement_to_json(measure(TrialJob.read(job_path)))
    except AutoragError as error:
        row = {"error": str(error), "input": isinstance(error, InputError)}
    draft = result_path.with_suffix(".draft")
    draft.write_text(json.dumps(row), encoding="utf-8")
    draft.replace(result_path)


def measure(job: TrialJob) -> Measurement:
    """Build the pipeline of the job and measure it."""
    from autorag.evaluation.aggregate import aggregate, stage_quantiles
    from autorag.pipeline.artifacts import ArtifactStore
    from autorag.pipeline.build import BuildContext
    from autorag.pipeline.measure import add_answers, judge, run_queries, warm_up
    from autorag.pipeline.rag import Pipeline
    from autorag.workload import read_snapshot

    workload = read_snapshot(Path(job.snapshot))
    by_id = {q.id: q for q in workload.queries}
    queries = [by_id[id_] for id_ in job.queries]
    store = ArtifactStore(Path(job.store), job.store_limit_bytes)
    context = BuildContext(store, Path(job.models), job.seed, progress=report)
    config = job.to_config()
    pipeline = Pipeline.open(config, workload.documents, context, parse_reused=job.parse_reused)
    gc.collect()
    gc.freeze()
    warm_up(pipeline, queries)
    peak_is_of_serving = reset_peak_memory()
    passes = []
    for _ in range(PASSES):
        mark = PressureMark.now()
        asked = run_queries(pipeline, queries, report)
        passes.append((mark.since(), asked))
        if (passes[-1][0] or 0.0) <= BUSY:
            break
    peak = peak_memory_mb() if peak_is_of_serving else None
    pressure, asked = min(passes, key=lambda p: p[0] or 0.0)
    results = judge(pipeline, queries, asked)
    if job.generate:
        results = add_answers(pipeline, queries, asked, results, report)
    built = pipeline.built
    metrics = aggregate(results)
    metrics["memory_mb"] = pipeline.memory_bytes() / 1e6
    metrics["build_s"] = sum(built.build_s.values())
    if peak is not None:
        metrics["rss_peak_mb"] = peak
    conditions = {
        "cpu_pressure": pressure,
        "passes": len(passes),
        "busy": (pressure or 0.0) > BUSY,
        "chunks": len(built.chunks),
        "host": platform.node(),
    }
    return Measurement(
        metrics, stage_quantiles(results), built.reused, built.build_s, results, conditions
    )


def report(stage: str, done: int, total: int) -> None:
    """Tell the parent how far a stage is."""
    sys.stdout.write(json.dumps({"stage": stage, "done": done, "total": total}) + "\n")
    sys.stdout.flush()


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies, also by ``kill -9``; it may be dead."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise SystemExit("the parent is gone")


def reset_peak_memory() -> bool:
    """Let the peak of resident memory start here: what building needed is given back first.
    Whether that could be done; else the peak would be that of building."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    except (OSError, AttributeError):
        return False
    return True


def peak_memory_mb() -> float | None:
    """Peak resident memory since :func:`reset_peak_memory`, MB, or None where unknown."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except (OSError, ValueError):
        pass
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
