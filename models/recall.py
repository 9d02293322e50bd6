"""Recall of approximate search: which share of the exact ten nearest vectors an index finds.

Trees learn the logarithm of its odds over what a search does (share of vectors compared, cells,
probes, bits of a code, candidates refined, effort of a graph walk), how large the index is and how
hard the vectors are (local intrinsic dimensionality, relative contrast, imbalance of cells): effort
and hardness add up there. Recall rises with probes, effort and refined candidates, and the trees
are held to that. Flat search is exact; a search by words alone has no such recall.

How far off it is on corpora that were not learned from is told apart from the other residuals:
workloads whose indexes are worth choosing are other ones than those whose quality is labelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autorag.features import WorkloadFeatures
from autorag.objective import Slo
from autorag.pipeline.index import HNSW_KINDS, IVF_KINDS
from models.analytic.columns import Floats
from models.analytic.knobs import Knobs
from models.analytic.retrieval import cell_count, compared, fetched
from models.analytic.shape import WorkloadShape
from models.boosting import Trees
from models.calibration import Residuals, folds
from models.encoding import Matrix
from models.ratios import corpus_weights

ANN_RECALL = "ann_recall_at_10"

EXACT = 1.0
"""Recall of flat search; predictions of approximate ones stay below."""

EXACTLY = {"min_child_weight": 1.0, "reg_lambda": 1.0}
"""Recall is deterministic but for graphs, and the same law holds on every corpus: small leaves."""

WHOLE = 200
"""Searches of a corpus that weighs as much as any: a sweep of all kinds of indexes."""

EDGE = 0.01
"""What is added to recall and to what is missed before their ratio is taken: one of a hundred."""

RISING = ("probes", "share", "effort", "candidates")
KINDS = (*IVF_KINDS, *HNSW_KINDS)
COLUMNS = (
    *RISING,
    *("points", "dimensions", "cells", "code bits", "links", "construction"),
    *("lid", "query lid", "contrast", "query contrast", "imbalance", "query imbalance"),
    *(f"kind={kind}" for kind in KINDS),
)


@dataclass(frozen=True, slots=True)
class Searched:
    """Searches of one corpus in approximate indexes.

    Attributes:
        rows: ``recall_rows``, ``(n, len(COLUMNS))``.
        recall: ``(n,)``.
    """

    corpus: str
    rows: Matrix
    recall: Floats


@dataclass(frozen=True, slots=True)
class RecallModel:
    """Trees, and how far off others like them are on left-out corpora."""

    trees: Trees
    residuals: Residuals

    @classmethod
    def fit(
        cls, searched: Sequence[Searched], left_out: Mapping[str, Floats], *, seed: int
    ) -> RecallModel | None:
        """Fit to searches of corpora.

        Args:
            left_out: of the same; None is returned where there is nothing.
        """
        if not left_out:
            return None
        columns = {corpus: values[:, None] for corpus, values in left_out.items()}
        return cls(_fit(searched, seed), Residuals.of((ANN_RECALL,), columns))

    def predict(self, knobs: Knobs, chunks: Floats, features: WorkloadFeatures) -> Floats:
        """Recall of configs ``(n,)``; ``EXACT`` of flat search, NaN of search by words.

        Args:
            chunks: vectors of the index, ``(n,)``.
        """
        found = np.where(knobs.dense, EXACT, np.nan)
        rows = np.flatnonzero(approximate(knobs))
        if rows.size:
            some = knobs.take(rows)
            found[rows] = _predict(self.trees, recall_rows(some, chunks[rows], features))
        return found

    def chance(self, predicted: Floats, bounds: Sequence[Slo]) -> Floats:
        """The chance ``(n,)`` that searches of predicted recall ``(n,)`` hold bounds on it. What is
        exact holds them or not."""
        told = self.residuals.chance({ANN_RECALL: predicted}, bounds, len(predicted))
        held = [all(b.violation({ANN_RECALL: 1.0}) <= 0 for b in bounds)]
        return np.where(predicted == EXACT, held, told)


def left_out(searched: Sequence[Searched], *, seed: int) -> dict[str, Floats]:
    """Corpus → measured − predicted ``(n,)`` by trees that have not seen it; nothing of fewer than
    two."""
    corpora = list(dict.fromkeys(one.corpus for one in searched))
    found: dict[str, list[Floats]] = {}
    for group in folds(corpora) if len(corpora) > 1 else []:
        trees = _fit([one for one in searched if one.corpus not in group], seed)
        for one in (one for one in searched if one.corpus in group):
            left = one.recall - _predict(trees, one.rows)
            found.setdefault(one.corpus, []).append(left)
    return {corpus: np.concatenate(left) for corpus, left in found.items()}


def approximate(knobs: Knobs) -> np.ndarray:
    """Whether configs search in an index that may miss something, bool ``(n,)``."""
    return knobs.dense & knobs.kind.among(*KINDS)


def recall_rows(knobs: Knobs, chunks: Floats, features: WorkloadFeatures) -> Matrix:
    """What trees read of approximate searches, ``(n, len(COLUMNS))``.

    Args:
        chunks: vectors of the index, ``(n,)``.
    """
    shape = WorkloadShape.from_features(features)
    cells = knobs.kind.among(*IVF_KINDS)
    graphs = knobs.kind.among(*HNSW_KINDS)
    work = compared(knobs, chunks, shape.lid, shape.query_imbalance)
    asked = fetched(knobs, chunks)
    space = features.embedding
    columns = (
        np.where(cells, knobs.nprobe, np.nan),
        work.share,
        np.where(graphs, np.maximum(knobs.ef_search, asked), np.nan),
        np.where(knobs.refine > 1, asked, 10.0),
        chunks,
        knobs.dim,
        np.where(cells, cell_count(knobs.nlist, chunks), np.nan),
        _code_bits(knobs),
        np.where(graphs, knobs.hnsw_m, np.nan),
        np.where(graphs, knobs.ef_construction, np.nan),
        *(np.full(len(knobs), _known(value)) for value in _hardness(space)),
    )
    logs = np.log(np.maximum(np.stack(columns, axis=1), 1e-9))
    kinds = np.stack([knobs.kind.among(kind) for kind in KINDS], axis=1)
    return np.hstack([logs, kinds]).astype(np.float32)


def in_cells(rows: Matrix) -> np.ndarray:
    """Whether searches ``(n, len(COLUMNS))`` are of indexes of cells, bool ``(n,)``."""
    kinds = [COLUMNS.index(f"kind={kind}") for kind in IVF_KINDS]
    return np.asarray(rows[:, kinds].any(axis=1))


def _hardness(space: object) -> Iterator[float | None]:
    for name in ("lid", "relative_contrast", "cell_imbalance"):
        yield getattr(space, name)
        yield getattr(space, f"query_{name}")


def _known(value: float | None) -> float:
    return np.nan if value is None else value


def _code_bits(knobs: Knobs) -> Floats:
    """Bits of a coordinate in the index."""
    found = np.full(len(knobs), 32.0)
    found[knobs.kind.among("ivf_sq8", "hnsw_sq8")] = 8.0
    codes = knobs.kind.among("ivf_pq_fastscan")
    found[codes] = 4.0 * knobs.pq_m[codes] / knobs.dim[codes]
    return found


def _fit(searched: Sequence[Searched], seed: int) -> Trees:
    rows = np.vstack([one.rows for one in searched])
    recall = np.concatenate([one.recall for one in searched])
    weights = corpus_weights([one.corpus for one in searched for _ in one.recall], WHOLE)
    odds = np.log((recall + EDGE) / (1.0 + EDGE - recall))
    return Trees.fit(
        rows, odds, seed=seed, weights=weights, rising=range(len(RISING)), parameters=EXACTLY
    )


def _predict(trees: Trees, rows: Matrix) -> Floats:
    odds = np.exp(trees.predict(rows))
    recall = (odds * (1.0 + EDGE) - EDGE) / (1.0 + odds)
    return np.clip(recall, 0.0, np.nextafter(EXACT, 0.0))
