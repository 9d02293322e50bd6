"""Configs' knobs as the analytic models read them: in columns, defaults of absent ones filled in.

Reading takes longer than predicting: a pool of candidates is read once and kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autorag.pipeline.embedders import EMBEDDERS
from autorag.pipeline.rag import FUSION_DEPTH
from autorag.pipeline.space import FULL, NO_RERANKER
from models.analytic.chunking import Cut
from models.analytic.columns import Columns, Flags, Floats, Labels

ABSENT: Mapping[str, Any] = {
    "chunk.overlap": 0.0,
    "embed.model": "",
    "embed.dim": FULL,
    "index.kind": "",
    "index.nlist": 1.0,
    "index.pq_m": 0,
    "index.hnsw_m": 0,
    "index.ef_construction": 0,
    "retrieve.nprobe": 1,
    "retrieve.ef_search": 0,
    "retrieve.refine": 1,
    "rerank.depth": 0,
    "generate.model": "",
}
"""What stands for a knob that is not active."""

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Knobs(Columns):
    """The knobs of ``n`` configs; numbers are float64 ``(n,)``.

    Attributes:
        cut: splitter, tokens and overlap of chunks.
        embedder, kind: empty for lexical retrieval.
        dim: coordinates of a vector, 0 without an embedder.
        dense, lexical: whether that search is asked, bool; both are for a hybrid.
        fetched: candidates that each search brings.
        depth: candidates reranked, 0 without a reranker.
    """

    cut: Labels[Cut]
    embedder: Labels[str]
    dim: Floats
    kind: Labels[str]
    nlist: Floats
    pq_m: Floats
    hnsw_m: Floats
    ef_construction: Floats
    dense: Flags
    lexical: Flags
    fetched: Floats
    nprobe: Floats
    ef_search: Floats
    refine: Floats
    reranker: Labels[str]
    depth: Floats
    threads_embed: Floats
    threads_rerank: Floats
    threads_generate: Floats
    generator: Labels[str]
    contexts: Floats
    cache_mb: Floats

    @classmethod
    def of(cls, configs: Sequence[Values]) -> Knobs:
        """The knobs of these configs, one row each."""
        given = [{**ABSENT, **config} for config in configs]
        mode, reranker = _labels(given, "retrieve.mode"), _labels(given, "rerank.model")
        depth = np.where(reranker.among(NO_RERANKER), 0.0, _numbers(given, "rerank.depth"))
        fused = np.where(mode.among("hybrid"), FUSION_DEPTH, 0.0)
        return cls(
            cut=Labels.of(map(_cut, given)),
            embedder=_labels(given, "embed.model"),
            dim=np.array([_dim(values) for values in given], dtype=np.float64),
            kind=_labels(given, "index.kind"),
            nlist=_numbers(given, "index.nlist"),
            pq_m=_numbers(given, "index.pq_m"),
            hnsw_m=_numbers(given, "index.hnsw_m"),
            ef_construction=_numbers(given, "index.ef_construction"),
            dense=~mode.among("lexical"),
            lexical=~mode.among("dense"),
            fetched=np.maximum(np.maximum(_numbers(given, "retrieve.k"), depth), fused),
            nprobe=_numbers(given, "retrieve.nprobe"),
            ef_search=_numbers(given, "retrieve.ef_search"),
            refine=_numbers(given, "retrieve.refine"),
            reranker=reranker,
            depth=depth,
            threads_embed=_numbers(given, "threads.embed"),
            threads_rerank=_numbers(given, "threads.rerank"),
            threads_generate=_numbers(given, "threads.generate"),
            generator=_labels(given, "generate.model"),
            contexts=_numbers(given, "generate.contexts"),
            cache_mb=_numbers(given, "cache.mb"),
        )

    def __len__(self) -> int:
        return len(self.fetched)

    @property
    def scored(self) -> Flags:
        """Whether BM25 scores chunks, in the search or as reranker, bool ``(n,)``."""
        return self.lexical | self.reranker.among("bm25")


def _numbers(given: Sequence[Values], knob: str) -> Floats:
    return np.array([values[knob] for values in given], dtype=np.float64)


def _labels(given: Sequence[Values], knob: str) -> Labels[str]:
    return Labels.of(str(values[knob]) for values in given)


def _cut(values: Values) -> Cut:
    splitter, tokens, overlap = (values[f"chunk.{k}"] for k in ("splitter", "tokens", "overlap"))
    return str(splitter), int(tokens), float(overlap)


def _dim(values: Values) -> float:
    embedder, dim = values["embed.model"], values["embed.dim"]
    if not embedder:
        return 0.0
    return float(EMBEDDERS[embedder].dim if dim == FULL else dim)
