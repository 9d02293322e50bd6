"""How well pseudo-queries choose, and how that depends on how many there are.

The table has quality on all pseudo-queries of a workload and on two disjoint halves of them, so two
numbers of pseudo-queries can be compared. The yardstick is choosing by as many labelled queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.lessons.differences import spearman
from benchmarks.lessons.landscapes import Landscapes
from benchmarks.lessons.regret import normalised_regret

WAYS = ("pseudo-queries", "half of them", "half of the labelled queries")


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


def _mean_regret(chosen_on: list[np.ndarray], judged_on: list[np.ndarray]) -> float:
    return float(np.mean([_regret(c, j) for c in chosen_on for j in judged_on]))


def _regret(chosen_on: np.ndarray, judged_on: np.ndarray) -> float:
    known = np.flatnonzero(np.isfinite(chosen_on) & np.isfinite(judged_on))
    pick = known[[int(np.argmax(chosen_on[known]))]]
    return float(normalised_regret(judged_on, known, pick)[0])
