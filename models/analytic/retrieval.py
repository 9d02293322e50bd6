"""Vector search: what a query compares, and how long that takes.

*Cells.* An IVF query compares ``N · f · nprobe / nlist`` codes. ``f`` is the imbalance: queries
fall into large cells first. With one probe it is the workload's ``query_imbalance``; it comes down
to 1 as probes cover the cells, ``f = 1 + (f₁ - 1) · (1 - p)^8 / √nprobe`` with ``p`` the share
probed.

*Graphs.* An HNSW query walks through ``ef = max(ef_search, k)`` nodes and compares the neighbours
that it has not seen. A node keeps ``2M`` neighbours at most, fewer where the data has few
directions: ``D = 2M · (1 - e^(-1.8 · lid^1.1 / 2M))``. It compares ``0.24 · ef^0.83 · D · N^0.16``
of them and ``0.42 · M · ln N`` in the upper layers; of a small index never more than there are:
``N · (1 - e^(-x / N))`` for their sum ``x``. The six constants were fitted once, to 300 searches of
50 indexes over mixtures of Gaussians on random subspaces (1 000 to 60 000 vectors, 4 to 64
directions, M 8 to 48, ef 16 to 256, queries on and off the data), none of them a workload; there
the mean error is 29 %.

*Time.* Flat scans and cells stream vectors at the speed of memory or, from the cache, at a share of
the machine's matrix products; codes of 8 bits are decoded one coordinate at a time; 4-bit codes are
looked up in registers. A graph walk waits for memory at every node. Candidates pass a heap. One
query runs on one thread, whatever ``threads.retrieve`` is: faiss shares out queries.
The constants of time below come from random vectors on a 2.4 GHz Zen 3.
Arrays are ``(n,)``, a row a config.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from autorag.pipeline.index import HNSW_KINDS, IVF_KINDS, POINTS_PER_CELL, PQ_BITS
from autorag.pipeline.transformer import MINILM_DIM
from models.analytic import intensity
from models.analytic.columns import Columns, Floats
from models.analytic.intensity import FLOAT_BYTES
from models.analytic.knobs import Knobs
from models.analytic.machine import Machine, Operator, Step

CALL_S = 45e-6
"""Of a search through faiss's Python wrapper, everything in the cache."""

CALL_LINES = 500
VECTOR_S = 8e-9
"""Per vector or code, whatever its length: the loop and the comparison with the worst kept."""

CODE_BLOCK = 32
"""Fast-scan codes of a cell come in blocks of so many."""

CODE_S = 1.2e-9
"""What a code of a short list costs more than one of the long scan that the profile times."""

CELL_S = 0.3e-6
REFINE_S = 20e-6
LINES_A_VECTOR = 0.5
"""Misses waited for when a candidate's vector is fetched: the prefetcher brings the rest of it."""

SCAN_EFFICIENCY = 0.39
"""Share of the matrix products' speed that inner products of one query attain."""

DECODE_EFFICIENCY = 0.17
HEAP_S = 9e-9
"""A step of a heap."""

CACHED_DISTANCE = 0.65
"""Time of an HNSW distance whose vector is in the cache, over the profile's, whose are not."""

CALL_DISTANCE = 0.75
"""Part of an HNSW distance that does not depend on the length of the vector."""


@dataclass(frozen=True, slots=True)
class Compared(Columns):
    """What a query compares: centroids, then vectors or codes. ``share`` is the part of the index
    that the latter are. All ``(n,)``; NaN without a vector index."""

    centroids: Floats
    vectors: Floats
    share: Floats


def compared(knobs: Knobs, chunks: Floats, lid: float, imbalance: float) -> Compared:
    """Comparisons of one query."""
    centroids, share = (np.where(knobs.dense, value, np.nan) for value in (0.0, 1.0))
    cells, graphs = (np.flatnonzero(knobs.kind.among(*k)) for k in (IVF_KINDS, HNSW_KINDS))
    centroids[cells] = cell_count(knobs.nlist[cells], chunks[cells])
    share[cells] = probed_share(centroids[cells], knobs.nprobe[cells], imbalance)
    vectors = share * chunks
    effort = np.maximum(knobs.ef_search, fetched(knobs, chunks))[graphs]
    vectors[graphs] = hnsw_distances(chunks[graphs], knobs.hnsw_m[graphs], effort, lid)
    share[graphs] = vectors[graphs] / np.maximum(1.0, chunks[graphs])
    return Compared(centroids, vectors, share)


def fetched(knobs: Knobs, chunks: Floats) -> Floats:
    """Candidates asked of the index."""
    return np.minimum(chunks, knobs.fetched * knobs.refine)


def cell_count(factor: Floats, chunks: Floats) -> Floats:
    """Cells of an index: ``autorag.pipeline.index.cells`` of arrays."""
    return np.maximum(1.0, np.rint(factor * np.sqrt(np.rint(chunks))))


