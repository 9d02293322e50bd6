"""The machines that times were taken on: what they are, and whether configs compare alike on two.

A machine is named by a letter, in the order in which they came to the table. Two are compared on
the workloads that both have timed, config by config, by the first repeats of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from string import ascii_uppercase

import numpy as np
import polars as pl

from autorag.hardware import Identity
from benchmarks.lessons.page import table

ONE_MACHINE = "No workload was timed on two machines."
STAGES = ("latency_p50_ms", "embed_p50_ms", "retrieve_p50_ms", "rerank_p50_ms")
RANKED = "latency_p95_ms"


def machines(frame: pl.DataFrame, known: Mapping[str, Identity]) -> str:
    """Block of Markdown: one row a machine; ``known`` by fingerprint."""
    rows = []
    for fingerprint, letter in letters(frame).items():
        of = known[fingerprint]
        some = frame.filter(pl.col("measured_at").is_not_null(), hardware=fingerprint)
        cache = of.last_level_kb(every=True)
        named = (letter, of.cpu_model or "unknown", of.usable_cores)
        rows.append((*named, (cache or 0) // 1024, some["workload"].n_unique(), len(some)))
    headings = ("machine", "CPU", "cores used", "last-level cache, MB", "workloads", "timed rows")
    return table(headings, rows)


def between(frame: pl.DataFrame) -> str:
    """Block of Markdown: one row a workload and pair of machines that timed it."""
    rows = list(_compared(frame))
    if not rows:
        return ONE_MACHINE
    headings = ("workload", "machines", "configs", "latency", "embed", "retrieve", "rerank")
    return table((*headings, "latency, 10–90 %", "rank correlation"), rows)


def letters(frame: pl.DataFrame) -> dict[str, str]:
    """Fingerprint → letter."""
    timed = frame.filter(pl.col("measured_at").is_not_null())
    first = timed.group_by("hardware").agg(pl.col("measured_at").min()).sort("measured_at")
    return dict(zip(first["hardware"], ascii_uppercase, strict=False))


def _compared(frame: pl.DataFrame) -> Iterator[tuple[object, ...]]:
    named = letters(frame)
    for (workload,), rows in frame.group_by("workload", maintain_order=True):
        there = [m for m in named if m in rows["hardware"]]
        for one, other in combinations(there, 2):
            pairs = _first(rows, one).join(_first(rows, other), on=["part", "config"])
            if pairs.is_empty():
                continue
            ratios = {n: _ratio(pairs, n) for n in STAGES}
            middle = [_median(r) for r in ratios.values()]
            low, high = np.quantile(ratios["latency_p50_ms"], (0.1, 0.9))
            rank = pairs.select(pl.corr(RANKED, f"{RANKED}_right", method="spearman")).item()
            both = f"{named[other]} / {named[one]}"
            yield workload, both, len(pairs), *middle, f"{low:.2f}–{high:.2f}", float(rank)


def _first(rows: pl.DataFrame, machine: str) -> pl.DataFrame:
    some = rows.filter(hardware=machine).sort("repeat")
    return some.unique(["part", "config"], keep="first", maintain_order=True)


def _ratio(pairs: pl.DataFrame, name: str) -> np.ndarray:
    """Of the second machine over the first, ``(configs that have the stage,)``."""
    some = pairs.select(name, f"{name}_right").drop_nulls().cast(pl.Float64)
    return (some[f"{name}_right"] / some[name]).to_numpy()


def _median(ratios: np.ndarray) -> str:
    return f"×{np.median(ratios):.2f}" if len(ratios) else ""
