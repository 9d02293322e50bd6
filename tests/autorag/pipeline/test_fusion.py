"""Fusion: between the two lists, and equal to one of them at either end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.pipeline.fusion import Ranked, fuse


@st.composite
def ranked(draw: st.DrawFn, smallest: int = 0) -> Ranked:
    """A list of distinct rows with well separated scores, best first."""
    rows = draw(st.lists(st.integers(0, 60), unique=True, min_size=smallest, max_size=25))
    scores = draw(
        st.lists(st.integers(-500, 500), unique=True, min_size=len(rows), max_size=len(rows))
    )
    best_first = np.sort(np.array(scores, dtype=np.float32))[::-1] / 10
    return np.array(rows, dtype=np.int64), best_first


alphas = st.sampled_from((0.0, 0.1, 0.5, 0.9, 1.0))


def among(rows: np.ndarray, candidates: np.ndarray) -> list[int]:
    wanted = set(candidates.tolist())
    return [r for r in rows.tolist() if r in wanted]


@given(ranked(), ranked(), alphas)
def test_all_candidates_are_ranked_once_with_scores_from_0_to_1(
    dense: Ranked, lexical: Ranked, alpha: float
) -> None:
    rows, scores = fuse(dense, lexical, alpha, 100)
    assert sorted(rows.tolist()) == sorted({*dense[0].tolist(), *lexical[0].tolist()})
    assert np.all(np.diff(scores) <= 0)
    assert np.all((scores >= 0) & (scores <= 1 + 1e-6))


@given(ranked(), ranked())
def test_either_end_is_the_order_of_one_list(dense: Ranked, lexical: Ranked) -> None:
    assert among(fuse(dense, lexical, 1.0, 100)[0], dense[0]) == dense[0].tolist()
    assert among(fuse(dense, lexical, 0.0, 100)[0], lexical[0]) == lexical[0].tolist()


@given(ranked(smallest=1), ranked(smallest=1), alphas, st.integers(1, 60))
def test_k_takes_the_first(dense: Ranked, lexical: Ranked, alpha: float, k: int) -> None:
    whole, part = fuse(dense, lexical, alpha, 100), fuse(dense, lexical, alpha, k)
    np.testing.assert_array_equal(part[0], whole[0][:k])
    np.testing.assert_array_equal(part[1], whole[1][:k])


def test_a_known_mixture() -> None:
    dense = np.array([7, 2, 5]), np.array([0.9, 0.5, 0.1], dtype=np.float32)
    lexical = np.array([5, 9]), np.array([12.0, 4.0], dtype=np.float32)
    rows, scores = fuse(dense, lexical, 0.6, 10)
    assert rows.tolist() == [7, 5, 2, 9]
    assert scores.tolist() == pytest.approx([0.6, 0.4, 0.3, 0.0])


def test_equal_scores_are_all_best() -> None:
    dense = np.array([3, 1]), np.array([0.5, 0.5], dtype=np.float32)
    nothing = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    rows, scores = fuse(dense, nothing, 0.5, 10)
    assert rows.tolist() == [1, 3]
    assert scores.tolist() == [0.5, 0.5]
