"""The configuration space of the reference pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autorag.pipeline.index import HNSW_KINDS, IVF_KINDS, KINDS, QUANTISED_KINDS, points_needed
from autorag.space import Choice, CorpusFacts, Knob, Number, Rule, Space, When
from autorag.space.domains import Value

FULL = "full"
"""``embed.dim``: keep every coordinate."""

NO_RERANKER = "none"
BUILT_IN_RERANKERS = (NO_RERANKER, "bm25", "maxsim")

_CHUNK_TOKENS = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_OVERLAPS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
_ALPHAS = tuple(round(i / 10, 1) for i in range(11))
_DENSE = When.is_("retrieve.mode", "dense", "hybrid")


def reference_space(
    embedders: Mapping[str, int],
    *,
    generators: Sequence[str],
    cross_encoders: Sequence[str] = (),
    cores: int,
) -> Space:
    """The space of what is installed here.

    Args:
        embedders: name → length of its vectors; ``minilm-int8`` is the default where present.
        generators: names of generators, the default first.
        cross_encoders: paths of local cross-encoders.
        cores: the most threads a stage may have.
    """
    default = "minilm-int8" if "minilm-int8" in embedders else next(iter(embedders))
    knobs = (
        _mode(),
        *_chunk(),
        *_embed(tuple(embedders), default),
        *_index(),
        *_retrieve(),
        *_rerank((*BUILT_IN_RERANKERS, *cross_encoders)),
        *_generate(tuple(generators)),
        *_system(tuple(range(1, cores + 1))),
    )
    return Space(knobs, _rules(dict(embedders)))


def fewest_chunks(values: Mapping[str, Value], corpus: CorpusFacts) -> int:
    """A lower bound on the number of distinct chunks: documents over the largest chunk."""
    largest = int(values["chunk.tokens"])
    if values["chunk.splitter"] == "content_defined":
        largest *= 2
    return corpus.fewest_chunks(largest)


def _mode() -> Knob:
    modes = Choice(("dense", "lexical", "hybrid"))
    return Knob("retrieve.mode", modes, "dense", "retrieve", meaning="which searches are asked")


def _chunk() -> tuple[Knob, ...]:
    splitters = Choice(("fixed", "sentence", "recursive", "content_defined"))
    overlapping = When.is_("chunk.splitter", "fixed", "sentence", "recursive")
    size = Number(32, 1024, integer=True, log=True, grid=_CHUNK_TOKENS)
    return (
        Knob("chunk.splitter", splitters, "recursive", "chunk", "rebuild"),
        Knob("chunk.tokens", size, 256, "chunk", "rebuild", meaning="most tokens a chunk"),
        Knob(
            "chunk.overlap",
            Number(0, 0.3, grid=_OVERLAPS),
            0.1,
            "chunk",
            "rebuild",
            when=(overlapping,),
            meaning="share of a chunk repeated in the next",
        ),
    )


def _embed(names: tuple[str, ...], default: str) -> tuple[Knob, ...]:
    dims = Choice((64, 128, 256, FULL), ordered=True)
    return (
        Knob("embed.model", Choice(names), default, "embed", "rebuild", when=(_DENSE,)),
        Knob(
            "embed.dim",
            dims,
            FULL,
            "embed",
            "rebuild",
            when=(_DENSE,),
            meaning="coordinates kept of every vector",
        ),
    )


def _index() -> tuple[Knob, ...]:
    ivf = When.is_("index.kind", *IVF_KINDS)
    hnsw = When.is_("index.kind", *HNSW_KINDS)
    pq = When.is_("index.kind", "ivf_pq_fastscan")
    factors = Number(0.25, 8.0, log=True, grid=(0.5, 1.0, 2.0, 4.0))
    links = Number(4, 64, integer=True, log=True, grid=(8, 16, 32, 48))
    effort = Number(16, 512, integer=True, log=True, grid=(40, 80, 160, 320))
    subs = Choice((8, 16, 32, 48, 64, 96), ordered=True)
    return (
        Knob("index.kind", Choice(KINDS), "flat", "index", "rebuild", when=(_DENSE,)),
        Knob("index.nlist", factors, 1.0, "index", "rebuild", when=(ivf,), meaning="cells / √N"),
        Knob("index.pq_m", subs, 32, "index", "rebuild", when=(pq,), meaning="sub-quantisers"),
        Knob("index.hnsw_m", links, 16, "index", "rebuild", when=(hnsw,), meaning="links a node"),
        Knob("index.ef_construction", effort, 80, "index", "rebuild", when=(hnsw,)),
    )


def _retrieve() -> tuple[Knob, ...]:
    ivf = When.is_("index.kind", *IVF_KINDS)
    hnsw = When.is_("index.kind", *HNSW_KINDS)
    quantised = When.is_("index.kind", *QUANTISED_KINDS)
    hybrid = When.is_("retrieve.mode", "hybrid")
    depth = Number(1, 100, integer=True, log=True, grid=(5, 10, 20, 50, 100))
    probes = Number(1, 512, integer=True, log=True, grid=(1, 2, 4, 8, 16, 32, 64))
    effort = Number(8, 1024, integer=True, log=True, grid=(16, 32, 64, 128, 256))
    refine = Choice((1, 2, 4, 8), ordered=True)
    return (
        Knob(
            "retrieve.alpha",
            Number(0, 1, grid=_ALPHAS),
            0.5,
            "retrieve",
            when=(hybrid,),
            meaning="weight of the dense score",
        ),
        Knob("retrieve.k", depth, 10, "retrieve", meaning="ranked contexts returned"),
        Knob("retrieve.nprobe", probes, 8, "retrieve", when=(ivf,), meaning="cells searched"),
        Knob("retrieve.ef_search", effort, 64, "retrieve", when=(hnsw,)),
        Knob(
            "retrieve.refine",
            refine,
            1,
            "retrieve",
            when=(quantised,),
            meaning="times more candidates fetched, ranked by exact scores; 1 is off",
        ),
    )


def _rerank(models: tuple[str, ...]) -> tuple[Knob, ...]:
    on = When(
        "rerank.model",
        frozenset(m for m in models if m != NO_RERANKER),
    )
    depth = Number(1, 200, integer=True, log=True, grid=(10, 20, 50, 100))
    return (
        Knob("rerank.model", Choice(models), NO_RERANKER, "rerank", "restart"),
        Knob("rerank.depth", depth, 20, "rerank", when=(on,), meaning="candidates reranked"),
        Knob(
            "rerank.weight",
            Number(0, 1, grid=_ALPHAS[1:]),
            0.5,
            "rerank",
            when=(on,),
            meaning="weight of the reranker's score against retrieval's; 1 ignores retrieval's",
        ),
    )


def _generate(generators: tuple[str, ...]) -> tuple[Knob, ...]:
    contexts = Number(1, 20, integer=True, log=True, grid=(1, 2, 3, 5, 8, 10, 15, 20))
    tokens = Number(8, 1024, integer=True, log=True, grid=(16, 32, 48, 64, 128))
    return (
        *(
            Knob("generate.model", Choice(generators), first, "generate", "restart")
            for first in generators[:1]
        ),
        Knob("generate.contexts", contexts, 5, "generate", meaning="contexts in the prompt"),
        Knob("generate.max_tokens", tokens, 48, "generate", meaning="longest answer"),
    )


def _system(threads: tuple[int, ...]) -> tuple[Knob, ...]:
    some = Choice(threads, ordered=True)
    batches = Choice((1, 4, 8, 16, 32, 64), ordered=True)
    cache = Number(0, 4096, integer=True, grid=(0, 64, 256))
    return (
        *(
            Knob(f"threads.{stage}", some, 1, None, algorithmic=False)
            for stage in ("embed", "retrieve", "rerank", "generate")
        ),
        Knob(
            "batch.embed",
            batches,
            8,
            None,
            algorithmic=False,
            when=(_DENSE, When.is_("embed.model", "minilm")),
            meaning="texts embedded at a time while building; the other embedders take one",
        ),
        Knob("cache.mb", cache, 0, None, algorithmic=False, meaning="cache of ranked contexts"),
    )


def _rules(dims: Mapping[str, int]) -> tuple[Rule, ...]:
    def dim_fits(values: Mapping[str, Value], corpus: CorpusFacts | None) -> str | None:
        full = dims[str(values["embed.model"])]
        if values["embed.dim"] == FULL or int(values["embed.dim"]) < full:
            return None
        return f"{values['embed.model']} has {full} dimensions; say {FULL!r} to keep them all"

    def pq_divides(values: Mapping[str, Value], corpus: CorpusFacts | None) -> str | None:
        full = dims[str(values["embed.model"])]
        dim = full if values["embed.dim"] == FULL else int(values["embed.dim"])
        m = int(values["index.pq_m"])
        return None if dim % m == 0 else f"{m} does not divide the {dim} dimensions"

    def enough_points(values: Mapping[str, Value], corpus: CorpusFacts | None) -> str | None:
        if corpus is None:
            return None
        points = fewest_chunks(values, corpus)
        needed = points_needed(
            str(values["index.kind"]), float(values.get("index.nlist", 1)), points
        )
        if points >= needed:
            return None
        return f"needs {needed} chunks to train on, this corpus has about {points}"

    def depth_reaches(values: Mapping[str, Value], corpus: CorpusFacts | None) -> str | None:
        k = int(values["retrieve.k"])
        return None if int(values["rerank.depth"]) >= k else f"is less than retrieve.k = {k}"

    def contexts_fit(values: Mapping[str, Value], corpus: CorpusFacts | None) -> str | None:
        k = int(values["retrieve.k"])
        return None if int(values["generate.contexts"]) <= k else f"is more than retrieve.k = {k}"

    return (
        Rule("embed.dim", dim_fits, ("embed.model",)),
        Rule("index.pq_m", pq_divides, ("embed.model", "embed.dim")),
        Rule("index.kind", enough_points, ("chunk.tokens", "chunk.splitter", "index.nlist")),
        Rule("rerank.depth", depth_reaches, ("retrieve.k",)),
        Rule("generate.contexts", contexts_fit, ("retrieve.k",)),
    )
