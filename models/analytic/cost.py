"""What measuring a config costs, given what is already built.

Building is embedding, and embedding is tokens: every document that fits one chunk is one chunk
whatever the splitter, so its vector is shared by all chunkings in which it fits; longer documents
are embedded again for every chunking, ``overlap`` adding to their tokens. Tokens become seconds by
a rate per model, first a guess, then what trials on this machine showed. Queries cost what the
stages take per query, scaled in the same way.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from autorag.pipeline.embedders import EMBEDDERS
from autorag.pipeline.measure import GENERATE_QUERIES
from autorag.pipeline.space import NO_RERANKER
from autorag.ports import Estimate, Measurement
from autorag.space import Config

START_S = 2.0
"""Starting the process, loading models."""

LEXICAL_TOKENS_PER_S = 1.5e6
HNSW_POINT_S = 1.5e-4
MAXSIM = "maxsim"
SHARED_PASS = "minilm-int8"
"""The embedder whose vectors come from the pass that makes MaxSim's token vectors."""

MAXSIM_TOKENS_PER_S = 5e3
MAXSIM_TOKEN_BYTES = 384
CROSS_ENCODER_PAIR_MS = 30.0
PROMPT_TOKENS_PER_S = 400.0
ANSWER_S = 0.3
LEAST_SECONDS = 1.0
"""Observed builds shorter than this say nothing about a rate."""

QUERY_MS: Mapping[str, float] = {"static": 0.1, "lsa": 0.8, "minilm-int8": 5.0, "minilm": 10.0}
SLOW_QUERY_MS = 25.0
RERANK_MS: Mapping[str, float] = {NO_RERANKER: 0.0, "bm25": 1.0, MAXSIM: 7.0}


@dataclass(frozen=True, slots=True)
class _Work:
    """Tokens to embed and to make token vectors of, chunks to index."""

    embed_tokens: float
    rerank_tokens: float
    chunks: float


