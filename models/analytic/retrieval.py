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
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autorag.pipeline.index import HNSW_KINDS, IVF_KINDS, cells
from autorag.pipeline.transformer import MINILM_DIM
from models.analytic import intensity
from models.analytic.intensity import FLOAT_BYTES
from models.analytic.knobs import Knobs
from models.analytic.machine import Machine, Operator

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
class Compared:
    """What a query compares: centroids, then vectors or codes. ``share`` is the part of the index
    that this is."""

    centroids: float
    vectors: float
    share: float


def compared(knobs: Knobs, chunks: float, lid: float, imbalance: float) -> Compared:
    """Comparisons of one query."""
    if knobs.kind in IVF_KINDS:
        nlist = cells(knobs.nlist, round(chunks))
        share = probed_share(nlist, knobs.nprobe, imbalance)
        return Compared(nlist, share * chunks, share)
    if knobs.kind in HNSW_KINDS:
        effort = max(knobs.ef_search, fetched(knobs, chunks))
        found = hnsw_distances(chunks, knobs.hnsw_m, effort, lid)
        return Compared(0.0, found, found / max(1.0, chunks))
    return Compared(0.0, chunks, 1.0)


def fetched(knobs: Knobs, chunks: float) -> float:
    """Candidates asked of the index."""
    return min(chunks, knobs.fetched * knobs.refine)


def probed_share(nlist: int, nprobe: int, imbalance: float) -> float:
    """Share of the vectors that lie in the probed cells."""
    share = min(1.0, nprobe / nlist)
    factor = 1 + (imbalance - 1) * (1 - share) ** 8 / math.sqrt(nprobe)
    return min(1.0, share * factor)


def hnsw_distances(chunks: float, links: int, effort: float, lid: float) -> float:
    """Distances of a walk."""
    kept = 2 * links * (1 - math.exp(-1.8 * lid**1.1 / (2 * links)))
    walked = 0.24 * effort**0.83 * kept * chunks**0.16
    climbed = 0.42 * links * math.log(max(2.0, chunks))
    return chunks * (1 - math.exp(-(walked + climbed) / max(1.0, chunks)))


def search(
    knobs: Knobs, chunks: float, lid: float, imbalance: float, machine: Machine
) -> tuple[Operator, ...]:
    """The steps of a vector search."""
    work = compared(knobs, chunks, lid, imbalance)
    steps = [Operator(CALL_S + _heap(fetched(knobs, chunks), work.vectors), CALL_LINES)]
    if work.centroids:
        steps.append(flat_scan(work.centroids, knobs.dim, machine))
    steps.append(_scan(knobs, work, machine))
    if knobs.refine > 1:
        steps.append(_refine(knobs, chunks, machine))
    return tuple(steps)


def flat_scan(vectors: float, dim: int, machine: Machine, share: float = 1.0) -> Operator:
    """Inner products with float32 vectors; ``share`` as in :class:`Compared`."""
    work = intensity.flat_scan(vectors, dim)
    seconds = vectors * VECTOR_S + work.operations / (SCAN_EFFICIENCY * machine.flops)
    return Operator(seconds, scanned=work.bytes, share=share)


def _scan(knobs: Knobs, work: Compared, machine: Machine) -> Operator:
    if knobs.kind in HNSW_KINDS:
        return _walk(knobs, work, machine)
    if knobs.kind == "flat":
        return flat_scan(work.vectors, knobs.dim, machine)
    probed = min(knobs.nprobe, work.centroids)
    if knobs.kind == "ivf_pq_fastscan":
        codes = work.vectors + probed * (CODE_BLOCK - 1) / 2
        scanned = intensity.pq_scan(codes, knobs.pq_m).bytes
        seconds = codes * CODE_S + scanned / (machine.rate("pq_scan_gb_s") * 1e9)
    elif knobs.kind == "ivf_sq8":
        scanned = work.vectors * knobs.dim
        seconds = work.vectors * VECTOR_S + 2 * scanned / (DECODE_EFFICIENCY * machine.flops)
    else:
        flat = flat_scan(work.vectors, knobs.dim, machine)
        scanned, seconds = flat.scanned, flat.compute_s
    return Operator(probed * CELL_S + seconds, scanned=scanned, share=work.share)


def _walk(knobs: Knobs, work: Compared, machine: Machine) -> Operator:
    """Distances at random places: what memory adds is counted in lines that are waited for."""
    size = FLOAT_BYTES if knobs.kind == "hnsw" else 1
    length = size * knobs.dim / (FLOAT_BYTES * MINILM_DIM)
    each = (CALL_DISTANCE + (1 - CALL_DISTANCE) * length) / machine.rate("hnsw_distances_s")
    waited = (1 - CACHED_DISTANCE) * each / machine.miss_s
    return Operator(work.vectors * CACHED_DISTANCE * each, work.vectors * waited, share=work.share)


def _refine(knobs: Knobs, chunks: float, machine: Machine) -> Operator:
    """Exact products of the candidates' vectors, copied from where they lie."""
    count = fetched(knobs, chunks)
    exact = flat_scan(count, knobs.dim, machine)
    lines, share = count * LINES_A_VECTOR, count / max(1.0, chunks)
    return Operator(REFINE_S + 2 * exact.compute_s, lines, share=share)


def _heap(kept: float, offered: float) -> float:
    """Seconds of keeping the best so many of those offered in random order: ``k · ln(n / k)``
    enter after the first ``k`` (harmonic sums), each in ``log2 k`` steps."""
    kept = max(1.0, min(kept, offered))
    return HEAP_S * kept * (1 + math.log(max(1.0, offered / kept))) * math.log2(kept + 1)
