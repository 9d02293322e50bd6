"""Answering queries: embed, retrieve, rerank, and (when asked) generate, each stage timed."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from autorag.documents import Document
from autorag.evaluation.gold import Retrieved
from autorag.pipeline.build import (
    BuildContext,
    Built,
    build,
    load_embedder,
)
from autorag.pipeline.embedders import Embedder, Transformer
from autorag.pipeline.fusion import Ranked, fuse
from autorag.pipeline.generate import (
    Answer,
    CachedGenerator,
    Generator,
    build_prompt,
    load_generator,
)
from autorag.pipeline.index import VectorSearch, truncated
from autorag.pipeline.packages import minilm_int8_file
from autorag.pipeline.rerank import CrossEncoder, LexicalReranker, MaxSim, Reranker, rerank
from autorag.pipeline.space import NO_RERANKER
from autorag.pipeline.transformer import TransformerEncoder, int8_encoder
from autorag.space import Config

FUSION_DEPTH = 50
"""Candidates that each search brings to a fusion, at least."""


@dataclass(frozen=True)
class Result:
    """The ranked contexts of one query.

    Attributes:
        rows: chunk numbers, best first, int64.
        scores: same order, float32.
        stage_ms: milliseconds per query stage that ran.
    """

    rows: np.ndarray
    scores: np.ndarray
    stage_ms: dict[str, float] = field(default_factory=dict)


class Pipeline:
    """One config, built and ready to answer."""

    def __init__(self, config: Config, built: Built, context: BuildContext) -> None:
        self.config = config
        self.built = built
        self._context = context
        self._alpha = float(config.get("retrieve.alpha", 1.0))
        self._depth = int(config.get("rerank.depth", 0))
        self._weight = float(config.get("rerank.weight", 1.0))
        self._k = int(config["retrieve.k"])
        self._embedder: Embedder | None = None
        self.forget()
        self._vectors: VectorSearch | None = None
        if built.vectors is not None:
            threads = int(config["threads.embed"])
            self._embedder = load_embedder(config, built.chunks, context, threads)
            self._vectors = VectorSearch(
                built.index, config, int(config["threads.retrieve"]), built.vectors
            )
        self._reranker = self._load_reranker()
        self._generator: Generator | None = None

    @classmethod
    def open(
        cls,
        config: Config,
        documents: Sequence[Document],
        context: BuildContext,
        *,
        parse_reused: bool = False,
    ) -> Pipeline:
        """Build what is missing and load the rest."""
        return cls(config, build(config, documents, context, parse_reused=parse_reused), context)

    def retrieve(self, question: str) -> Result:
        """Ranked contexts of a question; a cached result says so by an empty ``stage_ms``."""
        cached = self._cache.get(question)
        if cached is not None:
            return cached
        clock = _StageClock()
        vector = self._embed(question, clock)
        depth = max(self._k, self._depth)
        candidates = self._search(question, vector, depth)
        clock.lap("retrieve")
        if self._reranker is not None:
            candidates = rerank(
                self._reranker, question, candidates, self._depth, self._weight, self._k
            )
            clock.lap("rerank")
        result = Result(candidates[0][: self._k], candidates[1][: self._k], clock.stage_ms)
        self._cache.put(question, result)
        return result

    def forget(self) -> None:
        """Empty the caches of results and of the last query."""
        if isinstance(self._embedder, Transformer):
            self._embedder.encoder.forget()
        self._cache = ResultCache(int(self.config["cache.mb"]) * 10**6)

    def generate(self, question: str, result: Result) -> tuple[Answer, str]:
        """The answer from the first contexts, and the prompt it was generated from."""
        if self._generator is None:
            name = str(self.config["generate.model"])
            threads = int(self.config["threads.generate"])
            self._generator = load_generator(name, self._context.models, threads)
            self._answers = CachedGenerator(self._generator, self._context.store)
        contexts = [self.built.chunks.texts[r] for r in self.context_rows(result)]
        prompt = build_prompt(question, contexts)
        return self._answers.complete(prompt, int(self.config["generate.max_tokens"])), prompt

    def context_rows(self, result: Result) -> list[int]:
        """Chunk numbers of the contexts that a prompt holds."""
        return [int(r) for r in result.rows[: int(self.config["generate.contexts"])]]

    def occurrences(self, result: Result) -> list[list[Retrieved]]:
        """Where the ranked contexts stand, best first."""
        return [self.built.chunks.occurrences[r] for r in result.rows.tolist()]

    def query_vectors(self, questions: Sequence[str]) -> np.ndarray:
        """Query vectors as searched, float32 ``(n, dim)``."""
        assert self._embedder is not None
        assert self.built.vectors is not None
        vectors = np.stack([self._embedder.encode_query(q) for q in questions])
        return np.ascontiguousarray(truncated(vectors, self.built.vectors.shape[1]))

    def nearest(self, vector: np.ndarray, k: int) -> np.ndarray:
        """Row numbers that the index finds for a vector."""
        assert self._vectors is not None
        return self._vectors.search(vector, k)[0]

    def memory_bytes(self) -> int:
        """Bytes resident to serve, a deterministic sum: indexes, vectors kept for refining, token
        vectors, model weights, the cache's limit, and the generator's weights once it is used."""
        built = self.built
        refining = built.vectors is not None and int(self.config.get("retrieve.refine", 1)) > 1
        generator = self._generator.weights_bytes if self._generator is not None else 0
        return (
            built.index_bytes
            + (built.lexical.bytes if built.lexical is not None else 0)
            + (built.vectors.nbytes if refining and built.vectors is not None else 0)
            + (self._reranker.bytes if isinstance(self._reranker, MaxSim) else 0)
            + (self._embedder.weights_bytes if self._embedder is not None else 0)
            + self._reranker_weights()
            + int(self.config["cache.mb"]) * 10**6
            + generator
        )

    def _reranker_weights(self) -> int:
        """Bytes of the reranker's own model; an encoder shared with the embedder counts once."""
        if isinstance(self._reranker, CrossEncoder):
            return self._reranker.weights_bytes
        if not isinstance(self._reranker, MaxSim):
            return 0
        shared = getattr(self._embedder, "encoder", None) is self._reranker.encoder
        return 0 if shared else minilm_int8_file().stat().st_size

    def _embed(self, question: str, clock: _StageClock) -> np.ndarray | None:
        if self._embedder is None or self.built.vectors is None:
            return None
        vector = truncated(self._embedder.encode_query(question), self.built.vectors.shape[1])
        clock.lap("embed")
        return vector

    def _search(self, question: str, vector: np.ndarray | None, depth: int) -> Ranked:
        if vector is None or self._vectors is None:
            assert self.built.lexical is not None
            return self.built.lexical.search(question, depth)
        if self.config["retrieve.mode"] == "dense":
            return self._vectors.search(vector, depth)
        assert self.built.lexical is not None
        pool = max(depth, FUSION_DEPTH)
        dense = self._vectors.search(vector, pool)
        return fuse(dense, self.built.lexical.search(question, pool), self._alpha, depth)

    def _load_reranker(self) -> Reranker | None:
        model, threads = str(self.config["rerank.model"]), int(self.config["threads.rerank"])
        if model == NO_RERANKER:
            return None
        if model == "bm25":
            assert self.built.lexical is not None
            return LexicalReranker(self.built.lexical)
        if model == "maxsim":
            assert self.built.tokens is not None
            return MaxSim(self._shared_encoder(threads) or int8_encoder(threads), self.built.tokens)
        return CrossEncoder(Path(model), lambda row: self.built.chunks.texts[row], threads)

    def _shared_encoder(self, threads: int) -> TransformerEncoder | None:
        """The embedder's encoder, when it is the one that late interaction needs: a query then
        passes the model once."""
        same = self.config.get("embed.model") == "minilm-int8"
        if same and threads == self.config["threads.embed"]:
            assert isinstance(self._embedder, Transformer)
            return self._embedder.encoder
        return None


class ResultCache:
    """The most recently used results by question, at most ``limit_bytes`` of them."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._used = 0
        self._results: OrderedDict[str, Result] = OrderedDict()

    def get(self, question: str) -> Result | None:
        result = self._results.get(question)
        if result is not None:
            self._results.move_to_end(question)
        return result

    def put(self, question: str, result: Result) -> None:
        if not self._limit:
            return
        self._results[question] = Result(result.rows, result.scores)
        self._used += _result_bytes(question, result)
        while self._used > self._limit:
            oldest, dropped = self._results.popitem(last=False)
            self._used -= _result_bytes(oldest, dropped)


def _result_bytes(question: str, result: Result) -> int:
    return 500 + 4 * len(question) + result.rows.nbytes + result.scores.nbytes


class _StageClock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self.stage_ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.stage_ms[stage] = (now - self._last) * 1e3
        self._last = now
