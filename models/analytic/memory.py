"""Bytes resident to serve: what the pipeline sums up, predicted without building anything.

An index is as large as faiss serialises it: codes, 8 bytes of id a vector, then per kind

* cells: the centroids, one counter a cell; fast-scan codes in whole blocks of 32, two counters;
* graphs: a level and an offset a vector, ``2M`` links on the ground and ``M`` on every level above;
  a vector is on level ``l`` with chance ``M^-l`` (Malkov and Yashunin, 2018), so there are
  ``M / (M - 1)`` more on average.

Beside it: postings of 8 bytes, vectors kept for refining, token vectors of one byte a coordinate,
the weights of the models in use (each once), and the cache's limit. Arrays are ``(n,)``, a row a
config.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from autorag.pipeline.embedders import LSA_DIM, LSA_WORDS, MINILM_TORCH_BYTES
from autorag.pipeline.generate import LOCAL
from autorag.pipeline.index import HNSW_KINDS, IVF_KINDS, PQ_BITS
from autorag.pipeline.transformer import MINILM_DIM
from models.analytic import lexical
from models.analytic.chunking import Chunking
from models.analytic.columns import Flags, Floats, Numbers
from models.analytic.intensity import FLOAT_BYTES, LINK_BYTES
from models.analytic.knobs import Knobs
from models.analytic.retrieval import CODE_BLOCK, cell_count
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
    reranker_bytes: Numbers = 0.0,
    *,
    generate: bool = False,
) -> Floats:
    """Everything a config keeps in memory.

    Args:
        reranker_bytes: weights of a local cross-encoder.
        generate: answers are generated: the generator's weights count.
    """
    total = knobs.cache_mb * 1e6 + reranker_bytes + index_bytes(knobs, chunks.chunks)
    total += embedder_bytes(knobs, shape, chunks)
    total += np.where(knobs.refine > 1, chunks.chunks * FLOAT_BYTES * knobs.dim, 0.0)
    total += np.where(knobs.scored, lexical_bytes(shape, chunks), 0.0)
    own = np.where(shares_encoder(knobs), 0.0, INT8_BYTES)
    total += np.where(knobs.reranker.among("maxsim"), token_bytes(chunks) + own, 0.0)
    return total + (knobs.generator.numbers(GENERATOR_WEIGHTS) if generate else 0.0)


def index_bytes(knobs: Knobs, vectors: Floats) -> Floats:
    """A vector index as faiss serialises it; 0 without one."""
    total = np.zeros(len(knobs))
    for kind, rows in knobs.kind.groups():
        if kind:
            total[rows] = _kind_bytes(kind, knobs.take(rows), vectors[rows])
    return total


def _kind_bytes(kind: str, knobs: Knobs, vectors: Floats) -> Floats:
    total = HEADERS[kind] + vectors * ID_BYTES
    if kind in IVF_KINDS:
        return total + _cell_bytes(kind, knobs, vectors)
    code = FLOAT_BYTES if kind in ("flat", "hnsw") else 1
    total += vectors * code * knobs.dim
    return total + _graph_bytes(kind, knobs, vectors) if kind in HNSW_KINDS else total


def _cell_bytes(kind: str, knobs: Knobs, vectors: Floats) -> Floats:
    """Centroids, codes and counters of the cells, and the tables of their quantiser."""
    cells = cell_count(knobs.nlist, vectors)
    total = cells * (FLOAT_BYTES * knobs.dim + COUNTER_BYTES)
    if kind == "ivf_pq_fastscan":
        padded = vectors + cells * (CODE_BLOCK - 1) / 2
        tables = FLOAT_BYTES * PQ_CENTROIDS * knobs.dim
        return total + padded * knobs.pq_m / 2 + tables + COUNTER_BYTES * cells
    if kind == "ivf_sq8":
        return total + vectors * knobs.dim + 2 * FLOAT_BYTES * knobs.dim
    return total + vectors * FLOAT_BYTES * knobs.dim


def _graph_bytes(kind: str, knobs: Knobs, vectors: Floats) -> Floats:
    """Links, levels and offsets; the ranges of 8-bit codes."""
    links = 2 * knobs.hnsw_m + knobs.hnsw_m / (knobs.hnsw_m - 1)
    each = LEVEL_BYTES + OFFSET_BYTES + LINK_BYTES * links
    least = np.log(LEAST_CHANCE / (1 - 1 / knobs.hnsw_m))
    levels: Floats = 1 + np.floor(-least / np.log(knobs.hnsw_m))
    ranges = 2 * FLOAT_BYTES * knobs.dim if kind == "hnsw_sq8" else 0.0
    return vectors * each + levels * LEVEL_TABLE_BYTES + ranges


def embedder_bytes(knobs: Knobs, shape: WorkloadShape, chunks: Chunking) -> Floats:
    """Models' weights; LSA's are a row per direction, as long as the corpus has words."""
    total = np.zeros(len(knobs))
    for model, rows in knobs.embedder.groups():
        if model == "lsa":
            words = min(LSA_WORDS, shape.vocabulary)
            directions = np.minimum(min(LSA_DIM, words), chunks.chunks[rows])
            total[rows] = words * (directions + 1) * FLOAT_BYTES
        elif model:
            total[rows] = WEIGHTS[model]
    return total


def lexical_bytes(shape: WorkloadShape, chunks: Chunking) -> Floats:
    """Postings, and where those of each word start."""
    return (
        lexical.entries(shape, chunks) * POSTING_BYTES
        + lexical.STEMS * shape.vocabulary * OFFSET_BYTES
    )


def token_bytes(chunks: Chunking) -> Floats:
    """Token vectors of every chunk, for late interaction."""
    tokens: Floats = np.maximum(1.0, chunks.tokens)
    return chunks.chunks * (tokens * MINILM_DIM + OFFSET_BYTES)


def shares_encoder(knobs: Knobs) -> Flags:
    """Whether late interaction uses the embedder's own encoder ``(n,)``."""
    alike: Flags = knobs.threads_embed == knobs.threads_rerank
    return knobs.embedder.among("minilm-int8") & alike
