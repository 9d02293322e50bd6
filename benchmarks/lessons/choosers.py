"""Ways to choose a config for a workload without measuring it all.

A chooser is given a ``Scene`` and returns the columns that it may pick, each equally likely. It
sees which configs hold the SLOs (times of the first repeat), the other workloads that the split
leaves it, and of the workload itself only what its name says.

    default           the default config, whether it holds the SLOs or not
    random            any that holds them
    portfolio         best on average over the other corpora
    nearest features  the same, weighted by how alike the workloads' features are
    nearest landmarks the same, weighted by how alike the cheapest configs do, which are measured
                      on labelled queries
    pseudo            best on pseudo-queries made from the corpus
    pseudo, portfolio best mean of both
    labels            best on labelled queries, all configs measured: what is lost to noise alone

Every corpus counts once in an average, however many variants of it there are. Weights are
exp(-(2d / m)²), where m is the median distance to the others; nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.lessons.landscapes import Landscapes, normalised

LANDMARKS = (
    {"retrieve.mode": "lexical"},
    {"retrieve.mode": "dense", "embed.model": "static"},
    {"retrieve.mode": "hybrid", "embed.model": "static", "retrieve.alpha": 0.5},
)
"""The configs measured as landmarks: of all that have these values, the nearest to the default."""

FEWEST_SHARE = 0.5
"""A config counts in a portfolio where at least this share of the other corpora has it."""


@dataclass(frozen=True)
class Scene:
    """What a chooser may look at.

    Attributes:
        target: row of the workload.
        others: rows of the workloads to learn from.
        feasible: columns that hold the SLOs.
        half: of the labelled queries that may be looked at: ``".a"`` or ``".b"``.
        default: column of the default config.
        landmarks: columns.
    """

    table: Landscapes
    target: int
    others: np.ndarray
    feasible: np.ndarray
    half: str
    default: int
    landmarks: Sequence[int]


Chooser = Callable[[Scene], np.ndarray]


def default(scene: Scene) -> np.ndarray:
    return np.array([scene.default])


def random(scene: Scene) -> np.ndarray:
    return scene.feasible


def portfolio(scene: Scene) -> np.ndarray:
    return _best(scene, portfolio_scores(scene, np.ones(len(scene.others))))


def nearest_features(scene: Scene) -> np.ndarray:
    features = np.stack([w.features for w in scene.table.workloads])
    return _best(scene, portfolio_scores(scene, _nearness(scene, features)))


def nearest_landmarks(scene: Scene) -> np.ndarray:
    seen = scene.table.real[""][:, list(scene.landmarks)].copy()
    seen[scene.target] = scene.table.real[scene.half][scene.target, list(scene.landmarks)]
    return _best(scene, portfolio_scores(scene, _nearness(scene, seen)))


def pseudo(scene: Scene) -> np.ndarray:
    return _best(scene, scene.table.pseudo[""][scene.target])


def pseudo_portfolio(scene: Scene) -> np.ndarray:
    both = [
        normalised(scene.table.pseudo[""][scene.target]),
        portfolio_scores(scene, np.ones(len(scene.others))),
    ]
    return _best(scene, np.mean(both, axis=0))


def labels(scene: Scene) -> np.ndarray:
    return _best(scene, scene.table.real[scene.half][scene.target])


CHOOSERS: Mapping[str, Chooser] = {
    "default": default,
    "random": random,
    "portfolio": portfolio,
    "nearest features": nearest_features,
    "nearest landmarks": nearest_landmarks,
    "pseudo": pseudo,
    "pseudo, portfolio": pseudo_portfolio,
    "labels": labels,
}

LEARNING = ("portfolio", "nearest features", "nearest landmarks", "pseudo, portfolio")
"""Choosers that look at other workloads."""


def portfolio_scores(scene: Scene, nearness: np.ndarray) -> np.ndarray:
    """Weighted mean normalised quality over the other workloads, ``(configs,)``; NaN where too few
    have the config.

    Args:
        nearness: weights, ``(others,)``.
    """
    corpora = [scene.table.corpora[i] for i in scene.others]
    weights = nearness / np.array([corpora.count(c) for c in corpora])
    quality = normalised(scene.table.real[""][scene.others])
    known = np.isfinite(quality)
    total = weights @ known
    scores = weights @ np.where(known, quality, 0.0) / np.maximum(total, 1e-12)
    return np.where(total >= FEWEST_SHARE * weights.sum(), scores, np.nan)


def landmark_columns(table: Landscapes, default: int) -> list[int]:
    """The columns of ``LANDMARKS``, among configs that every workload has."""
    everywhere = np.flatnonzero(np.isfinite(table.real[""]).all(axis=0)).tolist()
    usual = table.configs[default]
    found = []
    for values in LANDMARKS:
        some = [i for i in everywhere if values.items() <= table.configs[i].items()]
        if some:
            found.append(min(some, key=lambda i: len(usual.items() ^ table.configs[i].items())))
    return found


def _nearness(scene: Scene, described: np.ndarray) -> np.ndarray:
    """Weights of the other workloads by distance in standardised columns that all have.

    Args:
        described: ``(workloads, columns)``.
    """
    rows = described[[scene.target, *scene.others]]
    rows = rows[:, np.isfinite(rows).all(axis=0)]
    rows = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-9)
    distance = np.sqrt(((rows[1:] - rows[0]) ** 2).sum(axis=1))
    near: np.ndarray = np.exp(-((2 * distance / max(float(np.median(distance)), 1e-9)) ** 2))
    return near


def _best(scene: Scene, scores: np.ndarray) -> np.ndarray:
    """The best of the feasible columns; the first of equals."""
    some = scores[scene.feasible]
    if np.isnan(some).all():
        return scene.feasible
    return scene.feasible[[int(np.nanargmax(some))]]
