"""Vector indexes of every kind against exact search, on real faiss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autorag.errors import MeasurementError
from autorag.pipeline.index import (
    HNSW_KINDS,
    KINDS,
    QUANTISED_KINDS,
    VectorSearch,
    build_index,
    cells,
    deserialized,
    exact_top,
    points_needed,
    serialized,
    truncated,
)
from autorag.pipeline.transformer import unit

DIM, POINTS, K = 32, 2000, 10
GENEROUS = {"retrieve.nprobe": 512, "retrieve.ef_search": 512}


def points(count: int = POINTS, seed: int = 0, spread: float = 0.6) -> np.ndarray:
    """Unit vectors around forty centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, DIM))
    noise = rng.normal(size=(count, DIM))
    return unit(centres[rng.integers(40, size=count)] + spread * noise)


VECTORS = points()
QUERIES = points(60, seed=1)


def knobs(kind: str, **more: Any) -> dict[str, Any]:
    """The knobs of one kind, only those active."""
    given: dict[str, Any] = {"index.kind": kind}
    if kind.startswith("ivf"):
        given |= {"index.nlist": 0.5, "retrieve.nprobe": GENEROUS["retrieve.nprobe"]}
    if kind == "ivf_pq_fastscan":
        given["index.pq_m"] = 16
    if kind in HNSW_KINDS:
        given |= {"index.hnsw_m": 16, "index.ef_construction": 160, "retrieve.ef_search": 512}
    return given | {name.replace("__", "."): value for name, value in more.items()}


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Mean share of the exact neighbours found; one query a row."""
    shares = [
        len(set(f) & set(e)) / len(e) for f, e in zip(found.tolist(), exact.tolist(), strict=True)
    ]
    return float(np.mean(shares))


def neighbours(index: Any, given: dict[str, Any], k: int = K) -> np.ndarray:
    search = VectorSearch(index, given, 1, VECTORS)
    found = np.full((len(QUERIES), k), -1)
    for row, query in zip(found, QUERIES, strict=True):
        rows = search.search(query, k)[0]
        row[: len(rows)] = rows
    return found


EXACT = exact_top(VECTORS, QUERIES, K)


@pytest.fixture(scope="module", params=KINDS)
def built(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """A kind and an index of it."""
    return request.param, build_index(VECTORS, knobs(request.param), 0)


def test_exact_top_is_brute_force() -> None:
    by_hand = np.argsort(-(QUERIES @ VECTORS.T), axis=1)[:, :K]
    np.testing.assert_array_equal(EXACT, by_hand)


def test_generous_search_finds_the_exact_neighbours(built: tuple[str, Any]) -> None:
    kind, index = built
    refine = {"retrieve__refine": 8} if kind in QUANTISED_KINDS else {}
    assert recall(neighbours(index, knobs(kind, **refine)), EXACT) >= 0.99


def test_scores_are_inner_products_in_order(built: tuple[str, Any]) -> None:
    kind, index = built
    rows, scores = VectorSearch(index, knobs(kind), 1, None).search(QUERIES[0], K)
    assert np.all(np.diff(scores) <= 0)
    coarse = 0.15 if kind in QUANTISED_KINDS else 1e-5
    np.testing.assert_allclose(scores, VECTORS[rows] @ QUERIES[0], atol=coarse)


def test_an_index_survives_its_bytes(built: tuple[str, Any]) -> None:
    kind, index = built
    again = deserialized(serialized(index))
    np.testing.assert_array_equal(neighbours(again, knobs(kind)), neighbours(index, knobs(kind)))


def test_builds_are_deterministic(built: tuple[str, Any]) -> None:
    kind, index = built
    again = build_index(VECTORS, knobs(kind), 0)
    np.testing.assert_array_equal(serialized(again), serialized(index))


@pytest.mark.parametrize("kind", ["ivf_flat", "ivf_sq8", "ivf_pq_fastscan"])
def test_another_seed_trains_another_index(kind: str) -> None:
    one, other = (serialized(build_index(VECTORS, knobs(kind), seed)) for seed in (0, 1))
    assert one.tobytes() != other.tobytes()


def test_more_neighbours_than_points_are_all_points(built: tuple[str, Any]) -> None:
    kind, index = built
    rows, _ = VectorSearch(index, knobs(kind), 1, None).search(QUERIES[0], POINTS + 50)
    assert len(rows) == len(set(rows.tolist())) <= POINTS
    if kind not in HNSW_KINDS:
        assert len(rows) == POINTS


@pytest.mark.parametrize("kind", QUANTISED_KINDS)
def test_refining_never_lowers_recall(kind: str) -> None:
    index = build_index(VECTORS, knobs(kind), 0)
    recalls = [
        recall(neighbours(index, knobs(kind, retrieve__refine=r)), EXACT) for r in (1, 2, 4, 8)
    ]
    assert recalls == sorted(recalls)
    assert recalls[-1] > recalls[0]


def test_refined_scores_are_exact() -> None:
    given = knobs("ivf_pq_fastscan", retrieve__refine=4)
    index = build_index(VECTORS, given, 0)
    rows, scores = VectorSearch(index, given, 1, VECTORS).search(QUERIES[0], K)
    np.testing.assert_allclose(scores, VECTORS[rows] @ QUERIES[0], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "knob", "values"),
    [
        ("ivf_flat", "retrieve.nprobe", (1, 2, 512)),
        ("hnsw", "retrieve.ef_search", (10, 40, 512)),
    ],
)
def test_search_effort_buys_recall(kind: str, knob: str, values: tuple[int, ...]) -> None:
    given = knobs(kind, index__nlist=2.0) if kind == "ivf_flat" else knobs(kind)
    if kind == "hnsw":
        given |= {"index.hnsw_m": 4, "index.ef_construction": 16}
    given |= {"index.nlist": 1.0} if kind == "ivf_flat" else {}
    index = build_index(VECTORS, given, 0)
    recalls = [recall(neighbours(index, {**given, knob: v}), EXACT) for v in values]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1]


@pytest.mark.parametrize("kind", ["ivf_flat", "ivf_sq8", "ivf_pq_fastscan"])
def test_too_few_points_are_refused_by_name(kind: str) -> None:
    with pytest.raises(MeasurementError, match=f"index.kind = {kind}: needs .* there are 30"):
        build_index(VECTORS[:30], knobs(kind), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_no_points_are_refused(kind: str) -> None:
    with pytest.raises(MeasurementError, match=r"index\.kind"):
        build_index(VECTORS[:0], knobs(kind), 0)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "hnsw_sq8"])
def test_one_point_is_enough_without_training_cells(kind: str) -> None:
    index = build_index(VECTORS[:1], knobs(kind), 0)
    assert VectorSearch(index, knobs(kind), 1, None).search(QUERIES[0], K)[0].tolist() == [0]


@pytest.mark.parametrize("kind", KINDS)
def test_faiss_trains_without_complaint_at_the_fewest_points(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    count = next(n for n in range(1, 5000) if n >= points_needed(kind, 1.0, n))
    build_index(points(count), knobs(kind, index__nlist=1.0), 0)
    assert "WARNING" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in HNSW_KINDS])
def test_points_are_removed_under_the_id_map(kind: str) -> None:
    index = build_index(VECTORS, knobs(kind), 0)
    gone = np.unique(EXACT[:, :5])
    assert index.remove_ids(gone) == len(gone)
    assert index.ntotal == POINTS - len(gone)
    found = neighbours(index, knobs(kind))
    assert not set(gone.tolist()) & set(found.ravel().tolist())
    left = np.setdiff1d(np.arange(POINTS), gone)
    exact = left[exact_top(VECTORS[left], QUERIES, K)]
    assert recall(found, exact) > (0.5 if kind == "ivf_pq_fastscan" else 0.95)


@pytest.mark.parametrize("kind", ["flat", "ivf_flat", "ivf_sq8"])
def test_removing_survives_serialisation_and_adding(kind: str) -> None:
    index = deserialized(serialized(build_index(VECTORS, knobs(kind), 0)))
    index.remove_ids(np.arange(100))
    index.add_with_ids(VECTORS[:50], np.arange(5000, 5050))
    again = deserialized(serialized(index))
    rows, _ = VectorSearch(again, knobs(kind), 1, None).search(VECTORS[7], 5)
    assert 5007 in rows.tolist()
    assert again.ntotal == POINTS - 50


@pytest.mark.parametrize("kind", HNSW_KINDS)
def test_hnsw_skips_points_by_selector(kind: str) -> None:
    import faiss

    index = build_index(VECTORS, knobs(kind), 0)
    gone = np.unique(EXACT[:, :5])
    alive = faiss.IDSelectorNot(faiss.IDSelectorBatch(gone))
    parameters = faiss.SearchParametersHNSW(efSearch=512, sel=alive)
    found = index.search(QUERIES, K, params=parameters)[1]
    assert not set(gone.tolist()) & set(found.ravel().tolist())
    left = np.setdiff1d(np.arange(POINTS), gone)
    assert recall(found, left[exact_top(VECTORS[left], QUERIES, K)]) > 0.95


@pytest.mark.parametrize(("factor", "expected"), [(0.25, 25), (1.0, 100), (4.0, 400)])
def test_cells_grow_with_the_root_of_the_points(factor: float, expected: int) -> None:
    assert cells(factor, 10_000) == expected
    assert cells(factor, 0) == 1


def test_truncation_keeps_length_one() -> None:
    short = truncated(VECTORS, 8)
    assert short.shape == (POINTS, 8)
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, atol=1e-6)
    assert truncated(VECTORS, DIM) is VECTORS
    np.testing.assert_allclose(truncated(VECTORS[3], 8), short[3], atol=1e-7)
