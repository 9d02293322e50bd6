"""Vector indexes: six faiss kinds over unit vectors, by inner product.

``flat``, ``ivf_flat``, ``ivf_sq8``, ``ivf_pq_fastscan`` (4-bit codes in registers), ``hnsw``,
``hnsw_sq8``. All keep ids of their own, so that documents can be added and removed later: the IVF
kinds in their lists, the others under an id map (an id map over IVF loses count on removal). HNSW
cannot remove, and adding after removing breaks fast-scan codes: these two are rebuilt. Builds
run on one thread with a fixed seed and are deterministic. ``refine`` fetches that many times more
candidates from a quantised index and ranks them by exact inner products.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from autorag.errors import MeasurementError
from autorag.pipeline.transformer import unit

IVF_KINDS = ("ivf_flat", "ivf_sq8", "ivf_pq_fastscan")
HNSW_KINDS = ("hnsw", "hnsw_sq8")
QUANTISED_KINDS = ("ivf_sq8", "ivf_pq_fastscan", "hnsw_sq8")
KINDS = ("flat", *IVF_KINDS, *HNSW_KINDS)

POINTS_PER_CELL = 39
"""Training points that faiss wants per centroid."""

PQ_BITS = 4


def cells(factor: float, points: int) -> int:
    """Number of IVF cells: ``factor`` × √points, at least 1."""
    return max(1, round(factor * math.sqrt(points)))


def points_needed(kind: str, factor: float, points: int) -> int:
    """How many points a build of this kind needs to train on."""
    needed = POINTS_PER_CELL * cells(factor, points) if kind in IVF_KINDS else 1
    return max(needed, POINTS_PER_CELL * 2**PQ_BITS) if kind == "ivf_pq_fastscan" else needed


def truncated(vectors: np.ndarray, dim: int) -> np.ndarray:
    """The first ``dim`` coordinates, scaled to length 1 again."""
    return vectors if vectors.shape[-1] == dim else unit(vectors[..., :dim])


def build_index(vectors: np.ndarray, knobs: Mapping[str, Any], seed: int) -> Any:
    """Build an index over float32 ``(n, dim)``; ids are row numbers.

    Args:
        knobs: the ``index.*`` knobs.

    Raises:
        MeasurementError: too few vectors to train on.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    kind = str(knobs["index.kind"])
    factor = float(knobs.get("index.nlist", 1.0))
    needed = points_needed(kind, factor, len(vectors))
    if len(vectors) < needed:
        raise MeasurementError(
            f"index.kind = {kind}: needs {needed} distinct chunks to train on, there are "
            f"{len(vectors)}"
        )
    inner = _empty(faiss, kind, vectors.shape[1], cells(factor, len(vectors)), knobs)
    if kind in IVF_KINDS:
        inner.cp.seed = seed
    if kind == "ivf_pq_fastscan":
        inner.pq.cp.seed = seed
    if not inner.is_trained:
        inner.train(vectors)
    index = inner if kind in IVF_KINDS else faiss.IndexIDMap2(inner)
    index.add_with_ids(vectors, np.arange(len(vectors), dtype=np.int64))
    return index


def _empty(faiss: Any, kind: str, dim: int, nlist: int, knobs: Mapping[str, Any]) -> Any:
    product = faiss.METRIC_INNER_PRODUCT
    if kind == "flat":
        return faiss.IndexFlatIP(dim)
    if kind in HNSW_KINDS:
        code = f"HNSW{knobs['index.hnsw_m']}" + (",Flat" if kind == "hnsw" else "_SQ8")
        graph = faiss.index_factory(dim, code, product)
        graph.hnsw.efConstruction = int(knobs["index.ef_construction"])
        return graph
    codes = {"ivf_flat": "Flat", "ivf_sq8": "SQ8"}
    code = codes.get(kind) or f"PQ{knobs['index.pq_m']}x{PQ_BITS}fs"
    return faiss.index_factory(dim, f"IVF{nlist},{code}", product)


def serialized(index: Any) -> np.ndarray:
    """The index as ``uint8``; its length is the index's size in memory and on disk."""
    import faiss

    return np.asarray(faiss.serialize_index(index))


def deserialized(raw: np.ndarray) -> Any:
    """The inverse of :func:`serialized`."""
    import faiss

    return faiss.deserialize_index(raw)


class VectorSearch:
    """Top-k search with the query-time knobs of one index.

    Args:
        vectors: the indexed vectors, needed only when ``retrieve.refine`` is above 1.
    """

    def __init__(
        self, index: Any, knobs: Mapping[str, Any], threads: int, vectors: np.ndarray | None
    ) -> None:
        import faiss

        self._faiss = faiss
        self._index = index
        self._threads = threads
        self._refine = int(knobs.get("retrieve.refine", 1))
        self._vectors = vectors if self._refine > 1 else None
        self._parameters = self._search_parameters(knobs)
        self.use_threads()

    def use_threads(self) -> None:
        """Set faiss's threads (global to the process) to this search's."""
        self._faiss.omp_set_num_threads(self._threads)

    def search(self, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers and scores of the best ``k``, best first; ``query`` is ``(dim,)``."""
        fetch = min(k * self._refine, self._index.ntotal)
        scores, rows = self._index.search(query[None], fetch, params=self._parameters)
        found = rows[0] >= 0
        rows_found, scores_found = rows[0][found], scores[0][found]
        if self._vectors is None:
            return rows_found[:k], scores_found[:k]
        exact = self._vectors[rows_found] @ query
        best = np.argsort(-exact, kind="stable")[:k]
        return rows_found[best], exact[best]

    def _search_parameters(self, knobs: Mapping[str, Any]) -> Any:
        faiss: Any = self._faiss
        if "retrieve.nprobe" in knobs:
            return faiss.SearchParametersIVF(nprobe=int(knobs["retrieve.nprobe"]))
        if "retrieve.ef_search" in knobs:
            return faiss.SearchParametersHNSW(efSearch=int(knobs["retrieve.ef_search"]))
        return None


def exact_top(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Row numbers of the exact best ``k`` per query, int64 ``(queries, k)``; for recall."""
    import faiss

    return np.asarray(faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)[1])
