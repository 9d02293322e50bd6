"""Do two collections of a workload say the same? Quality, times, and what one would conclude.

    autorag bench collect --workload NAME --table AGAIN     # in an empty AUTORAG_HOME, another day
    python -m benchmarks.table_again --table benchmarks/table --again AGAIN --workload NAME

Quality and memory must be the same in every config (on another make of CPU float arithmetic may
differ in the last digits, and with it a rare tie). Times of the first repeats are compared: the
distance of the two collections beside that of two repeats within one, the rank correlation over
configs, and what the config regrets that one collection chooses under a bound on latency when the
other judges it (regret is relative to the best and worst that hold the bound; both ways round).
Exit code 1 when a figure that is deterministic differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from autorag.table.files import read_table
from autorag.table.noise import noise_floor
from autorag.table.schema import RANKING_METRICS
from benchmarks.lessons.page import table

SAME = (
    "workload_hash",
    *RANKING_METRICS,
    "ann_recall_at_10",
    "context_tokens_3",
    "memory_mb",
    "chunks",
)
TIMES = ("latency_p50_ms", "latency_p95_ms", "embed_p50_ms", "retrieve_p50_ms", "rerank_p50_ms")
BOUNDS = (0.1, 0.25, 0.5, 1.0)
"""Bounds on latency, as quantiles over the configs of the collection that chooses."""

QUALITY, LATENCY = "ndcg_at_10", "latency_p95_ms"


def main() -> int:
    arguments = parse_arguments()
    first, again = (
        read_table(folder).filter(
            pl.col(LATENCY).is_not_null(), workload=arguments.workload, part="quality"
        )
        for folder in (arguments.table, arguments.again)
    )
    pairs = first.filter(repeat=0).join(again.filter(repeat=0), on="config", suffix=" again")
    print(f"{arguments.workload}: {len(first)} and {len(again)} rows, {len(pairs)} configs in both")
    if pairs.is_empty():
        print("nothing to compare")
        return 1
    different = list(differences(pairs))
    print(f"deterministic figures: {len(SAME)}, different: {different or 'none'}\n")
    print(
        table(("time", "median distance", "p90", "within one", "p90", "rank"), times(pairs, first))
    )
    print(f"\nregret of what one collection chooses, judged by the other ({LATENCY} bounded)\n")
    print(table(("bound", "one by the other", "the other by the one"), conclusions(pairs)))
    return int(bool(different))


def differences(pairs: pl.DataFrame) -> Iterator[str]:
    """Deterministic figures that differ in some config, and by how much at most."""
    for name in SAME:
        one, other = pairs[name], pairs[f"{name} again"]
        differs = ~one.eq_missing(other)
        if differs.any():
            numeric = one.dtype.is_numeric()
            most = f" by at most {(one - other).abs().max():.2g}" if numeric else ""
            yield f"{name} in {differs.sum()} configs{most}"


def times(pairs: pl.DataFrame, first: pl.DataFrame) -> Iterator[tuple[object, ...]]:
    """Distances between the collections and, where it has repeats, within the first."""
    floor = noise_floor(first, TIMES)
    for name in TIMES:
        both = pairs.select(name, f"{name} again").drop_nulls().cast(pl.Float64)
        one, other = both[name].to_numpy(), both[f"{name} again"].to_numpy()
        distance = 2 * np.abs(one - other) / (one + other)
        within = floor.get(name)
        yield (
            name,
            f"{np.median(distance):.1%}",
            f"{np.quantile(distance, 0.9):.1%}",
            "" if within is None else f"{within.median:.1%}",
            "" if within is None else f"{within.p90:.1%}",
            f"{spearmanr(one, other).statistic:.3f}",
        )


def conclusions(pairs: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Regret under bounds on latency, both ways round."""
    quality = pairs[QUALITY].to_numpy()
    latencies = [pairs[f"{LATENCY}{suffix}"].to_numpy() for suffix in ("", " again")]
    for share in BOUNDS:
        regrets = [regret(quality, latencies[i], latencies[1 - i], share) for i in (0, 1)]
        yield (f"{share:.0%} of configs", *(f"{r:.3f}" for r in regrets))


def regret(
    quality: np.ndarray, chosen_by: np.ndarray, judged_by: np.ndarray, share: float
) -> float:
    """Regret of the best config below the bound, all ``(configs,)``; 1 when it misses the bound by
    more than a tenth."""
    bound = float(np.quantile(chosen_by, share))
    allowed = np.flatnonzero(chosen_by <= bound)
    pick = allowed[np.argmax(quality[allowed])]
    if judged_by[pick] > 1.1 * bound:
        return 1.0
    held = quality[judged_by <= 1.1 * bound]
    best, worst = float(held.max()), float(held.min())
    return float(np.clip((best - quality[pick]) / max(best - worst, 1e-12), 0.0, 1.0))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, default=Path("benchmarks/table"))
    parser.add_argument("--again", type=Path, required=True)
    parser.add_argument("--workload", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
