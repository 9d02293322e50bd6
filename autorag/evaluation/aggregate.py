"""From per-query results to the flat metrics of a measurement."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from autorag.ports import QueryResult
from autorag.stages import QUERY_STAGES

QUANTILES: Mapping[str, tuple[str, float]] = {
    "latency_p50_ms": ("latency_ms", 0.5),
    "latency_p95_ms": ("latency_ms", 0.95),
    "ttft_p95_ms": ("ttft_ms", 0.95),
    "end_to_end_p95_ms": ("end_to_end_ms", 0.95),
}
"""Metric → the per-query value and the quantile it is."""

GENERATED: Mapping[str, str] = {"ttft_ms": "ttft", "end_to_end_ms": "generate"}
"""Per-query value → the time that ends it, of queries that were answered."""


def query_values(results: Sequence[QueryResult]) -> dict[str, np.ndarray]:
    """Every per-query metric as an array over the queries that have it, plus ``latency_ms``,
    ``ttft_ms`` and ``end_to_end_ms``."""
    names = list(dict.fromkeys(n for r in results for n in r.metrics))
    values = {n: np.array([r.metrics[n] for r in results if n in r.metrics]) for n in names}
    values["latency_ms"] = np.array([_latency(r.stage_ms) for r in results])
    for name, stage in GENERATED.items():
        generated = [r for r in results if stage in r.stage_ms]
        if generated:
            values[name] = np.array([_latency(r.stage_ms) + r.stage_ms[stage] for r in generated])
    return values


def aggregate(results: Sequence[QueryResult]) -> dict[str, float]:
    """Flat metrics: means of per-query metrics, quantiles of per-query times."""
    values = query_values(results)
    flat = {n: float(v.mean()) for n, v in values.items() if not n.endswith("_ms")}
    for name, (source, q) in QUANTILES.items():
        if source in values:
            flat[name] = float(np.quantile(values[source], q))
    return flat


def stage_quantiles(results: Sequence[QueryResult]) -> dict[str, dict[str, float]]:
    """Per query stage that ran, ``{"p50_ms", "p95_ms"}``."""
    table = {}
    for stage in QUERY_STAGES:
        times = [r.stage_ms[stage] for r in results if stage in r.stage_ms]
        if times:
            table[stage] = {
                "p50_ms": statistics.median(times),
                "p95_ms": float(np.quantile(times, 0.95)),
            }
    return table


def _latency(stage_ms: Mapping[str, float]) -> float:
    return sum(stage_ms.get(s, 0.0) for s in ("embed", "retrieve", "rerank"))
