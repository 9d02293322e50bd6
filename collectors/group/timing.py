"""The timing phase: one client, closed loop, caches cold, warm-up first, for every config."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

from autorag.evaluation.aggregate import aggregate, stage_quantiles
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext
from autorag.pipeline.measure import add_answers, run_queries, warm_up
from autorag.pipeline.pace import Pace
from autorag.pipeline.parts import SharedParts
from autorag.pipeline.rag import Pipeline
from autorag.pipeline.workbench import Workbench
from autorag.ports import Progress, QueryResult
from autorag.space import Config
from autorag.workload import read_snapshot
from collectors.counters import Counters
from collectors.group.job import GroupJob
from collectors.trial_process import Pass, calmest, run_passes

MEANS = ("answer_f1", "answer_em")


class Timing:
    """Rows of the timing phase."""

    def __init__(self, job: GroupJob, counters: Counters, progress: Progress) -> None:
        workload = read_snapshot(Path(job.real.snapshot))
        by_id = {q.id: q for q in workload.queries}
        self._queries = [by_id[id_] for id_ in job.timed]
        self._counters = counters
        self._pace = Pace()
        self._progress = progress
        self._generate = job.generate
        store = ArtifactStore(Path(job.store), job.store_limit_bytes)
        context = BuildContext(store, Path(job.models), job.seed, progress=progress)
        configs = job.to_configs()
        self._bench = Workbench(configs[0], workload.documents, context, SharedParts(context))
        self._started = job.started
        self._start_s: float | None = None

    def row(self, config: Config) -> dict[str, Any]:
        """Times of the timed queries, counters around them, and memory.

        Raises:
            MeasurementError: too few chunks for the index kind, or the generator failed.
        """
        pipeline = self._bench.pipeline(config)
        if self._start_s is None:
            self._start_s = time.time() - self._started
        gc.collect()
        warm_up(pipeline, self._queries)
        at = time.time()
        passes = run_passes(
            self._counters, lambda: run_queries(pipeline, self._queries, self._pace)
        )
        kept = calmest(passes)
        answering = time.perf_counter()
        results = self._results(pipeline, kept)
        query_s = time.perf_counter() - answering
        query_s += sum(sum(r.stage_ms.values()) for r in kept.asked.results) / 1e3
        row: dict[str, Any] = {
            "measured_at": at,
            "timed_queries": len(results),
            "query_s": query_s,
            "start_s": self._start_s,
            "cpu_pressure": kept.pressure,
            "busy": kept.busy,
            "slow_share": kept.slow_share,
            "memory_mb": pipeline.memory_bytes() / 1e6,
        }
        if pipeline.built.index is not None:
            row["index_mb"] = pipeline.built.index_bytes / 1e6
        row |= {f"counter.{k}": v for k, v in kept.counters.items() if v is not None}
        for stage, quantiles in stage_quantiles(results).items():
            row |= {f"{stage}_{q}": value for q, value in quantiles.items()}
        times = aggregate(results)
        return row | {n: v for n, v in times.items() if n in MEANS or n.endswith("_ms")}

    def _results(self, pipeline: Pipeline, kept: Pass) -> list[QueryResult]:
        timed = [
            QueryResult(q.id, {}, r.stage_ms)
            for q, r in zip(self._queries, kept.asked.results, strict=True)
        ]
        if not self._generate:
            return timed
        return add_answers(pipeline, self._queries, kept.asked.results, timed, self._progress)
