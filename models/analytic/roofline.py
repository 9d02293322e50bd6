"""The pipeline's stages under a machine's roofs.

A computation of intensity ``I`` operations a byte attains at most ``min(peak, I · bandwidth)``
operations a second (Williams, Waterman and Patterson, 2009). What a stage does attain is its
measured rate times its work (``intensity``). Stages of a query are shown on one core, as the
default config runs them; documents are embedded on all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from autorag.hardware import (
    EMBED_LENGTHS,
    PAIR_TOKENS,
    PQ_M,
    PROMPT_TOKENS,
    HardwareProfile,
)
from autorag.pipeline.transformer import MAX_TOKENS, MINILM_DIM
from models.analytic import intensity
from models.analytic.intensity import GEMMA_270M, MINILM, Work

Numbers = Literal["f32", "int8"]
Span = Literal["one", "all"]

QUERY_TOKENS = 32
GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Roof:
    """What a machine can do with one kind of numbers, on one core or all."""

    numbers: Numbers
    span: Span
    peak_gops: float
    bandwidth_gb_s: float

    @property
    def ridge(self) -> float:
        """The intensity from which on memory is no longer the bound."""
        return self.peak_gops / self.bandwidth_gb_s

    def attainable_gops(self, intensity: float) -> float:
        return min(self.peak_gops, intensity * self.bandwidth_gb_s)


@dataclass(frozen=True, slots=True)
class StagePoint:
    """A stage under its roof.

    Attributes:
        unit: what ``work`` is the work of.
        attained_gops: from its measured rate; None where that is missing.
    """

    stage: str
    unit: str
    roof: Roof
    work: Work[float]
    attained_gops: float | None

    @property
    def attainable_gops(self) -> float:
        return self.roof.attainable_gops(self.work.intensity)

    @property
    def bound(self) -> str:
        return "memory" if self.work.intensity < self.roof.ridge else "compute"


def roofs(profile: HardwareProfile) -> dict[tuple[Numbers, Span], Roof]:
    """The roofs that were measured; memory's is the faster of copy and triad."""
    found: dict[tuple[Numbers, Span], Roof] = {}
    peaks: tuple[tuple[Numbers, str], ...] = (("f32", "gflops"), ("int8", "gops"))
    spans: tuple[Span, ...] = ("one", "all")
    for span in spans:
        moved = [profile.value(f"{how}_{span}_gb_s") for how in ("copy", "triad")]
        bandwidth = max((m for m in moved if m is not None), default=None)
        for numbers, unit in peaks:
            peak = profile.value(f"gemm_{numbers}_{span}_{unit}")
            if peak is not None and bandwidth is not None:
                found[numbers, span] = Roof(numbers, span, peak, bandwidth)
    return found


def stage_points(profile: HardwareProfile) -> list[StagePoint]:
    """Every stage whose roof was measured."""
    known = roofs(profile)
    return [
        StagePoint(s.stage, s.unit, known[s.numbers, s.span], s.work, _attained(s, profile))
        for s in _stages()
        if (s.numbers, s.span) in known
    ]


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage, its figure in the profile, and how much of what that counts is one of its units."""

    stage: str
    unit: str
    numbers: Numbers
    span: Span
    work: Work[float]
    figure: str
    amount: float = 1.0


def _attained(stage: _Stage, profile: HardwareProfile) -> float | None:
    rate = profile.value(stage.figure)
    return None if rate is None else rate / stage.amount * stage.work.operations / GIGA


def _stages() -> Iterator[_Stage]:
    query = intensity.encode(MINILM, [QUERY_TOKENS])
    figure = f"embed_{QUERY_TOKENS}_one_tokens_s"
    yield _Stage("embed query", "query", "f32", "one", query, figure, QUERY_TOKENS)
    for length in EMBED_LENGTHS:
        name, figure = f"embed {length}", f"embed_{length}_all_tokens_s"
        work = intensity.encode(MINILM, _windows(length))
        yield _Stage(name, "document", "f32", "all", work, figure, length)
    scan = intensity.flat_scan(1, MINILM_DIM)
    yield _Stage("flat scan", "vector", "f32", "one", scan, "flat_scan_gb_s", scan.bytes / GIGA)
    codes = intensity.pq_scan(1, PQ_M)
    yield _Stage("PQ fast-scan", "code", "int8", "one", codes, "pq_scan_gb_s", codes.bytes / GIGA)
    walk = intensity.hnsw(1, MINILM_DIM)
    yield _Stage("HNSW", "distance", "f32", "one", walk, "hnsw_distances_s")
    yield _Stage("BM25", "posting", "f32", "one", intensity.bm25(1), "bm25_postings_s")
    pair = intensity.maxsim(*PAIR_TOKENS, MINILM_DIM)
    yield _Stage("MaxSim", "pair", "f32", "one", pair, "maxsim_pairs_s")
    prompt = intensity.prefill(GEMMA_270M, PROMPT_TOKENS)
    figure = "prefill_one_tokens_s"
    yield _Stage("prefill", "prompt", "int8", "one", prompt, figure, PROMPT_TOKENS)
    token = intensity.decode(GEMMA_270M, PROMPT_TOKENS)
    yield _Stage("decode", "token", "int8", "one", token, "decode_one_tokens_s")


def _windows(tokens: int) -> list[int]:
    """Even windows of at most what the model reads."""
    pieces = -(-tokens // MAX_TOKENS)
    return [tokens // pieces] * pieces
