"""Lexical search: BM25 (Robertson and Zaragoza, 2009; Lucene's variant) by the library bm25s.

Words are lower-cased, English stop words removed, stemmed by Snowball. The statistics (idf, mean
length) are frozen with the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autorag.pipeline.artifacts import Artifact, from_json_array, json_array

K1 = 1.2
B = 0.75
ANALYZER = f"bm25s lucene k1={K1} b={B} stop=en stem=snowball-english v1"


class LexicalSearch:
    """BM25 scores of chunks for a query."""

    def __init__(self, bm25: Any) -> None:
        import Stemmer

        self._bm25 = bm25
        self._stemmer = Stemmer.Stemmer("english")
        self.size = int(bm25.scores["num_docs"])
        self.bytes = sum(bm25.scores[k].nbytes for k in ("data", "indices", "indptr"))

    @classmethod
    def build(cls, texts: Sequence[str]) -> LexicalSearch:
        """Index the texts; row numbers are positions."""
        import bm25s
        import Stemmer

        tokens = _tokenized(texts, Stemmer.Stemmer("english"))
        bm25 = bm25s.BM25(method="lucene", k1=K1, b=B)
        if any(tokens):
            bm25.index(tokens, show_progress=False)
        else:
            _install(bm25, _no_words(len(texts)), {})
        return cls(bm25)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything needed to load it again."""
        scores = self._bm25.scores
        arrays = {k: np.asarray(scores[k]) for k in ("data", "indices", "indptr")}
        words = {w: int(i) for w, i in self._bm25.vocab_dict.items()}
        return {**arrays, "words": json_array(words), "size": np.array([self.size])}

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> LexicalSearch:
        """The inverse of :meth:`to_arrays`."""
        import bm25s

        arrays = artifact.arrays
        bm25 = bm25s.BM25(method="lucene", k1=K1, b=B)
        scores = {k: arrays[k] for k in ("data", "indices", "indptr")}
        _install(
            bm25, {**scores, "num_docs": int(arrays["size"][0])}, from_json_array(arrays["words"])
        )
        return cls(bm25)

    def scores(self, query: str) -> np.ndarray:
        """BM25 of every row, float32 ``(size,)``; zero where no word matches."""
        words = self._words(query)
        if not words:
            return np.zeros(self.size, dtype=np.float32)
        return np.asarray(self._bm25.get_scores(words))

    def postings(self, query: str) -> int:
        """How many (word, row) pairs scoring the query adds up."""
        rows = [self._bm25.vocab_dict[w] for w in self._words(query)]
        starts = self._bm25.scores["indptr"]
        return int(sum(starts[r + 1] - starts[r] for r in rows))

    def search(self, query: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers and scores of the best ``k`` that match a word, best first."""
        return top_rows(self.scores(query), k)

    def _words(self, query: str) -> list[str]:
        """The query's words that the index knows."""
        known = self._bm25.vocab_dict
        return [w for w in _tokenized([query], self._stemmer)[0] if w in known]


def top_rows(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best ``k`` rows with a positive score, best first, ties by row number."""
    k = min(k, len(scores))
    if k == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=scores.dtype)
    threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
    rows = np.flatnonzero((scores >= threshold) & (scores > 0))
    rows = rows[np.argsort(-scores[rows], kind="stable")[:k]]
    return rows, scores[rows]


def _tokenized(texts: Sequence[str], stemmer: Any) -> list[list[str]]:
    import bm25s

    tokens = bm25s.tokenize(
        list(texts), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
    )
    return [list(t) for t in tokens]


def _no_words(rows: int) -> dict[str, Any]:
    empty = np.empty(0, dtype=np.int32)
    scores = np.empty(0, dtype=np.float32)
    return {"data": scores, "indices": empty, "indptr": np.zeros(1, np.int64), "num_docs": rows}


def _install(bm25: Any, scores: dict[str, Any], words: dict[str, int]) -> None:
    bm25.scores = scores
    bm25.vocab_dict = words
    bm25.nonoccurrence_array = None
