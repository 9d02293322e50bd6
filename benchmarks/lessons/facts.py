"""Generated blocks of the page about the table itself: what is in it, its noise, its index and
generation parts. Every function is one block, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from autorag.table.files import table_hash
from autorag.table.noise import Noise, half_noise, noise_floor, repeat_pairs
from autorag.table.schema import COLUMNS, HALVES, Column
from benchmarks.lessons.page import image, percent, table
from benchmarks.lessons.parts import answers, fastest, sizes

EMPTY = "No rows of this part."


def schema() -> str:
    """One row a column; halves beside their whole, features and figures by a pattern."""
    own = [c for c in COLUMNS if not c.name.startswith(("feature.", "hardware."))]
    rows = [_column(c, own) for c in own if not c.name.endswith(tuple(f".{h}" for h in HALVES))]
    rows += [
        ("`feature.<name>`", "number", "", "every [workload feature](features.md)"),
        ("`hardware.<figure>`", "number", "", "every figure of the machine's profile"),
        (
            "`counter.<name>`",
            "number",
            "",
            "every counter of the machine, around the timed queries",
        ),
    ]
    return table(("column", "kind", "unit", "meaning"), rows)


def contents(frame: pl.DataFrame) -> str:
    found = sizes(frame)
    configs = frame.select("part", "config").n_unique()
    twice = sum(s.repeats > 1 for s in found)
    hardware = frame["hardware"].drop_nulls().n_unique()
    head = (
        f"{len(frame):,} rows: {len(found)} workloads of {len({s.corpus for s in found})} corpora "
        f"and {len({s.family for s in found})} families, {configs} configs, "
        f"{sum(s.hours for s in found):.1f} hours of building and asking on {hardware} "
        f"machine{'s' if hardware != 1 else ''}; times were taken twice or more on {twice} "
        f"workload{'s' if twice != 1 else ''}. Hash `{table_hash(frame)}`."
    )
    rows = [
        (
            *(s.workload, s.corpus, s.family, s.queries, s.parts),
            *(s.documents, s.judged, s.configs, s.rows, s.repeats, s.hours),
        )
        for s in found
    ]
    headings = ("workload", "corpus", "family", "queries", "parts", "documents", "judged")
    return f"{head}\n\n{table((*headings, 'configs', 'rows', 'repeats', 'hours'), rows)}"


def noise_of_times(frame: pl.DataFrame) -> str:
    floor = noise_floor(frame)
    if not floor:
        return "No times were taken twice."
    unhurried = pl.col("slow_share").fill_null(0.0) == 0.0
    calm = noise_floor(frame.filter(~pl.col("busy") & unhurried))
    none = Noise(math.nan, math.nan, 0)
    rows = [
        (
            f"`{metric}`",
            percent(n.median),
            percent(n.p90),
            n.pairs,
            percent(c.median),
            percent(c.p90),
        )
        for metric, n in floor.items()
        for c in [calm.get(metric, none)]
    ]
    headings = ("metric", "median", "90 % quantile", "pairs", "calm: median", "calm: 90 %")
    return f"{table(headings, rows)}\n\n{image('noise', 'Noise of latency between repeats')}"


def noise_of_machine(frame: pl.DataFrame) -> str:
    """By workload: p95 latency."""
    rows = []
    for (name,), some in frame.group_by("workload", maintain_order=True):
        pairs = repeat_pairs(some, "latency_p95_ms")
        if len(pairs):
            distance = pairs["distance"].to_numpy()
            drift = float(np.exp(np.log(pairs["second"] / pairs["first"]).mean()) - 1)
            rank = float(pairs.select(pl.corr("first", "second", method="spearman")).item())
            busy = float(some["busy"].drop_nulls().cast(pl.Float64).to_numpy().mean())
            middle = percent(float(np.median(distance)))
            p90 = percent(float(np.quantile(distance, 0.9)))
            rows.append((str(name), middle, p90, percent(drift), rank, percent(busy)))
    headings = ("workload", "median", "90 % quantile", "drift", "rank correlation", "busy rows")
    return table(headings, rows)


def noise_of_quality(frame: pl.DataFrame) -> str:
    some = frame.filter(part="quality")
    se = dict(some.group_by("workload").agg(pl.col("ndcg_at_10.se").median()).iter_rows())
    rows = [
        (name, se[name], n.error, n.common, n.paired, n.spread, n.rank)
        for name, n in half_noise(some).items()
    ]
    headings = ("workload", "s.e. over queries", "s.e. by halves", "common", "paired")
    return table((*headings, "spread of configs", "rank correlation of halves"), rows)


def index_part(frame: pl.DataFrame) -> str:
    rows = [
        (
            *(f.workload, f.vectors, f"≥ {f.recall:g}", f.kind),
            *(f.p50_ms, f.speedup, f.index_mb, f.build_s),
        )
        for f in fastest(frame)
    ]
    headings = ("workload", "vectors", "recall", "kind", "p50 ms", "times faster than flat")
    return table((*headings, "index MB", "build s"), rows) if rows else EMPTY


def generation_part(frame: pl.DataFrame) -> str:
    rows = [
        (g.config, g.contexts, g.workloads, g.f1, g.em, g.context_tokens, g.end_to_end_p95_ms)
        for g in answers(frame)
    ]
    headings = ("config", "contexts", "workloads", "F1", "exact match", "context tokens")
    return table((*headings, "p95 ms"), rows) if rows else EMPTY


def _column(column: Column, own: Sequence[Column]) -> tuple[str, str, str, str]:
    names = {c.name for c in own}
    halves = [f"`.{h}`" for h in HALVES if f"{column.name}.{h}" in names]
    name = ", ".join([f"`{column.name}`", *halves])
    return name, column.kind, column.unit, column.meaning
