"""Answering queries: embed, retrieve, rerank, and (when asked) generate, each stage timed."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from autorag.documents import Document
from autorag.evaluation.gold import Retrieved
from autorag.pipeline.build import BuildContext, Built, build
from autorag.pipeline.embedders import Embedder, Transformer
from autorag.pipeline.fusion import Ranked, fuse
from autorag.pipeline.generate import Answer, Generator, build_prompt
from autorag.pipeline.index import VectorSearch, truncated
from autorag.pipeline.packages import minilm_int8_file
from autorag.pipeline.parts import Parts
from autorag.pipeline.rerank import CrossEncoder, MaxSim, rerank
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

    def __init__(self, config: Config, built: Built, parts: Parts) -> None:
        self.config = config
        self.built = built
        self._parts = parts
        self._alpha = float(config.get("retrieve.alpha", 1.0))
        self._depth = int(config.get("rerank.depth", 0))
        self._weight = float(config.get("rerank.weight", 1.0))
        self._k = int(config["retrieve.k"])
        self._cache = self._empty_cache()
        self._embedder: Embedder | None = None
        self._vectors: VectorSearch | None = None
        if built.vectors is not None:
            self._embedder = parts.embedder(config, built)
            self._vectors = VectorSearch(
                built.index, config, int(config["threads.retrieve"]), built.vectors
            )
        self._reranker = parts.reranker(config, built, self._embedder)
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
        built = build(config, documents, context, parse_reused=parse_reused)
        return cls(config, built, Parts(context))

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
        self._cache = self._empty_cache()

    def generate(self, question: str, result: Result) -> tuple[Answer, str]:
        """The answer from the first contexts, and the prompt it was generated from."""
        if self._generator is None:
            self._generator = self._parts.generator(self.config)
        contexts = [self.built.chunks.texts[r] for r in self.context_rows(result)]
        prompt = build_prompt(question, contexts)
        return self._generator.complete(prompt, int(self.config["generate.max_tokens"])), prompt

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

    def _empty_cache(self) -> ResultCache:
        return ResultCache(int(self.config["cache.mb"]) * 10**6)

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
