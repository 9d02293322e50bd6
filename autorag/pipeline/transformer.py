"""MiniLM as two encoders with one interface: int8 on onnxruntime and float32 on torch.

A text longer than the model reads is split into windows of even length (nothing is truncated).
Windows are encoded sorted by length, so that little is padded.
"""

from __future__ import annotations

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


class Forward(Protocol):
    """Maps ids and mask, int64 ``(batch, length)``, to token states ``(batch, length, dim)``."""

    def __call__(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a text as token ids, special tokens included; ``text`` is its number."""

    text: int
    ids: list[int]


class TransformerEncoder:
    """Token states of texts, window by window."""

    def __init__(self, forward: Forward, dim: int) -> None:
        from tokenizers import Tokenizer

        self.dim = dim
        self._forward = forward
        self._tokenizer = Tokenizer.from_file(str(minilm_tokenizer_file()))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._start = self._tokenizer.token_to_id("[CLS]")
        self._end = self._tokenizer.token_to_id("[SEP]")

    def states(
        self, texts: Sequence[str], batch: int
    ) -> Iterator[tuple[list[Window], np.ndarray, np.ndarray]]:
        """Yield (windows, mask, states) a batch at a time, shortest windows first.

        ``mask`` is float32 ``(batch, length)``, ``states`` float32 ``(batch, length, dim)``.
        """
        windows = sorted(self.windows(texts), key=lambda w: len(w.ids))
        for i in range(0, len(windows), batch):
            part = windows[i : i + batch]
            ids, mask = _padded([w.ids for w in part])
            yield part, mask.astype(np.float32), self._forward(ids, mask)

    def mean_pooled(self, texts: Sequence[str], batch: int) -> np.ndarray:
        """Unit vectors, float32 ``(n, dim)``: the mean over all tokens of all windows."""
        total = np.zeros((len(texts), self.dim), dtype=np.float32)
        for windows, mask, states in self.states(texts, batch):
            sums = np.einsum("bl,bld->bd", mask, states)
            weights = np.array([len(w.ids) - SPECIAL for w in windows], dtype=np.float32)
            means = sums / mask.sum(axis=1, keepdims=True)
            np.add.at(total, [w.text for w in windows], means * np.maximum(weights, 1)[:, None])
        return unit(total)

    def token_vectors(self, texts: Sequence[str], batch: int) -> list[np.ndarray]:
        """Unit vectors of every token but the special ones, float32 ``(tokens, dim)`` a text."""
        pieces: list[list[np.ndarray]] = [[] for _ in texts]
        for windows, _, states in self.states(texts, batch):
            for window, rows in zip(windows, states, strict=True):
                vectors = unit(rows[1 : len(window.ids) - 1])
                pieces[window.text].append(vectors)
        return [np.concatenate(p) for p in pieces]

    def windows(self, texts: Sequence[str]) -> list[Window]:
        """The windows of all texts, of even length within a text."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [
            Window(i, [self._start, *e.ids[a:b], self._end])
            for i, e in enumerate(encodings)
            for a, b in _even(len(e.ids), MAX_TOKENS - SPECIAL)
        ]


def int8_forward(threads: int) -> Forward:
    """MiniLM int8 on onnxruntime with this many threads."""
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

    return forward


def float32_forward(threads: int) -> Forward:
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

    return forward


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
