"""Figures of vectors, against cases whose answer is known."""

from __future__ import annotations

from dataclasses import asdict, astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag.features import EmbeddingFeatures, unknown
from autorag.pipeline.transformer import unit
from collectors.features.embedding import (
    LEAST_VECTORS,
    distances,
    embedding_features,
    energy,
    imbalance,
    lid,
    nearest,
    partitions,
    skewness,
)
from collectors.features.sample import BLOCK_PASSAGES

DIM = 32
NO_QUERIES = np.empty((0, DIM), dtype=np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def spread(count: int, seed: int = 0, dimensions: int = DIM) -> np.ndarray:
    """Unit vectors, evenly spread over a sphere of fewer dimensions."""
    vectors = np.zeros((count, DIM))
    vectors[:, :dimensions] = rng(seed).normal(size=(count, dimensions))
    return unit(vectors)


def described(vectors: np.ndarray, queries: np.ndarray = NO_QUERIES) -> EmbeddingFeatures:
    return embedding_features(vectors, queries, rng(7))


@pytest.mark.parametrize("dimensions", [3, 5, 9])
def test_the_dimension_of_a_sphere_is_found(dimensions: int) -> None:
    found = described(spread(2000, dimensions=dimensions)).lid
    assert found == pytest.approx(dimensions - 1, rel=0.15)


def test_the_dimension_from_exact_distances() -> None:
    """In d dimensions the i-th of k neighbours is at (i / k)^(1/d), about."""
    k = 2000
    near = (np.arange(1, k + 1) / k)[None] ** (1 / 7)
    assert lid(near) == pytest.approx(7, rel=0.01)


def test_a_dimension_needs_different_distances() -> None:
    assert lid(np.zeros((3, 5))) is None
    assert lid(np.ones((3, 5))) is None
    assert lid(np.array([[0, 0, 0.5, 1.0]])) == pytest.approx(1 / np.log(2))


def test_nearest_are_nearest() -> None:
    distance = rng().random((6, 40))
    near, columns = nearest(distance)
    assert (near == np.sort(distance, axis=1)[:, : near.shape[1]]).all()
    assert (np.take_along_axis(distance, columns, axis=1) == near).all()


def test_distances_of_unit_vectors() -> None:
    x, y = spread(2, seed=3)
    expected = np.linalg.norm(x.astype(float) - y)
    assert distances(x[None], y[None])[0, 0] == pytest.approx(expected)
    assert distances(x[None], x[None])[0, 0] == 0


def test_imbalance() -> None:
    assert imbalance(np.array([5, 5, 5, 5])) == pytest.approx(1)
    assert imbalance(np.array([20, 0, 0, 0])) == pytest.approx(4)


def test_a_partition_finds_clusters() -> None:
    centres = np.eye(DIM)[:4]
    vectors = unit(np.repeat(centres, 30, axis=0) + rng().normal(0, 0.05, size=(120, DIM)))
    runs = [found for seed in range(3) for found in partitions(vectors, 4, rng(seed))]
    best = max(float((vectors @ found.T).max(axis=1).mean()) for found in runs)
    assert best > 0.95


def test_even_vectors_are_balanced_and_lumpy_ones_are_not() -> None:
    lump = unit(np.eye(DIM)[0] + rng(1).normal(0, 0.02, size=(400, DIM)))
    even = described(spread(512)).cell_imbalance
    lumpy = described(rng(2).permutation(np.concatenate([lump, spread(112)]))).cell_imbalance
    assert even is not None
    assert lumpy is not None
    assert even < 1.5 < lumpy


def test_queries_that_all_ask_for_the_lump_meet_large_cells() -> None:
    lump = unit(np.eye(DIM)[0] + rng(1).normal(0, 0.02, size=(200, DIM)))
    vectors = rng(2).permutation(np.concatenate([lump, spread(312)]))
    found = described(vectors, lump[:50])
    assert found.query_cell_imbalance is not None
    assert found.cell_imbalance is not None
    assert found.query_cell_imbalance > 1.5 * found.cell_imbalance


def test_the_mean_cosine_of_even_vectors_is_zero() -> None:
    assert described(spread(1000)).mean_cosine == pytest.approx(0, abs=0.01)
    shifted = unit(spread(1000) + np.eye(DIM)[0])
    expected = shifted.mean(axis=0) @ shifted.mean(axis=0)
    assert described(shifted).mean_cosine == pytest.approx(expected, abs=0.01)


def test_hubs_skew() -> None:
    assert skewness(np.array([1, 1, 1, 1])) is None
    assert skewness(np.array([0, 1, 2])) == pytest.approx(0)
    assert skewness(np.array([0, 0, 0, 9])) == pytest.approx(2 / 3**0.5)
    few, many = (described(spread(600, dimensions=d)).hubness_skew for d in (3, DIM))
    assert few is not None
    assert many is not None
    assert few < many


def test_like_samples_have_no_energy_and_unlike_ones_do() -> None:
    like = described(spread(512), spread(400, seed=5)).query_shift
    away = unit(spread(400, seed=5) + 3 * np.eye(DIM)[0])
    assert like == pytest.approx(0, abs=0.002)
    assert described(spread(512), away).query_shift == pytest.approx(0.3, abs=0.15)


def test_energy_lies_between_zero_and_one() -> None:
    here, there = np.eye(DIM, dtype=np.float32)[[0, 0]], np.eye(DIM, dtype=np.float32)[[1, 1]]
    apart, still = distances(here, there), distances(here, here)
    assert energy(apart, still, still) == pytest.approx(1)
    assert energy(still, still, still) is None
    assert energy(apart[:, :1], still, still[:1, :1]) is None


def test_the_number_of_vectors_does_not_matter() -> None:
    one, four = (described(spread(BLOCK_PASSAGES * n), spread(200, seed=3)) for n in (1, 4))
    for name, value in asdict(four).items():
        rough = 0.25 if name == "hubness_skew" else 0.02
        assert getattr(one, name) == pytest.approx(value, rel=0.1, abs=rough), name


def test_repeated_vectors_count_once() -> None:
    vectors = spread(300)
    assert described(np.concatenate([vectors, vectors[:200]])) == described(vectors)


def test_too_few_vectors_say_nothing() -> None:
    assert described(spread(LEAST_VECTORS - 1)) == unknown(EmbeddingFeatures)
    assert described(np.repeat(spread(3), 100, axis=0)) == unknown(EmbeddingFeatures)


def test_without_queries_theirs_are_unknown() -> None:
    found = described(spread(200))
    assert found.lid is not None
    assert {found.query_lid, found.query_shift, found.query_cell_imbalance} == {None}


@settings(max_examples=20)
@given(st.integers(LEAST_VECTORS, 80), st.integers(0, 3), st.integers(0, 99))
def test_figures_are_finite(count: int, queries: int, seed: int) -> None:
    vectors = spread(count, seed)
    vectors[0] = 0
    found = described(vectors, spread(queries, seed + 1) if queries else NO_QUERIES)
    assert all(v is None or np.isfinite(v) for v in astuple(found))
