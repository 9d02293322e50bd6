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
    scores = alpha * _aligned(dense, rows) + (1 - alpha) * _aligned(lexical, rows)
    best = np.argsort(-scores, kind="stable")[:k]
    return rows[best], scores[best].astype(np.float32)


def _aligned(ranked: Ranked, rows: np.ndarray) -> np.ndarray:
    """Min-max scores of ``rows`` (ascending); 0 where a row was not returned."""
    values = np.zeros(len(rows))
    if len(ranked[0]):
        values[np.searchsorted(rows, ranked[0])] = scaled(ranked[1])
    return values


def scaled(scores: np.ndarray) -> np.ndarray:
    """Scores, at least one, mapped linearly to [0, 1]; equal scores are all 1."""
    low, high = float(scores.min()), float(scores.max())
    if high <= low:
        return np.ones(len(scores))
    return np.asarray((scores - low) / (high - low))
