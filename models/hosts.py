"""What a machine does differently from those that trees learned from.

Trees cannot tell a machine from its one workload, so they learn from machines that timed several
corpora, and any but the one that timed most gets an *effect*: of the residuals
``log(measured / predicted)`` on it, a ridge regression on what runs (embedder, reranker, kind of
index, dense or lexical search), since a machine is not slower in everything alike: one has fast
matrix products and a slow interpreter, the next the other way round. The ridge counts as ``PRIOR``
trials without any difference, so that a few trials move predictions a little and many say all that
they show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.analytic.columns import Floats
from models.encoding import Matrix, choice_flags

FEWEST_TRIALS = 5
"""Measured on a machine before anything is said of it."""

LEARNED_CORPORA = 5
"""Timed on a machine that trees learn from."""

PRIOR = 3.0


@dataclass(frozen=True, slots=True)
class HostEffect:
    """What a machine adds to the logarithm of times.

    Attributes:
        coefficients: target → of 1 and of ``choice_flags``.
    """

    coefficients: Mapping[str, Floats]

    @classmethod
    def fit(cls, knobs: Matrix, residuals: Mapping[str, Floats]) -> HostEffect:
        """Fit to trials.

        Args:
            knobs: ``encode_configs``, ``(n, knobs)``.
            residuals: target → ``log(measured / predicted)`` ``(n,)``, NaN where not measured.
        """
        rows = _rows(knobs)
        return cls(
            {
                target: _ridge(rows[known], values[known])
                for target, values in residuals.items()
                if (known := np.isfinite(values)).sum() >= FEWEST_TRIALS
            }
        )

    def factor(self, knobs: Matrix, target: str) -> Floats | float:
        """What predictions of configs ``(n, knobs)`` are multiplied with, ``(n,)``."""
        if target not in self.coefficients:
            return 1.0
        factor: Floats = np.exp(_rows(knobs) @ self.coefficients[target])
        return factor


def _rows(knobs: Matrix) -> Floats:
    return np.hstack([np.ones((len(knobs), 1)), choice_flags(knobs)])


def _ridge(rows: Floats, values: Floats) -> Floats:
    squares = rows.T @ rows + PRIOR * np.eye(rows.shape[1])
    return np.asarray(np.linalg.solve(squares, rows.T @ values), dtype=np.float64)