def points_needed(knobs: Knobs, points: Floats) -> Floats:
    """Vectors that builds need to train on: ``autorag.pipeline.index.points_needed`` of arrays."""
    cells = POINTS_PER_CELL * cell_count(knobs.nlist, points)
    needed = np.where(knobs.kind.among(*IVF_KINDS), cells, 1.0)
    codes = np.where(knobs.kind.among("ivf_pq_fastscan"), POINTS_PER_CELL * 2.0**PQ_BITS, 1.0)
    most: Floats = np.maximum(needed, codes)
    return most


def probed_share(cells: Floats, nprobe: Floats, imbalance: float) -> Floats:
    """Share of the vectors that lie in the probed cells."""
    share = np.minimum(1.0, nprobe / cells)
    factor = 1 + (imbalance - 1) * (1 - share) ** 8 / np.sqrt(nprobe)
    return np.minimum(1.0, share * factor)


def hnsw_distances(chunks: Floats, links: Floats, effort: Floats, lid: float) -> Floats:
    """Distances of a walk."""
    kept = 2 * links * (1 - np.exp(-1.8 * lid**1.1 / (2 * links)))
    walked = 0.24 * effort**0.83 * kept * chunks**0.16
    climbed = 0.42 * links * np.log(np.maximum(2.0, chunks))
    reached: Floats = 1 - np.exp(-(walked + climbed) / np.maximum(1.0, chunks))
    return chunks * reached


def search(knobs: Knobs, work: Compared, chunks: Floats, machine: Machine) -> Iterator[Step]:
    """The steps of vector searches; rows without a vector index have none."""
    kept, dense = fetched(knobs, chunks), np.flatnonzero(knobs.dense)
    yield Step(dense, Operator(CALL_S + _heap(kept[dense], work.vectors[dense]), CALL_LINES))
    for kind, rows in knobs.kind.groups():
        if kind in IVF_KINDS:
            yield Step(rows, flat_scan(work.centroids[rows], knobs.dim[rows], machine))
        if kind:
            yield Step(rows, _scan(kind, knobs.take(rows), work.take(rows), machine))
    refined = np.flatnonzero(knobs.refine > 1)
    if refined.size:
        count, dim = kept[refined], knobs.dim[refined]
        yield Step(refined, _refine(count, dim, chunks[refined], machine))


def flat_scan(vectors: Floats, dim: Floats, machine: Machine) -> Operator:
    """Inner products with float32 vectors."""
    work = intensity.flat_scan(vectors, dim)
    seconds = vectors * VECTOR_S + work.operations / (SCAN_EFFICIENCY * machine.flops)
    return Operator(seconds, scanned=work.bytes)


def _scan(kind: str, knobs: Knobs, work: Compared, machine: Machine) -> Operator:
    """Vectors or codes compared in indexes of one kind."""
    if kind in HNSW_KINDS:
        return _walk(kind, knobs, work, machine)
    if kind == "flat":
        return flat_scan(work.vectors, knobs.dim, machine)
    probed = np.minimum(knobs.nprobe, work.centroids)
    if kind == "ivf_pq_fastscan":
        codes = work.vectors + probed * (CODE_BLOCK - 1) / 2
        scanned = intensity.pq_scan(codes, knobs.pq_m).bytes
        seconds = codes * CODE_S + scanned / (machine.rate("pq_scan_gb_s") * 1e9)
        step = Operator(seconds, scanned=scanned)
    elif kind == "ivf_sq8":
        scanned = work.vectors * knobs.dim
        seconds = work.vectors * VECTOR_S + 2 * scanned / (DECODE_EFFICIENCY * machine.flops)
        step = Operator(seconds, scanned=scanned)
    else:
        step = flat_scan(work.vectors, knobs.dim, machine)
    return replace(step, compute_s=probed * CELL_S + step.compute_s, share=work.share)


def _walk(kind: str, knobs: Knobs, work: Compared, machine: Machine) -> Operator:
    """Distances at random places: what memory adds is counted in lines that are waited for."""
    size = FLOAT_BYTES if kind == "hnsw" else 1
    length = size * knobs.dim / (FLOAT_BYTES * MINILM_DIM)
    each = (CALL_DISTANCE + (1 - CALL_DISTANCE) * length) / machine.rate("hnsw_distances_s")
    waited = (1 - CACHED_DISTANCE) * each / machine.miss_s
    return Operator(work.vectors * CACHED_DISTANCE * each, work.vectors * waited, share=work.share)


def _refine(count: Floats, dim: Floats, chunks: Floats, machine: Machine) -> Operator:
    """Exact products of the candidates' vectors, copied from where they lie."""
    exact = flat_scan(count, dim, machine)
    lines, share = count * LINES_A_VECTOR, count / np.maximum(1.0, chunks)
    return Operator(REFINE_S + 2 * exact.compute_s, lines, share=share)


def _heap(kept: Floats, offered: Floats) -> Floats:
    """Seconds of keeping the best so many of those offered in random order: ``k · ln(n / k)``
    enter after the first ``k`` (harmonic sums), each in ``log2 k`` steps."""
    kept = np.maximum(1.0, np.minimum(kept, offered))
    entering: Floats = kept * (1 + np.log(np.maximum(1.0, offered / kept)))
    steps: Floats = np.log2(kept + 1)
    return HEAP_S * entering * steps
