"""What a config takes on a workload and a machine: the analytic prediction, and what trees learned
that it misses.

For every *target* trees predict ``log(measured / analytic)`` from the knobs, the analytic model's
own figures and a few features of the workload: the constants of library calls that physics does not
know, how much a quantile lies above a typical query, how full chunks are. The total has trees of
its own: 95 % quantiles of stages do not add up. What a machine adds in common is no
column: trees cannot learn it from the few machines that there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autorag.features import FEATURES
from models.analytic.columns import Floats
from models.analytic.stages import STAGES, Predictions
from models.boosting import Trees
from models.encoding import KNOB_COLUMNS, Matrix

TOTAL = "latency"
TIMES = tuple(f"{what}_{q}_ms" for what in (TOTAL, *STAGES) for q in ("p50", "p95"))
CONTEXT_TOKENS = "context_tokens"
TOTALS = (f"{TOTAL}_p50_ms", f"{TOTAL}_p95_ms")

WORKLOAD = ("documents", "query_tokens_p50", "vocabulary_words", "document_tokens_p50")
"""Features that matter beside what the analytic model makes of them."""

ANALYTIC = (*STAGES, TOTAL, "chunks", "chunk_tokens", "distances", "postings")
COLUMNS: tuple[str, ...] = (
    *KNOB_COLUMNS,
    *(f"analytic.{name}" for name in ANALYTIC),
    *(f"feature.{name}" for name in WORKLOAD),
)

_FEATURES = [[f.name for f in FEATURES].index(name) for name in WORKLOAD]
_CONTEXTS = KNOB_COLUMNS.index("generate.contexts")


def time_rows(knobs: Matrix, features: Matrix, physics: Predictions) -> Matrix:
    """Rows ``(n, len(COLUMNS))`` of configs on one workload.

    Args:
        knobs: ``encode_configs``, ``(n, knobs)``.
        features: ``encode_workload``.
    """
    figures = np.stack([*_figures(physics).values()], axis=1)
    logs = np.log(figures, where=figures > 0, out=np.full(figures.shape, np.nan))
    known = np.tile(features[_FEATURES], (len(knobs), 1))
    return np.hstack([knobs, logs, known]).astype(np.float32)


def analytic(knobs: Matrix, physics: Predictions, target: str) -> Floats:
    """What physics predicts for a target, ``(n,)``; NaN where the stage does not run."""
    if target == CONTEXT_TOKENS:
        found: Floats = np.exp(knobs[:, _CONTEXTS].astype(np.float64)) * physics.chunk_tokens
        return found
    return _figures(physics)[target.split("_")[0]]


def corpus_weights(corpora: Sequence[str]) -> Floats:
    """Of rows of these corpora, so that every corpus weighs the same, however many rows it has."""
    counts = Counter(corpora)
    return np.array([1.0 / counts[corpus] for corpus in corpora])


@dataclass(frozen=True, slots=True)
class RatioModel:
    """Trees of every target that was learned."""

    trees: Mapping[str, Trees]

    @classmethod
    def fit(
        cls, rows: Matrix, ratios: Mapping[str, Floats], corpora: Sequence[str], *, seed: int
    ) -> RatioModel:
        """Fit to rows ``(n, len(COLUMNS))``. Every corpus weighs the same.

        Args:
            ratios: target → ``log(measured / analytic)`` ``(n,)``, NaN where not measured.
            corpora: of the rows.
        """
        found = {}
        for target, ratio in ratios.items():
            some = np.flatnonzero(np.isfinite(ratio))
            if some.size:
                weights = corpus_weights([corpora[i] for i in some.tolist()])
                found[target] = Trees.fit(rows[some], ratio[some], seed=seed, weights=weights)
        return cls(found)

    def predict(self, knobs: Matrix, rows: Matrix, physics: Predictions, target: str) -> Floats:
        """The target ``(n,)``, in its unit; physics alone where nothing was learned of it, NaN
        where the stage does not run."""
        known = analytic(knobs, physics, target)
        trees = self.trees.get(target)
        return known if trees is None else known * np.exp(trees.predict(rows))


def _figures(physics: Predictions) -> dict[str, Floats]:
    return {
        **physics.stage_ms,
        TOTAL: physics.latency_ms,
        "chunks": physics.chunks,
        "chunk_tokens": physics.chunk_tokens,
        "distances": physics.distances,
        "postings": physics.postings,
    }
