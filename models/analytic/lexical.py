"""BM25 and fusion: postings added up, an array over all chunks, the best of it.

The library scores densely: it zeroes one sum per chunk, adds the postings of the query's words, and
the best are cut out of the whole array. That cut (numpy's partition) takes 2 ns a chunk when most
sums differ, and ten times as long when most are equal, that is zero, because few chunks hold a word
of the query: ``14 + 70 s`` ns for a share ``s`` of them below about a quarter.

Where postings are not known they are estimated from what this project's own documents and questions
show: stop words and single letters left out, a text has a word for two tokens and a question for
1.7; a word of a question and one of the text are the same with chance ``9 · 10⁻⁴``, so that it
stands in ``1 - e^(-9 · 10⁻⁴ · w)`` of the chunks of ``w`` words. A chunk's distinct words are
``1.28 · w^0.89`` (Heaps), and stems are 0.7 of a corpus's words.
The constants of time come from made-up text on a 2.4 GHz Zen 3.
Arrays are ``(n,)``, a row a config.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.analytic import intensity
from models.analytic.chunking import Chunking
from models.analytic.columns import Columns, Floats
from models.analytic.machine import Machine, Operator
from models.analytic.shape import WorkloadShape

WORDS_A_TOKEN, ASKED_A_TOKEN = 0.5, 0.6
"""Indexed words: stop words and single letters are none."""

SAME_WORD = 9e-4
STEMS = 0.7
HEAPS_FACTOR, HEAPS_EXPONENT = 1.28, 0.89

TOKENIZE_S, SCORE_S = 110e-6, 90e-6
TOKENIZE_LINES, SCORE_LINES = 600, 400
SUM_S = 1e-9
"""Per chunk: zeroing its sum."""

TOP_S, TOP_LINES = 30e-6, 300
SELECT_S = 3.5e-9
"""Per chunk: partitioning sums that differ, comparing them, finding those kept."""

EQUAL_S, EQUAL_SLOPE_S = 14e-9, 70e-9
EQUAL_UP_TO, EQUAL_TURN = 0.22, 0.04
FUSE_S, FUSE_LINES = 90e-6, 400
FUSE_CANDIDATE_S = 0.2e-6


@dataclass(frozen=True, slots=True)
class Matches(Columns):
    """Postings that a query adds up, and the share of chunks that hold one of its words, both
    ``(n,)``."""

    postings: Floats
    share: Floats


def matches(shape: WorkloadShape, chunks: Chunking) -> Matches:
    """What a query finds. Words are taken to stand in chunks independently of each other."""
    if shape.query_postings is not None:
        postings = np.full_like(chunks.chunks, shape.query_postings)
    else:
        words = ASKED_A_TOKEN * shape.query_tokens
        held = 1 - np.exp(-SAME_WORD * WORDS_A_TOKEN * chunks.tokens)
        postings = words * held * chunks.chunks
    return Matches(postings, 1 - np.exp(-postings / np.maximum(1.0, chunks.chunks)))


def entries(shape: WorkloadShape, chunks: Chunking) -> Floats:
    """(word, chunk) pairs of the index ``(n,)``."""
    if shape.entries is not None:
        return np.full_like(chunks.chunks, shape.entries)
    words = WORDS_A_TOKEN * chunks.tokens
    return chunks.chunks * np.minimum(words, HEAPS_FACTOR * words**HEAPS_EXPONENT)


def scoring(found: Matches, chunks: Chunking, machine: Machine) -> tuple[Operator, ...]:
    """BM25 of every chunk."""
    work = intensity.bm25(found.postings)
    adding = found.postings / machine.rate("bm25_postings_s") + chunks.chunks * SUM_S
    return (
        Operator(TOKENIZE_S + SCORE_S, TOKENIZE_LINES + SCORE_LINES),
        Operator(adding, scanned=work.bytes / 2, share=np.maximum(0.05, found.share)),
    )


def search(found: Matches, chunks: Chunking, machine: Machine) -> tuple[Operator, ...]:
    """The best chunks by BM25."""
    turn = 1 / (1 + np.exp((found.share - EQUAL_UP_TO) / EQUAL_TURN))
    each = SELECT_S + turn * (EQUAL_S + EQUAL_SLOPE_S * found.share)
    return (*scoring(found, chunks, machine), Operator(TOP_S + chunks.chunks * each, TOP_LINES))


def fusing(candidates: Floats) -> Operator:
    """Scaling and mixing two lists of so many candidates ``(n,)``."""
    return Operator(FUSE_S + candidates * FUSE_CANDIDATE_S, FUSE_LINES)
