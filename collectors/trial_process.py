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
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag.errors import AutoragError, InputError
from autorag.ports import LOST, SEEN, Measurement
from collectors.counters import Counters
from collectors.pressure import waited_share
from collectors.trial_job import TrialJob, measurement_to_json

if TYPE_CHECKING:
    from autorag.pipeline.measure import Asked

BUSY = 0.2
"""CPU pressure above which a pass is repeated."""

PASSES = 3
"""Passes at most."""

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the queries, and what was counted around it, asking again included."""

    asked: Asked
    counters: Mapping[str, float | None]

    @property
    def pressure(self) -> float | None:
        """Share of its time in which something waited for a CPU, 0..1."""
        return waited_share(self.counters["psi_cpu_some_us"], self.counters["wall_s"] or 0.0)

    @property
    def busy(self) -> bool:
        return (self.pressure or 0.0) > BUSY

    @property
    def again(self) -> bool:
        """Whether to ask again: not what lost its race anyway."""
        return self.busy and self.asked.lost is None

    @property
    def slow_share(self) -> float:
        """Share of the queries that were only asked while the machine was slow, 0..1."""
        return self.asked.slow / max(1, len(self.asked.results))


def main(job_path: Path, result_path: Path, parent: int) -> None:
    """Run the job and write its result."""
    die_with_parent(parent)
    try:
        with closing(Counters()) as counters:
            measured = measure(TrialJob.read(job_path), counters)
        row: dict[str, Any] = measurement_to_json(measured)
    except AutoragError as error:
        row = {"error": str(error), "input": isinstance(error, InputError)}
    draft = result_path.with_suffix(".draft")
    draft.write_text(json.dumps(row), encoding="utf-8")
    draft.replace(result_path)


def measure(job: TrialJob, counters: Counters) -> Measurement:
    """Build the pipeline of the job and measure it."""
    from autorag.evaluation.aggregate import aggregate, stage_quantiles
    from autorag.pipeline.artifacts import ArtifactStore
    from autorag.pipeline.build import BuildContext
    from autorag.pipeline.measure import add_answers, judge, run_queries, warm_up
    from autorag.pipeline.pace import Pace
    from autorag.pipeline.rag import Pipeline
    from autorag.workload import read_snapshot
    from collectors.hardware.identity import machine_fingerprint

    workload = read_snapshot(Path(job.snapshot))
    by_id = {q.id: q for q in workload.queries}
    queries = [by_id[id_] for id_ in job.queries]
    pace = Pace()
    store = ArtifactStore(Path(job.store), job.store_limit_bytes)
    context = BuildContext(store, Path(job.models), job.seed, progress=report)
    config = job.to_config()
    pipeline = Pipeline.open(config, workload.documents, context, parse_reused=job.parse_reused)
    gc.collect()
    gc.freeze()
    warm_up(pipeline, queries)
    memory_is_of_serving = give_back_memory()
    with counters:
        passes = run_passes(
            counters, lambda: run_queries(pipeline, queries, pace, report, job.referee())
        )
    peak = counters.values["rss_peak_mb"] if memory_is_of_serving else None
    kept = passes[-1] if passes[-1].asked.lost is not None else calmest(passes)
    asked = kept.asked.results
    results = judge(pipeline, queries[: len(asked)], asked)
    if job.generate:
        results = add_answers(pipeline, queries, asked, results, report)
    built = pipeline.built
    metrics = aggregate(results)
    metrics["memory_mb"] = pipeline.memory_bytes() / 1e6
    metrics["build_s"] = sum(built.build_s.values())
    if peak is not None:
        metrics["rss_peak_mb"] = peak
    conditions: dict[str, Any] = {
        "cpu_pressure": kept.pressure,
        "passes": len(passes),
        "busy": kept.busy,
        "slow_share": kept.slow_share,
        "chunks": len(built.chunks),
        "host": platform.node(),
        "hardware": machine_fingerprint(),
        "counters": dict(kept.counters),
    }
    if (lost := passes[-1].asked.lost) is not None:
        conditions |= {LOST: lost, SEEN: len(results) / len(queries)}
    return Measurement(
        metrics, stage_quantiles(results), built.reused, built.build_s, results, conditions
    )


def calmest(passes: Sequence[Pass]) -> Pass:
    """The pass in which least else was going on."""
    return min(passes, key=lambda p: (p.pressure or 0.0, p.asked.slow))


def run_passes(counters: Counters, run: Callable[[], Asked]) -> list[Pass]:
    """Ask the queries until nothing else wanted the CPU meanwhile, ``PASSES`` times at most."""
    passes: list[Pass] = []
    while not passes or (passes[-1].again and len(passes) < PASSES):
        with counters:
            asked = run()
        passes.append(Pass(asked, counters.values))
    return passes


def report(stage: str, done: int, total: int) -> None:
    """Tell the parent how far a stage is."""
    sys.stdout.write(json.dumps({"stage": stage, "done": done, "total": total}) + "\n")
    sys.stdout.flush()


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies, also by ``kill -9``; it may be dead."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # at once, and without a word: nobody is there to hear it


def give_back_memory() -> bool:
    """Give back what building needed and serving does not. Whether that could be done; else the
    peak of resident memory would be that of building."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
