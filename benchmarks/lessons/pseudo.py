"""How well pseudo-queries choose, and how that depends on how many there are.

The table has quality on all pseudo-queries of a workload and on two disjoint halves of them, so two
numbers of pseudo-queries are measured. Fewer are simulated: independent normal errors are added to
every config, so that its error of comparison (what the halves differ by, less what is common to all
configs) is that of so many queries. Similar configs err alike in truth; what that changes shows
where half of the queries is both measured and simulated. The yardstick is choosing by half of the
labelled queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.lessons.differences import spearman
from benchmarks.lessons.landscapes import VIEWS, Landscapes
from benchmarks.lessons.regret import normalised_regret

WAYS = ("pseudo-queries", "half of them", "half of the labelled queries")
SHARES = (1.0, 0.5, 0.25, 0.125, 0.0625)
DRAWS = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """One labelled workload.

    Attributes:
        rank: Spearman's correlation of quality on all pseudo-queries and on labelled queries.
        ceiling: that of two halves of the labelled queries.
        regret: by ``WAYS``, without SLOs, judged on halves of the labelled queries.
    """

    workload: str
    rank: float
    ceiling: float
    regret: tuple[float, ...]


def choices(table: Landscapes) -> list[Choice]:
    """Of every labelled workload that has pseudo-queries."""
    return [
        _choice(table, i)
        for i, about in enumerate(table.workloads)
        if about.labelled and np.isfinite(table.pseudo[""][i]).any()
    ]


def thinned(table: Landscapes, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mean regret of choosing by a share of the pseudo-queries, simulated; one a workload of
    :func:`choices`, in its order."""
    regrets = []
    for i, about in enumerate(table.workloads):
        whole, a, b = (table.pseudo[view][i] for view in VIEWS)
        if not about.labelled or not np.isfinite(whole).any():
            continue
        error = np.nanstd((a - b) / 2) * np.sqrt(1 / share - 1)
        drawn = [whole + error * rng.standard_normal(len(whole)) for _ in range(DRAWS)]
        regrets.append(_mean_regret(drawn, [table.real[half][i] for half in VIEWS[1:]]))
    return np.array(regrets)


def _choice(table: Landscapes, i: int) -> Choice:
    halves = [table.real[half][i] for half in (".a", ".b")]
    whole = [table.pseudo[""][i]]
    some = [table.pseudo[half][i] for half in (".a", ".b")]
    ways = (
        _mean_regret(whole, halves),
        _mean_regret(some, halves),
        float(np.mean([_regret(halves[0], halves[1]), _regret(halves[1], halves[0])])),
    )
    rank = spearman(whole[0], table.real[""][i])
    return Choice(table.workloads[i].name, rank, spearman(*halves), ways)


def _mean_regret(chosen_on: Sequence[np.ndarray], judged_on: Sequence[np.ndarray]) -> float:
    return float(np.mean([_regret(c, j) for c in chosen_on for j in judged_on]))


def _regret(chosen_on: np.ndarray, judged_on: np.ndarray) -> float:
    known = np.flatnonzero(np.isfinite(chosen_on) & np.isfinite(judged_on))
    pick = known[[int(np.argmax(chosen_on[known]))]]
    return float(normalised_regret(judged_on, known, pick)[0])
