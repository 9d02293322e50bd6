"""How quality depends on the config, workload by workload, and what that says of another workload.

Every workload that was measured has a *landscape*: trees over the config's knobs, fitted to its
quality scaled to 0 for its worst and 1 for its best config, so that any valid config has a place in
it, measured or not. A workload that nobody has measured gets the mean of the landscapes, weighted
by how alike the workloads are: by their features, and where the cheapest configs were measured
(*landmarks*) by how these compare with each other. With sharpnesses a and b the weight of
workload i is

    exp(-(a · d_i / m)²) · exp(-(b · e_i / n)²) / (workloads of its corpus)

with d the distance of standardised features, e that of standardised landmark qualities less their
mean, m and n their medians. A sharpness that is chosen on a dozen corpora is chosen by chance, so
none is: weights are the mean over all pairs of ``SHARPNESSES``. One of them is a = b = 0, which is
the portfolio: the mean effect of a config over all workloads. (Ensembles of surrogates weighted by
likeness: Wistuba, Schilling and Schmidt-Thieme 2016; Feurer, Letham and Bakshy 2018.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from models.analytic.columns import Floats
from models.boosting import Trees
from models.encoding import Matrix

Values = Floats | Matrix

_BASE = {"chunk.splitter": "recursive", "chunk.tokens": 256, "chunk.overlap": 0.1, "retrieve.k": 10}
_STATIC = {**_BASE, "embed.model": "static", "index.kind": "flat"}
LANDMARKS: tuple[Mapping[str, Any], ...] = (
    {**_BASE, "retrieve.mode": "lexical"},
    {**_STATIC, "retrieve.mode": "dense"},
    {**_STATIC, "retrieve.mode": "hybrid", "retrieve.alpha": 0.5},
)
"""The configs that are measured to learn what a workload is like: those that take seconds."""

SHARPNESSES = (0.0, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Landscape:
    """The quality of one workload over configs.

    Attributes:
        corpus: workloads of one corpus share it, and count as one.
        features: ``models.encoding.encode_workload``.
        worst, best: quality of the worst and the best config measured.
        trees: rows of configs → quality, scaled to 0 for ``worst`` and 1 for ``best``.
    """

    workload: str
    corpus: str
    features: Matrix
    worst: float
    best: float
    trees: Trees

    @classmethod
    def fit(
        cls,
        workload: str,
        corpus: str,
        features: Matrix,
        rows: Matrix,
        quality: Floats,
        *,
        seed: int,
    ) -> Landscape:
        """Fit to the quality ``(n,)`` of configs ``(n, knobs)``."""
        worst, best = float(quality.min()), float(quality.max())
        scaled = (quality - worst) / max(best - worst, 1e-9)
        trees = Trees.fit(rows, scaled, seed=seed)
        return cls(workload, corpus, features, worst, best, trees)


def distances(target: Values, others: Values) -> Floats:
    """Distances ``(m,)`` of others ``(m, columns)`` from a target ``(columns,)`` over their median,
    in columns that all know, standardised."""
    both = np.vstack([target, others]).astype(np.float64)
    both = both[:, np.isfinite(both).all(axis=0)]
    both = (both - both.mean(axis=0)) / np.maximum(both.std(axis=0), 1e-9)
    found = np.sqrt(((both[1:] - both[0]) ** 2).sum(axis=1))
    scaled: Floats = found / max(float(np.median(found)), 1e-9)
    return scaled


def weights(corpora: Sequence[str], *far: Floats) -> Floats:
    """Weights ``(m,)`` that add up to 1.

    Args:
        corpora: of the workloads that are weighed.
        far: distances ``(m,)``, of features, and of landmarks where there are any.
    """
    count = np.array([corpora.count(c) for c in corpora])
    found = [
        _scaled(
            np.prod([np.exp(-((s * d) ** 2)) for s, d in zip(sharp, far, strict=True)], axis=0)
            / count
        )
        for sharp in product(SHARPNESSES, repeat=len(far))
    ]
    mean: Floats = np.mean(found, axis=0)
    return mean


def compared(landmarks: Values) -> Floats:
    """Landmark qualities ``(..., marks)`` less their mean: how they compare with each other."""
    values: Floats = landmarks - landmarks.mean(axis=-1, keepdims=True)
    return values


def _scaled(near: Floats) -> Floats:
    scaled: Floats = near / max(float(near.sum()), 1e-300)
    return scaled
