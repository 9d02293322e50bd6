"""Retrieval quality of configs on a workload that was not measured, or hardly.

The *effect* of a config is the weighted mean of the landscapes of known workloads
(``models.landscapes``), and what one would rank by. Its quality is the same mean in nDCG@10, moved
by what landmarks show, where they are there: the mean of measured − predicted over them, shrunk as
if one more landmark had shown nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from models.analytic.columns import Floats
from models.encoding import Matrix
from models.landscapes import Landscape, compared, distances, weights

PRIOR_LANDMARKS = 1.0
LEAST_SPREAD = 0.1
"""Standard deviation of a feature that known workloads hardly differ in: of a share, or of a
logarithm."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of ``n`` configs.

    Attributes:
        effect: scaled to about 0 for the worst and 1 for the best config, ``(n,)``.
        value: nDCG@10, ``(n,)``.
        alike: workload → weight, those that it comes from.
    """

    effect: Floats
    value: Floats
    alike: Mapping[str, float]


@dataclass(frozen=True)
class QualityModel:
    """Landscapes of known workloads."""

    landscapes: tuple[Landscape, ...]

    def over(self, rows: Matrix) -> QualityPool:
        """The landscapes at these configs ``(n, knobs)``: made once, used for many workloads."""
        effects = np.stack([one.trees.predict(rows) for one in self.landscapes])
        return QualityPool(self, rows, effects)

    @cached_property
    def features(self) -> Matrix:
        """Of the known workloads, ``(workloads, columns)``."""
        return np.stack([one.features for one in self.landscapes])

    def strangeness(self, features: Matrix) -> float:
        """Distance of a workload to the nearest known corpus, over the largest that a known one has
        to the nearest other."""
        columns = np.isfinite(self.features).all(axis=0) & np.isfinite(features)
        known = self.features[:, columns].astype(np.float64)
        mean, spread = known.mean(axis=0), np.maximum(known.std(axis=0), LEAST_SPREAD)
        scaled, asked = (known - mean) / spread, (features[columns] - mean) / spread
        corpora = np.array([one.corpus for one in self.landscapes])
        squares = (scaled**2).sum(axis=1)
        apart = squares[:, None] + squares[None] - 2 * scaled @ scaled.T
        apart[corpora[:, None] == corpora[None]] = np.inf
        usual = np.sqrt(np.maximum(apart.min(axis=1), 0.0))
        nearest = np.sqrt(((scaled - asked) ** 2).sum(axis=1)).min()
        return float(nearest / max(usual[np.isfinite(usual)].max(initial=0.0), 1e-9))


@dataclass(frozen=True)
class QualityPool:
    """The quality of ``n`` configs on every known workload.

    Attributes:
        rows: the configs, ``(n, knobs)``.
        effects: ``(workloads, n)``.
    """

    model: QualityModel
    rows: Matrix
    effects: Floats
    _shared: dict[int, Floats] = field(default_factory=dict, repr=False)

    @cached_property
    def values(self) -> Floats:
        """The same as nDCG@10, ``(workloads, n)``."""
        worst = np.array([one.worst for one in self.model.landscapes])[:, None]
        best = np.array([one.best for one in self.model.landscapes])[:, None]
        values: Floats = worst + (best - worst) * self.effects
        return values

    def contributions(self, candidate: int) -> Floats:
        """What each column of a config adds to its nDCG@10 on every known workload, ``(workloads,
        knobs)``; kept, since few configs are ever the best."""
        found = self._shared.get(candidate)
        if found is None:
            row = self.rows[candidate : candidate + 1]
            parts = [
                (x.best - x.worst) * x.trees.contributions(row)[0, :-1]
                for x in self.model.landscapes
            ]
            found = self._shared.setdefault(candidate, np.stack(parts))
        return found

    def predict(
        self,
        features: Matrix,
        landmarks: Mapping[int, float] | None = None,
        *,
        labelled: bool = True,
    ) -> Quality:
        """Quality on a workload.

        Args:
            features: ``encode_workload``.
            landmarks: index of a config → its measured nDCG@10.
            labelled: on real queries. On pseudo-queries landmarks tell how configs compare, and
                nothing of the level.
        """
        near = self._weights(features, landmarks or {})
        value = near @ self.values
        if landmarks and labelled:
            at, seen = list(landmarks), np.array([*landmarks.values()])
            value = value + (seen - value[at]).sum() / (len(at) + PRIOR_LANDMARKS)
        names = [one.workload for one in self.model.landscapes]
        return Quality(near @ self.effects, value, dict(zip(names, near.tolist(), strict=True)))

    def _weights(self, features: Matrix, landmarks: Mapping[int, float]) -> Floats:
        corpora: Sequence[str] = [one.corpus for one in self.model.landscapes]
        far = distances(features, self.model.features)
        if not landmarks:
            return weights(corpora, far)
        seen = compared(np.array([*landmarks.values()]))
        known = compared(self.values[:, list(landmarks)])
        return weights(corpora, far, distances(seen, known))
