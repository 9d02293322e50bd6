"""MiniLM as two encoders with one interface: int8 on onnxruntime and float32 on torch.

A text longer than the model reads is split into windows of even length (nothing is truncated).
Windows are encoded sorted by length, so that little is padded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from autorag.pipeline.packages import (
    minilm_folder,
    minilm_int8_file,
    minilm_tokenizer_file,
    stay_offline,
)

MAX_TOKENS = 256
"""What the model was trained to read, special tokens included."""

SPECIAL = 2
MINILM_DIM = 384
LARGEST_BATCH = 256


class Forward(Protocol):
    """Maps ids and mask, int64 ``(batch, length)``, to token states ``(batch, length, dim)``."""

    def __call__(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a text as token ids, special tokens included; ``text`` is its number."""

    text: int
    ids: list[int]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts after one pass through the model.

    Attributes:
        pooled: unit vectors, float32 ``(n, dim)``: the mean over all tokens of all windows.
        tokens: unit vectors of every token but the special ones, float32 ``(tokens, dim)`` a text,
            window after window.
    """

    pooled: np.ndarray
    tokens: list[np.ndarray]


class TransformerEncoder:
    """Pooled and token vectors of texts, from one pass through the model.

    Args:
        forward: the model.
        largest_batch: 1 for a model whose output depends on what else is in the batch.

    Attributes:
        remembered: how many queries are remembered, most recent first.
    """

    def __init__(self, forward: Forward, dim: int, largest_batch: int) -> None:
        from tokenizers import Tokenizer

        self.dim = dim
        self._forward = forward
        self._largest_batch = largest_batch
        self._tokenizer = Tokenizer.from_file(str(minilm_tokenizer_file()))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._start = self._tokenizer.token_to_id("[CLS]")
        self._end = self._tokenizer.token_to_id("[SEP]")
        self.remembered = 1
        self._queries: OrderedDict[str, Encoded] = OrderedDict()

    def encode(self, texts: Sequence[str], batch: int, *, tokens: bool) -> Encoded:
        """Encode texts, ``batch`` windows at a time, shortest first; ``tokens`` are left empty
        unless asked for."""
        windows = self.windows(texts)
        order = sorted(range(len(windows)), key=lambda w: len(windows[w].ids))
        total = np.zeros((len(texts), self.dim), dtype=np.float32)
        pieces: list[np.ndarray] = [np.empty((0, self.dim), np.float32)] * len(windows)
        step = min(batch, self._largest_batch)
        for i in range(0, len(order), step):
            part = order[i : i + step]
            ids, mask = _padded([windows[w].ids for w in part])
            states = self._forward(ids, mask)
            for w, count, rows in zip(part, mask.sum(axis=1).tolist(), states, strict=True):
                weight = max(1, count - SPECIAL)
                total[windows[w].text] += weight * rows[:count].mean(axis=0)
                if tokens:
                    pieces[w] = unit(rows[1 : count - 1])
        by_text: list[list[np.ndarray]] = [[] for _ in texts]
        for window, piece in zip(windows, pieces, strict=True):
            by_text[window.text].append(piece)
        return Encoded(unit(total), [np.concatenate(p) for p in by_text])

    def encode_query(self, text: str) -> Encoded:
        """Encode one text. The last one is remembered: embedding and late interaction ask for the
        same query one after the other."""
        if text not in self._queries:
            self.remember(text, self.encode([text], 1, tokens=True))
        return self._queries[text]

    def remember(self, text: str, encoded: Encoded) -> None:
        """Remember a query that was encoded before."""
        self._queries[text] = encoded
        while len(self._queries) > self.remembered:
            self._queries.popitem(last=False)

    def forget(self) -> None:
        """Forget all queries."""
        self._queries.clear()

    def windows(self, texts: Sequence[str]) -> list[Window]:
        """The windows of all texts, of even length within a text."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [
            Window(i, [self._start, *e.ids[a:b], self._end])
            for i, e in enumerate(encodings)
            for a, b in _even(len(e.ids), MAX_TOKENS - SPECIAL)
        ]


def int8_encoder(threads: int) -> TransformerEncoder:
    """MiniLM int8 on onnxruntime with this many threads.

    Activations are quantised by the batch, so windows go one by one: a vector then depends on its
    text alone. (On CPU that is also the fastest.)
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(minilm_int8_file()), options, providers=["CPUExecutionProvider"]
    )

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return np.asarray(session.run(None, feeds)[0])

    return TransformerEncoder(forward, MINILM_DIM, largest_batch=1)


def float32_encoder(threads: int) -> TransformerEncoder:
    """MiniLM float32 on torch. Sets torch's thread count, which is global to the process."""
    stay_offline()
    import torch
    from transformers import BertModel

    torch.set_num_threads(threads)
    model: Any = BertModel.from_pretrained(minilm_folder(), add_pooling_layer=False).eval()

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            out = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        return np.asarray(out.last_hidden_state.numpy())

    return TransformerEncoder(forward, MINILM_DIM, LARGEST_BATCH)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def _even(length: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut ``length`` into the fewest pieces of at most ``most``, of even length; at least one."""
    pieces = max(1, -(-length // most))
    edges = [length * i // pieces for i in range(pieces + 1)]
    return pairwise(edges)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    longest = max(len(r) for r in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask
