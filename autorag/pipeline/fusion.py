"""Hybrid retrieval: a convex combination of dense and lexical scores.

Scores of the candidates of both searches are scaled to [0, 1] (min-max) and mixed,
``alpha × dense + (1 - alpha) × lexical`` (Bruch, Gai and Ingber, "An Analysis of Fusion Functions
for Hybrid Retrieval", 2023). A candidate that a search did not return has that search's least
score there.
"""

from __future__ import annotations

import numpy as np

Ranked = tuple[np.ndarray, np.ndarray]
"""Row numbers int64 and scores float32, best first."""


def fuse(dense: Ranked, lexical: Ranked, alpha: float, k: int) -> Ranked:
    """The best ``k`` of both lists; ``alpha`` is the dense weight."""
    rows = np.unique(np.concatenate([dense[0], lexical[0]]))
    scores = alpha * _scaled(dense, rows) + (1 - alpha) * _scaled(lexical, rows)
    best = np.argsort(-scores, kind="stable")[:k]
    return rows[best], scores[best].astype(np.float32)


def _scaled(ranked: Ranked, rows: np.ndarray) -> np.ndarray:
    """Min-max scores of ``rows`` (ascending); 0 where a row was not returned."""
    scaled = np.zeros(len(rows))
    if len(ranked[0]):
        low, high = float(ranked[1].min()), float(ranked[1].max())
        span = high - low
        values = (ranked[1] - low) / span if span > 0 else np.ones(len(ranked[1]))
        scaled[np.searchsorted(rows, ranked[0])] = values
    return scaled
