"""Shape of a corpus, and of its queries, in an embedding space.

All figures are over blocks of ``BLOCK_PASSAGES`` vectors (of all where there are fewer) and
averaged: nearest neighbours come closer the more there are, so that only equal numbers compare.
Distances are Euclidean, between unit vectors. Equal vectors are one.

* Local intrinsic dimensionality, maximum likelihood (Levina and Bickel, NIPS 2004): with distances
  ``r_1 <= … <= r_k`` to the nearest, ``LID = 1 / mean of ln(r_k / r_i)`` over ``i < k``; over
  points the inverses are averaged (MacKay and Ghahramani 2005), which has less bias.
* Relative contrast (He, Kumar and Chang, ICML 2012): mean distance over mean nearest distance.
* Imbalance of a partition (Jégou, Douze and Schmid, 2011): ``cells · Σ (n_i / n)²``.
* Hubness (Radovanović, Nanopoulos and Ivanović, JMLR 2010): skewness of how often a point is among
  the 10 nearest of another.
* Energy coefficient (Székely and Rizzo, 2013): ``(2 E|X-Y| - E|X-X'| - E|Y-Y'|) / 2 E|X-Y|``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple

import numpy as np

from autorag.features import EmbeddingFeatures, unknown
from collectors.features.sample import BLOCK_PASSAGES

NEIGHBOURS = 20
HUB_NEIGHBOURS = 10
LEAST_VECTORS = 50
"""Distinct vectors below which nothing is said."""

QUERY_FIGURES = ("query_lid", "query_relative_contrast", "query_cell_imbalance", "query_shift")
LLOYD_STEPS, RESTARTS = 10, 4
"""Partitions are made this often, from other random centres, and their figures averaged."""

SAME = 1e-6
"""Squared distance below which vectors are the same: what rounding to float32 leaves."""


def embedding_features(
    passages: np.ndarray, queries: np.ndarray, rng: np.random.Generator
) -> EmbeddingFeatures:
    """Features of unit vectors, float32 ``(passages, dim)`` in random order and ``(queries, dim)``;
    there may be no queries."""
    _, first = np.unique(passages, axis=0, return_index=True)
    distinct = passages[np.sort(first)]
    if len(distinct) < LEAST_VECTORS:
        return unknown(EmbeddingFeatures)
    size = min(BLOCK_PASSAGES, len(distinct))
    blocks = [
        _block(distinct[i * size : (i + 1) * size], queries, rng)
        for i in range(len(distinct) // size)
    ]
    columns = zip(*map(astuple, blocks), strict=True)
    return EmbeddingFeatures(*(_mean(column) for column in columns))


def _block(vectors: np.ndarray, queries: np.ndarray, rng: np.random.Generator) -> EmbeddingFeatures:
    """The features over one block."""
    among = distances(vectors, vectors)
    near, rows = nearest(among + np.diag(np.full(len(among), np.inf)))
    hubs = np.bincount(rows[:, :HUB_NEIGHBOURS].ravel(), minlength=len(vectors))
    centres = partitions(vectors, math.isqrt(len(vectors)), rng)
    sizes = _sizes(centres, vectors)
    known = {
        "lid": lid(near),
        "relative_contrast": contrast(_between_pairs(among), near),
        "cell_imbalance": _mean(imbalance(s) for s in sizes),
        "mean_cosine": _between_pairs(vectors @ vectors.T, diagonal=1.0),
        "hubness_skew": skewness(hubs),
    }
    if len(queries) == 0:
        return EmbeddingFeatures(**known, **dict.fromkeys(QUERY_FIGURES))
    between = distances(queries, vectors)
    near, _ = nearest(between)
    visited = np.take_along_axis(sizes, _cells(centres, queries), axis=1)
    return EmbeddingFeatures(
        **known,
        query_lid=lid(near),
        query_relative_contrast=contrast(float(between.mean()), near),
        query_cell_imbalance=float(visited.mean() * sizes.shape[1] / len(vectors)),
        query_shift=energy(between, among, distances(queries, queries)),
    )


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Distances between unit vectors, float64 ``(left, right)``; equal ones are at 0."""
    squared = 2 - 2 * (left.astype(np.float64) @ right.astype(np.float64).T)
    return np.sqrt(np.where(squared > SAME, squared, 0.0))


