"""Recall of a nearest-neighbour index on live queries, with as few exact searches as will do.

Some of the queries that pass are searched exactly as well, until the interval of mean recall is
narrow enough, a target is decided, or the budget of exact searches is spent. The interval holds
whenever the probe stops (``autorag.evaluation.sequential``). That the queries are a fair draw of
the traffic is assumed: probing a small share of them, over longer, breaks up runs of similar ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from autorag.evaluation.paired import Interval
from autorag.evaluation.sequential import MeanSequence, MeanTest

K = 10
HALF_WIDTH = 0.01
BUDGET = 5000

Query = TypeVar("Query")
Search = Callable[[Query], Sequence[int] | np.ndarray]
"""A query to ids, best first; negative ones are no results (faiss pads with them)."""


@dataclass(frozen=True, slots=True)
class RecallProbe:
    """What a probe found.

    Attributes:
        recall: mean recall at k with its 95 % interval; None when no query had a neighbour.
        searches: exact searches made.
        stopped: ``precise`` (the interval is within the half width), ``decided`` (the target is),
            ``budget``, or ``exhausted`` (no more queries).
        meets_target: whether mean recall is at least the target, wrong with chance 5 % at most;
            None when not decided or no target was given.
    """

    recall: Interval | None
    searches: int
    stopped: Literal["precise", "decided", "budget", "exhausted"]
    meets_target: bool | None


def probe_recall(
    queries: Iterable[Query],
    approximate: Search[Query],
    exact: Search[Query],
    rng: np.random.Generator,
    *,
    k: int = K,
    half_width: float = HALF_WIDTH,
    target: float | None = None,
    budget: int = BUDGET,
    share: float = 1.0,
    population: int | None = None,
) -> RecallProbe:
    """Estimate mean recall at ``k``.

    Args:
        queries: live traffic, as long as wanted.
        approximate, exact: the index, and a search that misses nothing.
        half_width: stop when the interval is at most twice as wide.
        target: stop when it is decided whether mean recall is at least this.
        budget: exact searches at most.
        share: chance of every query to be probed.
        population: how many queries there are, when they are all there is and come in random order:
            then the interval is that of their own mean recall, and closes on it.
    """
    sequence = MeanSequence(half_width, population=population)
    test = None if target is None else MeanTest(target, population=population)
    searches = 0
    stopped: Literal["precise", "decided", "budget", "exhausted"] = "exhausted"
    for query in queries:
        if rng.random() >= share:
            continue
        if searches == budget:
            stopped = "budget"
            break
        searches += 1
        recall = recall_at(k, approximate(query), exact(query))
        if recall is None:
            continue
        sequence.add(recall)
        if test is not None:
            test.add(recall)
        if test is not None and test.decision is not None:
            stopped = "decided"
            break
        interval = sequence.interval()
        if interval.high - interval.low <= 2 * half_width:
            stopped = "precise"
            break
    return RecallProbe(
        sequence.interval() if sequence.count else None,
        searches,
        stopped,
        None if test is None else test.decision,
    )


def recall_at(
    k: int, approximate: Sequence[int] | np.ndarray, exact: Sequence[int] | np.ndarray
) -> float | None:
    """Share of the ``k`` exact neighbours that were found; None when there are none."""
    wanted = {int(i) for i in exact[:k] if i >= 0}
    found = {int(i) for i in approximate[:k]}
    return len(wanted & found) / len(wanted) if wanted else None
