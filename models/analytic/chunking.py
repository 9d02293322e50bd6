"""How many chunks a chunking makes of a corpus, and how long they are.

Cutting a long text is a renewal process: a chunk advances by a random number of tokens whose mean
and spread the splitter, the chunk size and the overlap determine. They are found by running the
splitter itself once over a made-up text with sentences and paragraphs as long as those of ordinary
prose (medians below; a corpus of tables has others, which is where this is off). A text of ``L``
tokens then has ``L / mean + (cv² + 1) / 2`` chunks (Cox, Renewal Theory, 1962, 4.2), one that fits
a chunk has one. Lengths of documents follow from their quantiles: the logarithm is interpolated
between the 5, 50 and 95 % quantiles on a normal scale, and the longest twentieth is stretched until
the sum is right. Arrays are ``(n,)``, a row a config; a splitter runs once per distinct chunking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from autorag.pipeline.splitters import Tokens, split
from models.analytic.columns import Columns, Floats, Labels
from models.analytic.shape import WorkloadShape

SENTENCE_TOKENS, PARAGRAPH_SENTENCES, LOG_SPREAD = 20.0, 3.5, 0.55
CONTENT_DEFINED = "content_defined"
CONTENT_MEAN, CONTENT_CV2, CONTENT_WHOLE = 0.975, 0.184, 0.75
"""``(1 + (1 - e⁻³)) / 2`` of a chunk, and ``(1 - e⁻⁶ - 6 e⁻³) / 4`` over its square; texts up to
``3/4`` of a chunk count as whole."""

TEXT_TOKENS = 6000
"""Of the made-up text, where chunks are short; at least ``CHUNKS`` chunks are looked at."""

CHUNKS = 40
WORD_TOKENS = 4
"""One token in so many continues a word, so that no cut is before it."""

TITLE_TOKENS = 5.0
GRID = 60
"""Quantiles that stand for all documents."""

SCORES = np.array([NormalDist().inv_cdf((i + 0.5) / GRID) for i in range(GRID)])
SCORES /= NormalDist().inv_cdf(0.95)
"""Where they lie on a normal scale on which the 95 % quantile is 1."""

Cut = tuple[str, int, float]
"""Splitter, tokens and overlap of chunks."""


@dataclass(frozen=True, slots=True)
class Chunking(Columns):
    """Distinct chunks of a corpus, tokens of one on average (title included), both ``(n,)``."""

    chunks: Floats
    tokens: Floats


class Advance(NamedTuple):
    """Mean tokens from the start of a chunk to the start of the next, the square of their
    coefficient of variation, mean length of a chunk, and of the longest text that is one."""

    mean: float
    cv2: float
    length: float
    whole: float


def chunking(shape: WorkloadShape, cuts: Labels[Cut]) -> Chunking:
    """The chunks of a workload under every config; those that it says are known are taken."""
    if shape.chunks is not None and shape.chunk_tokens is not None:
        rows = np.ones(len(cuts.codes))
        return Chunking(shape.chunks * rows, shape.chunk_tokens * rows)
    return _predicted(shape, cuts.names).take(cuts.codes)


def _predicted(shape: WorkloadShape, cuts: Sequence[Cut]) -> Chunking:
    """The chunks of each of ``m`` chunkings."""
    mean, cv2, length, whole = np.array([advance(*cut) for cut in cuts]).reshape(-1, 4).T
    lengths = document_lengths(shape)
    cut = lengths / mean[:, None] + (cv2[:, None] + 1) / 2  # (m, GRID)
    per_document = np.where(lengths <= whole[:, None], 1.0, cut).mean(axis=1)
    repeated = np.maximum(0.0, length - mean) * (per_document - 1)
    tokens = (lengths.mean() + repeated) / per_document + shape.title_share * TITLE_TOKENS
    return Chunking(shape.documents * (1 - shape.duplicate_share) * per_document, tokens)


def document_lengths(shape: WorkloadShape) -> Floats:
    """Tokens of documents that stand for all, ascending ``(GRID,)``."""
    low, middle, high = (np.log(max(1.0, n)) for n in shape.document_tokens)
    lengths = np.exp(middle + SCORES * np.where(SCORES > 0, high - middle, middle - low))
    top = max(1, GRID // 20)
    missing = GRID * shape.tokens / max(1.0, shape.documents) - float(lengths.sum())
    highest = float(lengths[-top:].sum())
    lengths[-top:] *= max(0.5, 1 + missing / highest)
    return np.asarray(lengths)


@lru_cache(maxsize=1024)
def advance(splitter: str, size: int, overlap: float) -> Advance:
    """How a splitter moves through prose."""
    if splitter == CONTENT_DEFINED:
        return Advance(CONTENT_MEAN * size, CONTENT_CV2, CONTENT_MEAN * size, CONTENT_WHOLE * size)
    tokens = _prose(max(TEXT_TOKENS, CHUNKS * size))
    rows = split(tokens, splitter, size, overlap)
    starts = np.searchsorted(tokens.offsets[:, 0], rows[:, 0])
    steps = np.diff(starts)
    mean = float(steps.mean())
    spread, length = float(steps.var()) / mean**2, float(rows[:-1, 2].mean())
    return Advance(mean, spread, length, size * (1 - overlap))


@lru_cache(maxsize=16)
def _prose(length: int) -> Tokens:
    """A text of at least ``length`` tokens; a token is one letter or a full stop."""
    rng = np.random.default_rng(0)
    parts: list[str] = []
    count = 0
    while count < length:
        for _ in range(max(1, round(rng.lognormal(np.log(PARAGRAPH_SENTENCES), LOG_SPREAD)))):
            words = max(2, round(rng.lognormal(np.log(SENTENCE_TOKENS), LOG_SPREAD)))
            glued = rng.random(words - 1) < 1 / WORD_TOKENS
            parts += ["A", *("a" if g else " a" for g in glued[1:]), ". "]
            count += words
        parts[-1] = ".\n\n"
    text = "".join(parts)
    starts = np.array([i for i, c in enumerate(text) if not c.isspace()], dtype=np.int32)
    ids = rng.integers(0, 30_000, len(starts))
    return Tokens(text, np.stack([starts, starts + 1], axis=1), ids)
