"""Ranking metrics over gold units, each in [0, 1], from the ranks at which units were found.

recall@k: share of units found at rank <= k. MRR@10: 1 / best rank. nDCG@10: gain 1 per unit,
discount 1 / log2(1 + rank), divided by the gain of as many units at ranks 1, 2, ... (Järvelin and
Kekäläinen, 2002); at most 1 where one chunk finds several units at one rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

DEPTH = 10


def recall_at(k: int, ranks: Sequence[int | None]) -> float:
    """Share of units found at rank ``<= k``."""
    return sum(r is not None and r <= k for r in ranks) / len(ranks)


def mrr_at_10(ranks: Sequence[int | None]) -> float:
    """Reciprocal rank of the first unit found in the first 10, else 0."""
    best = min((r for r in ranks if r is not None), default=DEPTH + 1)
    return 1.0 / best if best <= DEPTH else 0.0


def ndcg_at_10(ranks: Sequence[int | None]) -> float:
    """Normalised discounted cumulative gain of the first 10."""
    gain = sum(_discount(r) for r in ranks if r is not None and r <= DEPTH)
    ideal = sum(_discount(i) for i in range(1, min(len(ranks), DEPTH) + 1))
    return min(1.0, gain / ideal)


def ranking_metrics(ranks: Sequence[int | None]) -> dict[str, float]:
    """Every ranking metric of one query. ``ranks`` has one entry per gold unit, at least one."""
    return {
        "recall_at_1": recall_at(1, ranks),
        "recall_at_5": recall_at(5, ranks),
        "recall_at_10": recall_at(10, ranks),
        "ndcg_at_10": ndcg_at_10(ranks),
        "mrr_at_10": mrr_at_10(ranks),
    }


def _discount(rank: int) -> float:
    return 1.0 / math.log2(1 + rank)
