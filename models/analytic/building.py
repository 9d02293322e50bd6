"""Seconds of building with nothing built before, each artifact alone.

The vectors of ``minilm-int8`` and the token vectors of late interaction come from one pass: who
needs both pays for one of them. Documents are embedded on all cores, indexes are built on one.

*k-means* (faiss): ten passes over at most 256 points a cell, then every vector is assigned; both
are matrix products. *Product quantiser*: 25 passes over 4 096 points for each of its parts, small
products dominated by calls. *Graph*: every insertion is a search with ``ef_construction`` in the
graph so far, which has half the vectors on average, and links back, dearer than a distance of a
search by ``LINKING``. The constants come from random vectors and made-up text on a 2.4 GHz Zen 3.
Arrays are ``(n,)``, a row a config.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from autorag.pipeline.index import HNSW_KINDS, IVF_KINDS
from autorag.table.schema import BUILDS
from models.analytic import inference
from models.analytic.chunking import Chunking
from models.analytic.columns import Floats
from models.analytic.knobs import Knobs
from models.analytic.machine import Machine
from models.analytic.memory import index_bytes
from models.analytic.retrieval import cell_count, hnsw_distances
from models.analytic.shape import WorkloadShape

KMEANS_PASSES, CELL_POINTS = 10, 256
KMEANS_EFFICIENCY = 0.85
LINKING = 1.4
VECTOR_S = 2e-6
"""Adding a vector to a cell."""

ENCODE_S: Mapping[str, float] = {"ivf_sq8": 16e-9, "ivf_pq_fastscan": 12e-9}
"""Per coordinate."""

PART_S = 7e-3
"""Training one part of a product quantiser."""

INDEX_S, COPIES = 2e-3, 4
"""Of any index; its copies while it is built and serialised."""

CHUNK_RATE, LEXICAL_RATE = 0.5, 1.0
"""Tokens a second of splitting and of lexical indexing, over those of the static embedder."""

LEXICAL_CHUNK_TOKENS = 15.0
"""What a chunk costs the lexical index beside its tokens."""

LOAD_S: Mapping[str, float] = {"static": 0.2, "minilm-int8": 0.5, "minilm": 5.0, "e5-small-q4": 1.0}


def build_seconds(
    knobs: Knobs, shape: WorkloadShape, chunks: Chunking, machine: Machine
) -> dict[str, Floats]:
    """Artifact → seconds, by the names of ``autorag.table.schema.BUILDS``; NaN where a config does
    not need it."""
    counting = machine.rate("static_tokens_s")
    seconds = {build: np.full(len(knobs), np.nan) for build in BUILDS}
    seconds["chunk"][:] = shape.tokens / (CHUNK_RATE * counting)
    for model, rows in knobs.embedder.groups():
        if model:
            seconds["embed"][rows] = _embed_s(model, chunks.take(rows), machine)
    seconds["index"] = index_s(knobs, chunks.chunks, shape.lid, machine)
    tokens = chunks.chunks * (chunks.tokens + LEXICAL_CHUNK_TOKENS)
    seconds["lexical"] = np.where(knobs.scored, tokens / (LEXICAL_RATE * counting), np.nan)
    interacting = np.flatnonzero(knobs.reranker.among("maxsim"))
    if interacting.size:
        seconds["rerank"][interacting] = _embed_s("minilm-int8", chunks.take(interacting), machine)
    return seconds


def index_s(knobs: Knobs, vectors: Floats, lid: float, machine: Machine) -> Floats:
    """Seconds of a vector index; NaN without one."""
    copying = INDEX_S + COPIES * index_bytes(knobs, vectors) / machine.bandwidth
    seconds = np.where(knobs.dense, copying, np.nan)
    for kind, rows in knobs.kind.groups():
        if kind in IVF_KINDS:
            seconds[rows] += _cells_s(kind, knobs.take(rows), vectors[rows], machine)
        if kind in HNSW_KINDS:
            seconds[rows] += _links_s(knobs.take(rows), vectors[rows], lid, machine)
    return seconds


def _links_s(knobs: Knobs, vectors: Floats, lid: float, machine: Machine) -> Floats:
    distances = hnsw_distances(vectors / 2, knobs.hnsw_m, knobs.ef_construction, lid)
    return vectors * LINKING * distances / machine.rate("hnsw_distances_s")


def _cells_s(kind: str, knobs: Knobs, vectors: Floats, machine: Machine) -> Floats:
    cells = cell_count(knobs.nlist, vectors)
    passed = KMEANS_PASSES * np.minimum(vectors, CELL_POINTS * cells) + vectors
    products = 2 * passed * cells * knobs.dim / (KMEANS_EFFICIENCY * machine.flops)
    encoding = vectors * (VECTOR_S + knobs.dim * ENCODE_S.get(kind, 0.0))
    training = knobs.pq_m * PART_S if kind == "ivf_pq_fastscan" else 0.0
    return products + encoding + training


def _embed_s(model: str, chunks: Chunking, machine: Machine) -> Floats:
    passed = inference.documents_s(model, chunks.tokens, chunks.chunks, machine)
    return LOAD_S.get(model, 0.0) + passed
