"""Postings and the cost of a dense BM25, beside the real index."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.pipeline.lexical import LexicalSearch
from autorag.pipeline.tokens import token_counts
from models.analytic.chunking import Chunking
from models.analytic.lexical import Matches, entries, matches, search
from models.analytic.machine import Machine
from models.analytic.shape import WorkloadShape
from tests.autorag.machines import profile
from tests.autorag.pipeline import corpus

MACHINE = Machine(profile())
SHAPE = WorkloadShape(1000, 100_000, (50, 100, 200), query_tokens=10.0)

shares = st.floats(0, 1)


def one_chunking(chunks: float, tokens: float) -> Chunking:
    return Chunking(np.array([float(chunks)]), np.array([float(tokens)]))


def milliseconds(chunks: float, share: float) -> float:
    found = Matches(np.array([share * chunks]), np.array([share]))
    steps = search(found, one_chunking(chunks, 100.0), MACHINE)
    return 1e3 * sum(s.seconds(MACHINE, np.zeros(1)).item() for s in steps)


def test_known_postings_are_taken() -> None:
    chunks = one_chunking(1000, 100)
    assert matches(replace(SHAPE, query_postings=250.0), chunks).postings == 250
    assert entries(replace(SHAPE, entries=4321.0), chunks) == 4321


def test_entries_are_about_those_of_an_index_of_prose() -> None:
    """A third off either way: how many words a token is depends on the text."""
    texts = [d.text for d in corpus.documents()]
    real = LexicalSearch.build(texts)
    chunks = one_chunking(len(texts), sum(token_counts(texts)) / len(texts))
    assert entries(SHAPE, chunks) == pytest.approx(real.to_arrays()["data"].size, rel=0.33)


@given(st.floats(16, 1000), st.floats(1, 1e6))
def test_a_query_matches_more_of_longer_chunks(tokens: float, count: float) -> None:
    short, long = (matches(SHAPE, one_chunking(count, t)) for t in (tokens, 2 * tokens))
    assert short.postings < long.postings
    assert 0 < short.share < long.share < 1


@given(shares)
def test_scoring_is_dense_so_more_chunks_take_longer(share: float) -> None:
    assert milliseconds(200_000, share) > milliseconds(20_000, share)


def test_cutting_the_best_out_of_many_zeros_is_dear() -> None:
    """The surprise of large corpora and rare words: the fewer match, the longer it takes."""
    assert milliseconds(100_000, 0.1) > 3 * milliseconds(100_000, 0.6)


def test_a_small_search_is_all_calls() -> None:
    assert milliseconds(100, 0.3) == pytest.approx(milliseconds(10, 0.3), rel=0.05)