def nearest(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances and columns of the ``NEIGHBOURS`` nearest of every row, nearest first."""
    some = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    order = np.argsort(np.take_along_axis(distance, some, axis=1), axis=1, kind="stable")
    columns = np.take_along_axis(some, order, axis=1)
    return np.take_along_axis(distance, columns, axis=1), columns


def lid(near: np.ndarray) -> float | None:
    """Local intrinsic dimensionality from ascending distances ``(points, k)``, those at 0 left
    out; None when no point has two different ones."""
    known = np.where(near > 0, near, np.nan)
    logs = np.log(known[:, -1:] / known[:, :-1])
    usable = np.isfinite(logs).any(axis=1)
    mean = float(np.nanmean(logs[usable], axis=1).mean()) if usable.any() else 0.0
    return 1 / mean if mean > 0 else None


def contrast(mean_distance: float, near: np.ndarray) -> float | None:
    """Mean distance over the mean distance to the nearest; None when all are at 0."""
    closest = float(near[:, 0].mean())
    return mean_distance / closest if closest > 0 else None


def partitions(vectors: np.ndarray, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Centres ``(RESTARTS, cells, dim)`` of spherical k-means, by Lloyd's steps from random
    vectors. A cell that runs empty keeps its centre."""
    drawn = [rng.choice(len(vectors), size=cells, replace=False) for _ in range(RESTARTS)]
    centres = vectors[np.stack(drawn)]
    for _ in range(LLOYD_STEPS):
        inside = _cells(centres, vectors)[:, None] == np.arange(cells)[:, None]
        sums = inside.reshape(-1, len(vectors)).astype(vectors.dtype) @ vectors
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        means = (sums / np.maximum(length, 1e-12)).reshape(centres.shape)
        centres = np.where((length > 0).reshape(RESTARTS, cells, 1), means, centres)
    return centres


def imbalance(sizes: np.ndarray) -> float:
    """``cells · Σ (n_i / n)²`` of cell sizes: 1 when all are equal."""
    return float(len(sizes) * ((sizes / sizes.sum()) ** 2).sum())


def skewness(counts: np.ndarray) -> float | None:
    """Third standardised moment; None when all are equal."""
    centred = counts - counts.mean()
    deviation = float(centred.std())
    return float((centred**3).mean()) / deviation**3 if deviation > 0 else None


def energy(between: np.ndarray, left: np.ndarray, right: np.ndarray) -> float | None:
    """Energy coefficient, 0..1, from distances between two samples and within each; None for a
    sample of one."""
    if len(left) < 2 or len(right) < 2 or not between.any():
        return None
    twice = 2 * float(between.mean())
    return max(0.0, (twice - _between_pairs(left) - _between_pairs(right)) / twice)


def _between_pairs(matrix: np.ndarray, diagonal: float = 0.0) -> float:
    """Mean of the entries off the diagonal, which holds ``diagonal``."""
    n = len(matrix)
    return float((matrix.sum(dtype=np.float64) - n * diagonal) / (n * (n - 1)))


def _cells(centres: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The cell of every vector in every partition, ``(RESTARTS, n)``."""
    flat = centres.reshape(-1, centres.shape[-1])
    scores = (flat @ vectors.T).reshape(*centres.shape[:2], len(vectors))
    return np.asarray(scores.argmax(axis=1))


def _sizes(centres: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors in each cell of every partition, ``(RESTARTS, cells)``."""
    count = centres.shape[1]
    return np.stack([np.bincount(c, minlength=count) for c in _cells(centres, vectors)])


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
