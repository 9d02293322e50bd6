"""Parts that remember what they computed for a query, to judge the quality of many configs.

Query vectors, BM25 scores and late-interaction scores do not depend on the query-time knobs, so
each is computed once for all configs of a workbench; what the transformer makes of a query is kept
in the artifact store. Rankings are the same; times mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from autorag.hashing import text_id
from autorag.pipeline.build import BuildContext, Built, maxsim_revision
from autorag.pipeline.embedders import Embedder
from autorag.pipeline.items import ItemCache, fixed_batches
from autorag.pipeline.lexical import LexicalSearch
from autorag.pipeline.parts import SharedParts
from autorag.pipeline.rerank import LexicalReranker, Reranker
from autorag.pipeline.transformer import Encoded, TransformerEncoder
from autorag.space import Config
from autorag.stages import rerank_namespace

CHECKPOINT = 100
"""Encoded queries that are kept together."""

REMEMBERED_BYTES = 2 * 10**9
"""BM25 scores over all rows are remembered up to this."""


class RememberingParts(SharedParts):
    """Shared parts that remember; see the module."""

    def __init__(self, context: BuildContext, questions: Sequence[str]) -> None:
        super().__init__(context)
        self._questions = list(dict.fromkeys(questions))
        self._rerankers: dict[tuple[str, int], RememberingReranker] = {}

    def lexical(self, lexical: LexicalSearch) -> LexicalSearch:
        return RememberingLexical(lexical)

    def token_encoder(self, threads: int) -> TransformerEncoder:
        known = threads in self._encoders
        encoder = super().token_encoder(threads)
        if not known:
            encoder.remembered = max(1, len(self._questions))
            for text, encoded in zip(self._questions, self._encoded(encoder), strict=True):
                encoder.remember(text, encoded)
        return encoder

    def _encoded(self, encoder: TransformerEncoder) -> Iterator[Encoded]:
        """The questions through the encoder: their token vectors, and the pooled one last."""

        def compute(positions: Sequence[int]) -> list[np.ndarray]:
            made = [encoder.encode([self._questions[i]], 1, tokens=True) for i in positions]
            return [np.concatenate([m.tokens[0], m.pooled]) for m in made]

        cache = ItemCache(self._context.store, "query", rerank_namespace(maxsim_revision()))
        keys = [text_id(q) for q in self._questions]
        filled = cache.fill(keys, compute, fixed_batches(len(keys), CHECKPOINT))
        for i in range(len(keys)):
            rows = filled.items[i]
            yield Encoded(rows[-1:], [rows[:-1]])

    def reranker(self, config: Config, built: Built, embedder: Embedder | None) -> Reranker | None:
        made = super().reranker(config, built, embedder)
        if made is None or isinstance(made, LexicalReranker):
            return made
        key = (str(config["rerank.model"]), int(config["threads.rerank"]))
        if key not in self._rerankers:
            self._rerankers[key] = RememberingReranker(made)
        return self._rerankers[key]

    def _load(self, config: Config, built: Built) -> Embedder:
        embedder = super()._load(config, built)
        shared = config["embed.model"] == "minilm-int8"  # its encoder remembers
        return embedder if shared else RememberingEmbedder(embedder)


class RememberingEmbedder:
    """An embedder that encodes a query once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, np.ndarray] = {}
        self.dim = embedder.dim
        self.weights_bytes = embedder.weights_bytes

    def encode_documents(self, texts: Sequence[str], batch: int) -> np.ndarray:
        return self._embedder.encode_documents(texts, batch)

    def encode_query(self, text: str) -> np.ndarray:
        if text not in self._vectors:
            self._vectors[text] = self._embedder.encode_query(text)
        return self._vectors[text]


class RememberingLexical(LexicalSearch):
    """A lexical index that scores a query once."""

    def __init__(self, lexical: LexicalSearch) -> None:
        self._lexical = lexical
        self._scores: dict[str, np.ndarray] = {}
        self._postings: dict[str, int] = {}
        self.size, self.bytes = lexical.size, lexical.bytes

    def scores(self, query: str) -> np.ndarray:
        known = self._scores.get(query)
        if known is not None:
            return known
        scores = self._lexical.scores(query)
        if (len(self._scores) + 1) * scores.nbytes <= REMEMBERED_BYTES:
            self._scores[query] = scores
        return scores

    def postings(self, query: str) -> int:
        if query not in self._postings:
            self._postings[query] = self._lexical.postings(query)
        return self._postings[query]


class RememberingReranker:
    """A reranker that scores a pair of query and row once."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self._scores: dict[str, dict[int, float]] = {}

    def scores(self, query: str, rows: np.ndarray) -> np.ndarray:
        known = self._scores.setdefault(query, {})
        new = np.array([r for r in rows.tolist() if r not in known], dtype=np.int64)
        if len(new):
            known.update(zip(new.tolist(), self._reranker.scores(query, new).tolist(), strict=True))
        return np.array([known[r] for r in rows.tolist()], dtype=np.float32)
