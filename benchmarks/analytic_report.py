"""How predictions compare with what was measured, in a few figures per group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.lessons.page import table

HEADINGS = ("group", "points", "measured, median", "bias", "MAPE", "p90", "scaled", "Spearman")
LEAST = 5
"""Points below which a rank correlation is not given."""


@dataclass(frozen=True, slots=True)
class Point:
    """A measured figure beside its prediction; figures of a group are summed up together."""

    group: str
    measured: float
    predicted: float


def compared(points: Iterable[Point]) -> str:
    """A Markdown table: points, median of measured, bias, errors, rank correlation, by group.

    *bias* is the median of predicted over measured; *MAPE* the mean of ``|predicted / measured -
    1|``, *p90* its 90 % quantile; *scaled* is the MAPE once the bias is divided out, which is what
    one factor per group, learned from a few measurements of the machine, would leave.
    """
    groups: defaultdict[str, list[Point]] = defaultdict(list)
    for point in points:
        if point.measured > 0:
            groups[point.group].append(point)
    return table(HEADINGS, [_row(group, groups[group]) for group in sorted(groups)])


def _row(group: str, points: Sequence[Point]) -> tuple[object, ...]:
    measured = np.array([p.measured for p in points])
    ratio = np.array([p.predicted for p in points]) / measured
    bias = float(np.median(ratio))
    error, scaled = (np.abs(r - 1) for r in (ratio, ratio / bias))
    shares = (error.mean(), np.quantile(error, 0.9), scaled.mean())
    told = (f"{np.median(measured):.3g}", f"×{bias:.2f}", *(f"{s:.1%}" for s in shares))
    return group, len(points), *told, _spearman(points)


def _spearman(points: Sequence[Point]) -> str:
    from scipy.stats import spearmanr

    columns = [[p.measured for p in points], [p.predicted for p in points]]
    if len(points) < LEAST or any(len(set(c)) == 1 for c in columns):
        return "–"
    return f"{spearmanr(*columns).statistic:.2f}"