class PipelineCosts:
    """The cost model of the reference pipeline; see :class:`autorag.ports.CostModel`.

    Args:
        token_counts: tokens of every document.
        built: configs whose artifacts are there already.
        cores: cores that builds use.
        generate: answers are generated too.
    """

    def __init__(
        self,
        token_counts: Iterable[int],
        built: Iterable[Config],
        *,
        cores: int,
        generate: bool,
    ) -> None:
        self._lengths = np.array([n for n in token_counts if n], dtype=np.float64)
        self._cores = cores
        self._generate = generate
        self._whole_up_to: dict[str, float] = {}
        self._chunkings: set[tuple[str, str]] = set()
        self._speed: dict[str, float] = {}
        self._query_ratio = 1.0
        for config in built:
            self._mark_built(config)

    def estimate(self, config: Config, queries: int) -> Estimate:
        """Seconds and disk bytes of measuring ``queries`` queries."""
        work = self._work(config)
        model = str(config.get("embed.model", ""))
        seconds = START_S + float(self._lengths.sum()) / LEXICAL_TOKENS_PER_S
        if model:
            seconds += _own_pass(model, work) / self._rate(model)
        seconds += work.rerank_tokens / self._rate(MAXSIM)
        if str(config.get("index.kind", "")).startswith("hnsw"):
            seconds += work.chunks * HNSW_POINT_S
        seconds += queries * self._query_ms(config) * self._query_ratio / 1e3
        if self._generate:
            seconds += _generation_seconds(config)
        dim = EMBEDDERS[model].dim if model else 0
        new = work.embed_tokens / max(1.0, float(self._lengths.sum()))
        disk = new * work.chunks * 8 * dim + work.rerank_tokens * MAXSIM_TOKEN_BYTES
        return Estimate(seconds, disk)

    def total(self, configs: Iterable[Config], queries: int) -> Estimate:
        """Measuring all of them one after the other, each reusing what those before built."""
        ahead = copy.deepcopy(self)
        seconds = disk = 0.0
        for config in configs:
            estimate = ahead.estimate(config, queries)
            ahead._mark_built(config)
            seconds += estimate.seconds
            disk += estimate.disk_bytes
        return Estimate(seconds, disk)

    def observe(self, config: Config, measurement: Measurement) -> None:
        """Learn rates from a finished measurement and remember what it built."""
        work = self._work(config)
        model = str(config.get("embed.model", ""))
        for stage, name, tokens in (
            ("embed", model, _own_pass(model, work)),
            ("rerank", MAXSIM, work.rerank_tokens),
        ):
            seconds = measurement.build_s.get(stage, 0.0)
            if seconds > LEAST_SECONDS and tokens > 0:
                self._speed[name] = tokens / seconds / self._guess(name)
        latency = measurement.metrics.get("latency_p50_ms", 0.0)
        if latency > 0:
            self._query_ratio = latency / self._query_ms(config)
        self._mark_built(config)

    def _work(self, config: Config) -> _Work:
        core = self._core_tokens(config)
        fits = self._lengths <= core
        overlap = float(config.get("chunk.overlap", 0.0))
        long_tokens = float(self._lengths[~fits].sum()) / (1 - overlap)
        chunks = float(fits.sum()) + float(np.ceil(self._lengths[~fits] / core).sum())

        def missing(model: str) -> float:
            new = fits & (self._lengths > self._whole_up_to.get(model, 0.0))
            cut = 0.0 if (model, _chunking(config)) in self._chunkings else long_tokens
            return float(self._lengths[new].sum()) + cut

        model = str(config.get("embed.model", ""))
        return _Work(
            missing(model) if model else 0.0,
            missing(MAXSIM) if config["rerank.model"] == MAXSIM else 0.0,
            chunks,
        )

    def _mark_built(self, config: Config) -> None:
        models = [m for m in (config.get("embed.model"), config["rerank.model"]) if m]
        for model in (str(m) for m in models):
            if model in EMBEDDERS or model == MAXSIM:
                whole = max(self._whole_up_to.get(model, 0.0), self._core_tokens(config))
                self._whole_up_to[model] = whole
                self._chunkings.add((model, _chunking(config)))

    def _core_tokens(self, config: Config) -> float:
        size = float(config["chunk.tokens"])
        if config["chunk.splitter"] == "content_defined":
            return size
        return max(1.0, size - int(size * float(config.get("chunk.overlap", 0.0))))

    def _guess(self, model: str) -> float:
        one_core = MAXSIM_TOKENS_PER_S if model == MAXSIM else EMBEDDERS[model].tokens_per_s
        return one_core * self._cores

    def _rate(self, model: str) -> float:
        """Tokens a second; a model not seen yet is as much off its guess as those seen."""
        seen = list(self._speed.values())
        typical = float(np.median(seen)) if seen else 1.0
        return self._guess(model) * self._speed.get(model, typical)

    def _query_ms(self, config: Config) -> float:
        model = config.get("embed.model")
        embed = QUERY_MS.get(str(model), SLOW_QUERY_MS) if model else 0.0
        reranker = str(config["rerank.model"])
        cross = float(config.get("rerank.depth", 0)) * CROSS_ENCODER_PAIR_MS
        return 0.2 + embed + RERANK_MS.get(reranker, cross)


def _own_pass(model: str, work: _Work) -> float:
    """Tokens that the embedder itself reads: those of a shared pass are counted there."""
    shared = work.rerank_tokens if model == SHARED_PASS else 0.0
    return max(0.0, work.embed_tokens - shared)


def _generation_seconds(config: Config) -> float:
    prompt = float(config["generate.contexts"]) * float(config["chunk.tokens"])
    return GENERATE_QUERIES * (ANSWER_S + prompt / PROMPT_TOKENS_PER_S)


def _chunking(config: Config) -> str:
    knobs = ("chunk.splitter", "chunk.tokens", "chunk.overlap")
    return " ".join(str(config.get(k)) for k in knobs)
