"""Bytes resident to serve: what the pipeline sums up, predicted without building anything.

An index is as large as faiss serialises it: codes, 8 bytes of id a vector, then per kind

* cells: the centroids, one counter a cell; fast-scan codes in whole blocks of 32, two counters;
* graphs: a level and an offset a vector, ``2M`` links on the ground and ``M`` on every level above;
  a vector is on level ``l`` with chance ``M^-l`` (Malkov and Yashunin, 2018), so there are
  ``M / (M - 1)`` more on average.

Beside it: postings of 8 bytes, vectors kept for refining, token vectors of one byte a coordinate,
the weights of the models in use (each once), and the cache's limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from autorag.pipeline.embedders import LSA_DIM, LSA_WORDS, MINILM_TORCH_BYTES
from autorag.pipeline.generate import LOCAL
from autorag.pipeline.index import HNSW_KINDS, IVF_KINDS, PQ_BITS, cells
from autorag.pipeline.transformer import MINILM_DIM
from models.analytic import lexical
from models.analytic.chunking import Chunking
from models.analytic.intensity import FLOAT_BYTES, LINK_BYTES
from models.analytic.knobs import Knobs
from models.analytic.retrieval import CODE_BLOCK
from models.analytic.shape import WorkloadShape

ID_BYTES = OFFSET_BYTES = COUNTER_BYTES = 8
LEVEL_BYTES = 4
POSTING_BYTES = 8
"""A chunk's number and a score."""

HEADERS: Mapping[str, float] = {
    "flat": 90,
    "ivf_flat": 139,
    "ivf_sq8": 184,
    "ivf_pq_fastscan": 208,
    "hnsw": 199,
    "hnsw_sq8": 235,
}
PQ_CENTROIDS = 1 << PQ_BITS
LEVEL_TABLE_BYTES = 12
"""A row of the tables that a graph keeps per level."""

LEAST_CHANCE = 1e-9
"""Levels that are less likely have no row."""

INT8_BYTES = 22_928_619
WEIGHTS: Mapping[str, float] = {
    "static": 15_116_888,
    "minilm-int8": INT8_BYTES,
    "minilm": MINILM_TORCH_BYTES,
    "e5-small-q4": 71_622_400,
}
GENERATOR_WEIGHTS: Mapping[str, float] = {LOCAL: 253_113_024}


def resident_bytes(
    knobs: Knobs,
    shape: WorkloadShape,
    chunks: Chunking,
    reranker_bytes: float = 0.0,
    *,
    generate: bool = False,
) -> float:
    """Everything a config keeps in memory.

    Args:
        reranker_bytes: weights of a local cross-encoder.
        generate: answers are generated: the generator's weights count.
    """
    total = knobs.cache_mb * 1e6 + reranker_bytes
    if knobs.dense:
        total += index_bytes(knobs, chunks.chunks) + embedder_bytes(knobs.embedder, shape, chunks)
        total += chunks.chunks * FLOAT_BYTES * knobs.dim if knobs.refine > 1 else 0.0
    if knobs.lexical or knobs.reranker == "bm25":
        total += lexical_bytes(shape, chunks)
    if knobs.reranker == "maxsim":
        total += token_bytes(chunks) + (0.0 if shares_encoder(knobs) else INT8_BYTES)
    return total + (GENERATOR_WEIGHTS.get(knobs.generator, 0.0) if generate else 0.0)


def index_bytes(knobs: Knobs, vectors: float) -> float:
    """A vector index as faiss serialises it."""
    total = HEADERS[knobs.kind] + vectors * ID_BYTES
    if knobs.kind in IVF_KINDS:
        nlist = cells(knobs.nlist, round(vectors))
        return total + nlist * FLOAT_BYTES * knobs.dim + _cell_bytes(knobs, vectors, nlist)
    code = FLOAT_BYTES if knobs.kind in ("flat", "hnsw") else 1
    total += vectors * code * knobs.dim
    return total + _graph_bytes(knobs, vectors) if knobs.kind in HNSW_KINDS else total


def _cell_bytes(knobs: Knobs, vectors: float, nlist: int) -> float:
    """Codes and counters of the cells, and the tables of their quantiser."""
    if knobs.kind == "ivf_pq_fastscan":
        padded = vectors + nlist * (CODE_BLOCK - 1) / 2
        tables = FLOAT_BYTES * PQ_CENTROIDS * knobs.dim
        return padded * knobs.pq_m / 2 + tables + 2 * COUNTER_BYTES * nlist
    if knobs.kind == "ivf_sq8":
        return vectors * knobs.dim + 2 * FLOAT_BYTES * knobs.dim + COUNTER_BYTES * nlist
    return vectors * FLOAT_BYTES * knobs.dim + COUNTER_BYTES * nlist


def _graph_bytes(knobs: Knobs, vectors: float) -> float:
    """Links, levels and offsets; the ranges of 8-bit codes."""
    links = 2 * knobs.hnsw_m + knobs.hnsw_m / (knobs.hnsw_m - 1)
    each = LEVEL_BYTES + OFFSET_BYTES + LINK_BYTES * links
    least = math.log(LEAST_CHANCE / (1 - 1 / knobs.hnsw_m))
    levels = 1 + math.floor(-least / math.log(knobs.hnsw_m))
    ranges = 2 * FLOAT_BYTES * knobs.dim if knobs.kind == "hnsw_sq8" else 0
    return vectors * each + levels * LEVEL_TABLE_BYTES + ranges


def embedder_bytes(model: str, shape: WorkloadShape, chunks: Chunking) -> float:
    """A model's weights; LSA's are a row per direction, as long as the corpus has words."""
    if model == "lsa":
        words = min(LSA_WORDS, shape.vocabulary)
        return words * (min(LSA_DIM, words, chunks.chunks) + 1) * FLOAT_BYTES
    return WEIGHTS[model]


def lexical_bytes(shape: WorkloadShape, chunks: Chunking) -> float:
    """Postings, and where those of each word start."""
    return (
        lexical.entries(shape, chunks) * POSTING_BYTES
        + lexical.STEMS * shape.vocabulary * OFFSET_BYTES
    )


def token_bytes(chunks: Chunking) -> float:
    """Token vectors of every chunk, for late interaction."""
    return chunks.chunks * (max(1.0, chunks.tokens) * MINILM_DIM + OFFSET_BYTES)


def shares_encoder(knobs: Knobs) -> bool:
    """Whether late interaction uses the embedder's own encoder."""
    return knobs.embedder == "minilm-int8" and knobs.threads_embed == knobs.threads_rerank
