"""Rerankers: order the candidates of retrieval again, with something dearer.

``bm25`` scores the candidates with the lexical index. ``maxsim`` is late interaction (ColBERT,
Khattab and Zaharia, 2020): the mean over query tokens of the best cosine with a token of the
chunk; the chunks' token vectors are cached in int8. A local cross-encoder is named by its path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from autorag.pipeline.fusion import Ranked, scaled
from autorag.pipeline.items import Ragged
from autorag.pipeline.lexical import LexicalSearch
from autorag.pipeline.packages import stay_offline
from autorag.pipeline.transformer import TransformerEncoder

MAXSIM_CHECKPOINT = 500
TOKEN_SCALE = 508.0
"""Coordinates of unit token vectors (384 of them, about ±0.05) times this are rounded to int8;
beyond ±0.25 they are clipped."""


class Reranker(Protocol):
    """Scores candidate rows for a query, higher is better."""

    def scores(self, query: str, rows: np.ndarray) -> np.ndarray: ...


def rerank(
    reranker: Reranker, query: str, candidates: Ranked, depth: int, weight: float, k: int
) -> Ranked:
    """Order the first ``depth`` candidates again and keep ``k``; ties keep their order.

    Args:
        weight: of the reranker's scores against those of retrieval, both scaled to [0, 1].
    """
    rows = candidates[0][:depth]
    if len(rows) == 0:
        return candidates
    scores = weight * scaled(reranker.scores(query, rows))
    if weight < 1:
        scores += (1 - weight) * scaled(candidates[1][:depth])
    best = np.argsort(-scores, kind="stable")[:k]
    return rows[best], scores[best].astype(np.float32)


@dataclass(frozen=True)
class LexicalReranker:
    """BM25 over the candidates."""

    lexical: LexicalSearch

    def scores(self, query: str, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.lexical.scores(query)[rows])


class MaxSim:
    """Late interaction over cached token vectors."""

    def __init__(self, encoder: TransformerEncoder, tokens: Ragged) -> None:
        self.encoder = encoder
        self._tokens = tokens
        self.bytes = tokens.rows.nbytes + tokens.starts.nbytes

    def scores(self, query: str, rows: np.ndarray) -> np.ndarray:
        asked = self.encoder.encode_query(query).tokens[0]
        if len(asked) == 0:
            return np.zeros(len(rows), dtype=np.float32)
        pieces = [self._tokens[int(r)] for r in rows]
        ends = np.cumsum([len(p) for p in pieces])
        cosines = np.concatenate(pieces).astype(np.float32) @ asked.T
        best = np.maximum.reduceat(cosines, np.concatenate([[0], ends[:-1]]), axis=0)
        return np.asarray(best.mean(axis=1) / TOKEN_SCALE)


def quantised(tokens: np.ndarray) -> np.ndarray:
    """Unit token vectors float32 ``(tokens, dim)`` as int8; no tokens become one zero row."""
    if not len(tokens):
        return np.zeros((1, tokens.shape[1]), dtype=np.int8)
    return np.clip(np.rint(tokens * TOKEN_SCALE), -127, 127).astype(np.int8)


class CrossEncoder:
    """A local sequence-classification model that reads query and chunk together.

    Args:
        folder: a model in transformers' format with a tokenizer. One output: its logit is the
            score; several: the last one's. A chunk longer than it reads is scored as the best
            of its windows.
        text: gives the embedded text of a row.
    """

    def __init__(self, folder: Path, text: Callable[[int], str], threads: int) -> None:
        stay_offline()
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        torch.set_num_threads(threads)
        self._torch = torch
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        self._text = text
        self.weights_bytes: int = sum(p.nbytes for p in self._model.parameters())

    def scores(self, query: str, rows: np.ndarray) -> np.ndarray:
        texts = [self._text(int(r)) for r in rows]
        positions = self._model.config.max_position_embeddings
        longest = min(self._tokenizer.model_max_length, positions)
        encoded = self._tokenizer(
            [query] * len(texts),
            texts,
            truncation="only_second",
            max_length=longest,
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        window_of = encoded.pop("overflow_to_sample_mapping").numpy()
        with self._torch.inference_mode():
            logits = self._model(**encoded).logits[:, -1].float().numpy()
        best = np.full(len(texts), -np.inf, dtype=np.float32)
        np.maximum.at(best, window_of, logits)
        return best
