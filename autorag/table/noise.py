"""The noise floor of the measured table: by how much equal measurements differ.

*Times* are taken in repeats. The noise of a metric is the distance of two repeats of one config
on one machine over their mean, and its median and 90 % quantile over configs: a difference between
two configs that is smaller is none.

*Quality* is deterministic, so what is uncertain is the choice of queries. Two disjoint halves of
them are independent repeats: half the distance of their means is the standard error of the mean
over all queries. Most of it is common to all configs (one half is harder than the other) and
changes no choice; what is left when the common part is removed is the error of comparing configs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag.table.schema import PSEUDO, TIMED_STAGES

if TYPE_CHECKING:
    import polars

TIMES = (
    "latency_p50_ms",
    "latency_p95_ms",
    *(f"{stage}_p{q}_ms" for stage in TIMED_STAGES for q in (50, 95)),
    "ttft_p95_ms",
    "end_to_end_p95_ms",
    "query_s",
    "start_s",
)
"""Columns that repeats measure anew."""

_OF = ("workload", "part", "config")
_MACHINE = "hardware"


@dataclass(frozen=True, slots=True)
class Noise:
    """Distance of two repeats over their mean, over ``pairs`` of rows."""

    median: float
    p90: float
    pairs: int


@dataclass(frozen=True, slots=True)
class HalfNoise:
    """What two halves of the queries of one workload say, over its configs.

    Attributes:
        error: standard error of a mean over all queries, root mean square over configs.
        common: the part of it that all configs share.
        paired: the part that is left.
        spread: standard deviation of the metric over configs.
        rank: Spearman's correlation of the configs' values on the two halves.
    """

    error: float
    common: float
    paired: float
    spread: float
    rank: float


def noise_floor(frame: polars.DataFrame, metrics: Iterable[str] = TIMES) -> dict[str, Noise]:
    """The noise of every metric that has repeats in these rows."""
    floors = {metric: _noise(frame, metric) for metric in metrics}
    return {metric: noise for metric, noise in floors.items() if noise is not None}


def repeat_pairs(frame: polars.DataFrame, metric: str) -> polars.DataFrame:
    """One row for every two consecutive repeats of a config on one machine: ``workload``, ``part``,
    ``config``, ``first``, ``second`` and ``distance``, which is relative to their mean."""
    import polars as pl

    some = frame.filter(pl.col(metric) > 0).select(*_OF, _MACHINE, "repeat", metric)
    later = some.with_columns(pl.col("repeat") - 1).rename({metric: "second"})
    pairs = some.rename({metric: "first"}).join(later, on=[*_OF, _MACHINE, "repeat"])
    first, second = pl.col("first").cast(pl.Float64), pl.col("second").cast(pl.Float64)
    distance = 2 * (first - second).abs() / (first + second)
    return pairs.select(*_OF, "first", "second", distance.alias("distance"))


def half_noise(
    frame: polars.DataFrame, metric: str = "ndcg_at_10", *, pseudo: bool = False
) -> dict[str, HalfNoise]:
    """By workload, the noise of a ranking metric; of one part of the table."""
    import numpy as np
    import polars as pl

    name = f"{PSEUDO if pseudo else ''}{metric}"
    columns = [f"{name}.a", f"{name}.b"]
    found = {}
    once = frame.unique(_OF).drop_nulls(columns).sort(_OF)
    for (workload,), rows in once.group_by("workload", maintain_order=True):
        a, b = (rows[c].cast(pl.Float64).to_numpy() for c in columns)
        half = (a - b) / 2
        rank = rows.select(pl.corr(*columns, method="spearman")).item() if len(rows) > 1 else None
        found[str(workload)] = HalfNoise(
            error=float(np.sqrt((half**2).mean())),
            common=float(abs(half.mean())),
            paired=float(half.std()),
            spread=float(((a + b) / 2).std()),
            rank=math.nan if rank is None else float(rank),
        )
    return found


def _noise(frame: polars.DataFrame, metric: str) -> Noise | None:
    distance = repeat_pairs(frame, metric)["distance"]
    if distance.is_empty():
        return None
    median, p90 = (float(distance.quantile(q, "linear") or 0.0) for q in (0.5, 0.9))
    return Noise(median, p90, len(distance))
