"""A config's knobs as the analytic models read them: typed, defaults of absent ones filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autorag.pipeline.embedders import EMBEDDERS
from autorag.pipeline.rag import FUSION_DEPTH
from autorag.pipeline.space import FULL, NO_RERANKER


@dataclass(frozen=True, slots=True)
class Knobs:
    """The knobs of one config.

    Attributes:
        embedder: empty for lexical retrieval.
        dim: coordinates of a vector, 0 without an embedder.
        fetched: candidates that each search brings.
        depth: candidates reranked, 0 without a reranker.
    """

    splitter: str
    chunk_tokens: int
    overlap: float
    embedder: str
    dim: int
    kind: str
    nlist: float
    pq_m: int
    hnsw_m: int
    ef_construction: int
    dense: bool
    lexical: bool
    k: int
    fetched: int
    nprobe: int
    ef_search: int
    refine: int
    reranker: str
    depth: int
    threads_embed: int
    threads_rerank: int
    threads_generate: int
    generator: str
    contexts: int
    cache_mb: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Knobs:
        get = config.get
        embedder, mode = str(get("embed.model", "")), config["retrieve.mode"]
        reranker, k = str(config["rerank.model"]), int(config["retrieve.k"])
        depth = int(get("rerank.depth", 0)) if reranker != NO_RERANKER else 0
        hybrid = mode == "hybrid"
        return cls(
            splitter=str(config["chunk.splitter"]),
            chunk_tokens=int(config["chunk.tokens"]),
            overlap=float(get("chunk.overlap", 0.0)),
            embedder=embedder,
            dim=_dim(embedder, get("embed.dim", FULL)),
            kind=str(get("index.kind", "")),
            nlist=float(get("index.nlist", 1.0)),
            pq_m=int(get("index.pq_m", 0)),
            hnsw_m=int(get("index.hnsw_m", 0)),
            ef_construction=int(get("index.ef_construction", 0)),
            dense=mode != "lexical",
            lexical=mode != "dense",
            k=k,
            fetched=max(k, depth, FUSION_DEPTH if hybrid else 0),
            nprobe=int(get("retrieve.nprobe", 1)),
            ef_search=int(get("retrieve.ef_search", 0)),
            refine=int(get("retrieve.refine", 1)),
            reranker=reranker,
            depth=depth,
            threads_embed=int(config["threads.embed"]),
            threads_rerank=int(config["threads.rerank"]),
            threads_generate=int(config["threads.generate"]),
            generator=str(get("generate.model", "")),
            contexts=int(config["generate.contexts"]),
            cache_mb=int(config["cache.mb"]),
        )


def _dim(embedder: str, dim: Any) -> int:
    if not embedder:
        return 0
    return EMBEDDERS[embedder].dim if dim == FULL else int(dim)
