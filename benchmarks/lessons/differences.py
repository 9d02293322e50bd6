"""How much the best config differs between workloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.lessons.landscapes import Landscapes, normalised
from benchmarks.lessons.regret import normalised_regret


@dataclass(frozen=True, slots=True)
class Shares:
    """Where the variance of normalised quality within workloads comes from; shares of 1.

    Attributes:
        common: configs that are better everywhere: what a portfolio can know.
        specific: configs that are better here than elsewhere: what must be learned or measured.
        noise: the choice of queries.
    """

    common: float
    specific: float
    noise: float


def best_columns(table: Landscapes, view: str = "") -> np.ndarray:
    """The column of each workload's best config, ``(workloads,)``."""
    best: np.ndarray = np.nanargmax(table.real[view], axis=1)
    return best


def regret_matrix(table: Landscapes) -> np.ndarray:
    """Row: whose best config; column: where it is used; normalised regret, without SLOs. The best
    is chosen on one half of the queries and judged on the other, both ways, mean; NaN where the
    workload lacks the config. ``(workloads, workloads)``."""
    found = []
    for half, other in ((".a", ".b"), (".b", ".a")):
        best = best_columns(table, half)
        rows = [_regrets(quality, best) for quality in table.real[other]]
        found.append(np.array(rows).T)
    matrix: np.ndarray = np.mean(found, axis=0)
    return matrix


def rank_correlations(table: Landscapes) -> np.ndarray:
    """Spearman's correlation of the quality of configs that both have, ``(workloads, workloads)``;
    the diagonal is that of a workload's halves."""
    count = len(table.workloads)
    matrix = np.empty((count, count))
    for i in range(count):
        for j in range(count):
            a, b = (
                (table.real[".a"][i], table.real[".b"][i])
                if i == j
                else (table.real[""][i], table.real[""][j])
            )
            matrix[i, j] = spearman(a, b)
    return matrix


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation over positions where both are known."""
    from scipy.stats import rankdata

    known = np.isfinite(a) & np.isfinite(b)
    ranks = np.stack([rankdata(a[known]), rankdata(b[known])])
    return float(np.corrcoef(ranks)[0, 1])


def variance_shares(table: Landscapes, rows: Sequence[int]) -> Shares:
    """Of these workloads, over the configs that all of them have.

    Quality is scaled to mean 0 and variance 1 within each workload. The variance of config means
    (less what noise and specifics add to it) is common; half the difference of the halves, less its
    mean over configs, is noise; the rest is specific.
    """
    quality = table.real[""][list(rows)]
    everywhere = np.isfinite(quality).all(axis=0)
    quality = quality[:, everywhere]
    deviation = quality.std(axis=1, keepdims=True)
    scaled = (quality - quality.mean(axis=1, keepdims=True)) / deviation
    halves = (table.real[".a"] - table.real[".b"])[list(rows)][:, everywhere] / 2 / deviation
    noise = float((halves - halves.mean(axis=1, keepdims=True)).var())
    residual = scaled - scaled.mean(axis=0)
    rest = float((residual**2).sum() / (residual.size - residual.shape[1]))
    common = max(0.0, 1.0 - rest)
    return Shares(common, max(0.0, rest - noise), noise)


def _regrets(quality: np.ndarray, picks: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(np.isfinite(quality))
    regret = normalised_regret(
        quality, known, np.where(np.isfinite(quality[picks]), picks, known[0])
    )
    return np.where(np.isfinite(quality[picks]), regret, np.nan)


def spread(table: Landscapes, default: int) -> np.ndarray:
    """The default config's place between the worst (0) and the best (1), ``(workloads,)``."""
    place: np.ndarray = normalised(table.real[""])[:, default]
    return place
