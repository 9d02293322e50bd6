"""Which configs the measured table holds: the same ones for every workload.

Three parts. ``quality``: chunkings, embedders, fusion, reranking and depth, with the few index
settings that matter on small corpora. ``index``: every kind of index with its search knobs, for
chunks of a sentence or two and many vectors. ``generation``: what an answer is made from. A config
that is not valid for a workload (too few chunks to train on) is left out there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from autorag.errors import ConfigError
from autorag.space import Config, Space
from autorag.stages import stage_knobs
from autorag.table.schema import Part

Values = Mapping[str, Any]

CHUNKINGS: tuple[Values, ...] = (
    {"chunk.splitter": "recursive", "chunk.tokens": 64, "chunk.overlap": 0.0},
    {"chunk.splitter": "sentence", "chunk.tokens": 96, "chunk.overlap": 0.0},
    {"chunk.splitter": "recursive", "chunk.tokens": 128, "chunk.overlap": 0.1},
    {"chunk.splitter": "fixed", "chunk.tokens": 192, "chunk.overlap": 0.2},
    {"chunk.splitter": "recursive", "chunk.tokens": 256, "chunk.overlap": 0.1},
    {"chunk.splitter": "content_defined", "chunk.tokens": 256},
    {"chunk.splitter": "recursive", "chunk.tokens": 512, "chunk.overlap": 0.1},
)
DEFAULT_CHUNKING = CHUNKINGS[4]
EMBEDDERS = ("static", "lsa", "minilm-int8")
ALPHAS = (0.2, 0.4, 0.5, 0.6, 0.8)
SENTENCES: Values = {"chunk.splitter": "sentence", "chunk.tokens": 32, "chunk.overlap": 0.0}


def designed(part: Part, space: Space) -> list[Config]:
    """The configs of a part that are valid in this space, each once."""
    made: dict[Config, None] = {}
    for values in _PARTS[part](space):
        try:
            made.setdefault(space.config(values))
        except ConfigError:
            continue
    return list(made)


def groups(configs: Iterable[Config]) -> list[list[Config]]:
    """Configs that one process measures: those with the same chunks and the same threads."""
    found: dict[str, list[Config]] = {}
    for config in configs:
        key = str([stage_knobs(config, "chunk"), stage_knobs(config, "threads")])
        found.setdefault(key, []).append(config)
    return list(found.values())


def judged_as(config: Config, space: Space) -> Config:
    """The config whose answers are the same, with the system knobs at their defaults."""
    return space.config({k: v for k, v in config.items() if space[k].algorithmic})


def _quality(space: Space) -> Iterator[Values]:
    for chunking in CHUNKINGS:
        yield from ({**chunking, **v} for v in _searches())
    for values in (*_depths(), *_dims(), *_indexes(), *_threads(space)):
        yield {**DEFAULT_CHUNKING, **values}


def _searches() -> Iterator[Values]:
    """Modes, fusion weights and rerankers of one chunking."""
    lexical: Values = {"retrieve.mode": "lexical"}
    yield lexical
    yield from ({**lexical, **r} for r in _rerankings(("maxsim",)))
    for model in EMBEDDERS:
        dense: Values = {"retrieve.mode": "dense", "embed.model": model}
        hybrids = [{**dense, "retrieve.mode": "hybrid", "retrieve.alpha": a} for a in ALPHAS]
        yield dense
        yield from hybrids
        rerankers = ("bm25", "maxsim") if model != "lsa" else ("bm25",)
        for base in (dense, hybrids[2]):
            yield from ({**base, **r} for r in _rerankings(rerankers))


def _rerankings(models: Iterable[str]) -> Iterator[Values]:
    for model, (depth, weight) in product(models, ((20, 0.5), (20, 1.0), (50, 0.5))):
        yield {"rerank.model": model, "rerank.depth": depth, "rerank.weight": weight}


def _depths() -> Iterator[Values]:
    """More and fewer contexts, for the default embedder and for no embedder."""
    for mode, k in product(("dense", "lexical", "hybrid"), (5, 20, 50)):
        yield {"retrieve.mode": mode, "retrieve.k": k, "generate.contexts": min(5, k)}


def _dims() -> Iterator[Values]:
    for model, dim, mode in product(("static", "minilm-int8"), (64, 128), ("dense", "hybrid")):
        yield {"embed.model": model, "embed.dim": dim, "retrieve.mode": mode}


def _indexes() -> Iterator[Values]:
    for mode in ("dense", "hybrid"):
        for kind, nprobe in product(("ivf_flat", "ivf_sq8"), (1, 4, 16)):
            yield {"retrieve.mode": mode, "index.kind": kind, "retrieve.nprobe": nprobe}
        pq: Values = {"index.kind": "ivf_pq_fastscan", "index.pq_m": 48, "retrieve.nprobe": 16}
        yield from ({"retrieve.mode": mode, **pq, "retrieve.refine": r} for r in (1, 4))
        for kind, ef in product(("hnsw", "hnsw_sq8"), (16, 64)):
            yield {"retrieve.mode": mode, "index.kind": kind, "retrieve.ef_search": ef}


def _threads(space: Space) -> Iterator[Values]:
    """All cores instead of one."""
    most = int(space["threads.embed"].domain.grid[-1])
    threads = {f"threads.{stage}": most for stage in ("embed", "retrieve", "rerank")}
    for model, mode in product(("static", "minilm-int8"), ("dense", "hybrid")):
        yield {"embed.model": model, "retrieve.mode": mode, **threads}
    yield {"rerank.model": "maxsim", "rerank.depth": 50, **threads}


def _index(space: Space) -> Iterator[Values]:
    for values in _kinds():
        yield {**SENTENCES, "embed.model": "static", "retrieve.mode": "dense", **values}


def _kinds() -> Iterator[Values]:
    """Every index kind; search knobs are swept inside each build."""
    probes, efforts = (1, 2, 4, 8, 16, 32, 64), (16, 32, 64, 128, 256)
    for dim in ("full", 128, 64):
        yield {"index.kind": "flat", "embed.dim": dim}
    for factor, nprobe in product((0.5, 1.0, 2.0, 4.0), probes):
        yield {"index.kind": "ivf_flat", "index.nlist": factor, "retrieve.nprobe": nprobe}
    for nprobe in probes:
        yield {"index.kind": "ivf_flat", "embed.dim": 128, "retrieve.nprobe": nprobe}
    for factor, nprobe, refine in product((1.0, 2.0), probes, (1, 4)):
        search = {"retrieve.nprobe": nprobe, "retrieve.refine": refine}
        yield {"index.kind": "ivf_sq8", "index.nlist": factor, **search}
    for subs, nprobe, refine in product((16, 32, 64), probes, (1, 4)):
        search = {"retrieve.nprobe": nprobe, "retrieve.refine": refine}
        yield {"index.kind": "ivf_pq_fastscan", "index.pq_m": subs, **search}
    for (links, build), effort in product(((8, 80), (16, 80), (16, 160), (32, 80)), efforts):
        graph = {"index.hnsw_m": links, "index.ef_construction": build}
        yield {"index.kind": "hnsw", **graph, "retrieve.ef_search": effort}
    for effort, refine in product(efforts, (1, 4)):
        search = {"retrieve.ef_search": effort, "retrieve.refine": refine}
        yield {"index.kind": "hnsw_sq8", "index.hnsw_m": 16, **search}


def _generation(space: Space) -> Iterator[Values]:
    """Contexts and chunks that an answer is made from, best and worst retrieval."""
    for chunking, contexts in product((CHUNKINGS[2], DEFAULT_CHUNKING), (1, 3, 5)):
        for search in ({"retrieve.mode": "hybrid"}, {"retrieve.mode": "dense"}):
            yield {**chunking, **search, "generate.contexts": contexts}
    reranked = {"rerank.model": "maxsim", "retrieve.mode": "hybrid"}
    yield from ({**DEFAULT_CHUNKING, **reranked, "generate.contexts": n} for n in (1, 3))


_PARTS = {"quality": _quality, "index": _index, "generation": _generation}
