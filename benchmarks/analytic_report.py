"""How predictions compare with what was measured, in a few figures per group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

LEAST = 5
"""Points below which a rank correlation is not given."""


@dataclass(frozen=True, slots=True)
class Point:
    """A measured figure beside its prediction; figures of a group are summed up together."""

    group: str
    measured: float
    predicted: float


def show(title: str, points: Iterable[Point]) -> None:
    """A table: points, median of measured, bias, errors, rank correlation.

    *bias* is the median of predicted over measured; *MAPE* the mean of ``|predicted / measured -
    1|``, *p90* its 90 % quantile; *scaled* is the MAPE once the bias is divided out, which is what
    one factor per group, learned from a few measurements of the machine, would leave.
    """
    print(f"\n## {title}\n")
    print("| group | points | measured, median | bias | MAPE | p90 | scaled | Spearman |")
    print("|---|---|---|---|---|---|---|---|")
    groups: defaultdict[str, list[Point]] = defaultdict(list)
    for point in points:
        if point.measured > 0:
            groups[point.group].append(point)
    for group in sorted(groups):
        print(_row(group, groups[group]), flush=True)


def _row(group: str, points: Sequence[Point]) -> str:
    measured = np.array([p.measured for p in points])
    ratio = np.array([p.predicted for p in points]) / measured
    bias = float(np.median(ratio))
    error, scaled = (np.abs(r - 1) for r in (ratio, ratio / bias))
    return (
        f"| {group} | {len(points)} | {np.median(measured):.3g} | ×{bias:.2f} | {error.mean():.1%} "
        f"| {np.quantile(error, 0.9):.1%} | {scaled.mean():.1%} | {_spearman(points)} |"
    )


def _spearman(points: Sequence[Point]) -> str:
    from scipy.stats import spearmanr

    columns = [[p.measured for p in points], [p.predicted for p in points]]
    if len(points) < LEAST or any(len(set(c)) == 1 for c in columns):
        return "–"
    return f"{spearmanr(*columns).statistic:.2f}"
