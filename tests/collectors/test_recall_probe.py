"""The recall probe on a real index, and its reasons to stop."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.pipeline.index import VectorSearch, build_index, exact_top
from autorag.pipeline.transformer import unit
from collectors.recall_probe import probe_recall, recall_at

DIM, VECTORS, QUERIES, K = 16, 3000, 1500, 10
Search = Callable[[np.ndarray], np.ndarray]

ids = st.lists(st.integers(-1, 12), max_size=14)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return unit(rng(1).normal(size=(VECTORS, DIM)))


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return unit(rng(2).normal(size=(QUERIES, DIM)))


@pytest.fixture(scope="module")
def exact(vectors: np.ndarray) -> Search:
    return lambda query: exact_top(vectors, query[None], K)[0]


@pytest.fixture(scope="module")
def index(vectors: np.ndarray) -> Callable[[int], Search]:
    """An IVF index searched in this many cells."""
    built = build_index(vectors, {"index.kind": "ivf_flat", "index.nlist": 0.5}, 0)

    def at(nprobe: int) -> Search:
        search = VectorSearch(built, {"retrieve.nprobe": nprobe}, 1, None)
        return lambda query: search.search(query, K)[0]

    return at


def traffic(queries: np.ndarray, seed: int = 0) -> Iterator[np.ndarray]:
    draws = rng(seed)
    while True:
        yield queries[draws.integers(len(queries))]


def true_recall(queries: np.ndarray, approximate: Search, exact: Search) -> float:
    return float(np.mean([recall_at(K, approximate(q), exact(q)) for q in queries]))


@given(ids, ids)
def test_recall_of_one_query(found: list[int], wanted: list[int]) -> None:
    recall = recall_at(K, found, wanted)
    exact = set(wanted[:K]) - {-1}
    assert recall == (len(exact & set(found[:K])) / len(exact) if exact else None)


def test_the_interval_is_narrow_enough_and_right(
    queries: np.ndarray, index: Callable[[int], Search], exact: Search
) -> None:
    search = index(8)
    probe = probe_recall(traffic(queries), search, exact, rng(), half_width=0.02)
    assert probe.stopped == "precise"
    assert probe.recall is not None
    assert probe.recall.high - probe.recall.low <= 0.04
    truth = true_recall(queries, search, exact)
    assert probe.recall.low <= truth <= probe.recall.high
    assert probe.searches < 2500
    assert probe.meets_target is None


def test_searching_every_cell_finds_all(
    queries: np.ndarray, index: Callable[[int], Search], exact: Search
) -> None:
    probe = probe_recall(traffic(queries), index(10**6), exact, rng())
    assert probe.recall is not None
    assert (probe.recall.value, probe.recall.high, probe.stopped) == (1, 1, "precise")
    assert 150 < probe.searches < 300


@pytest.mark.parametrize(("nprobe", "meets"), [(1, False), (16, True)])
def test_a_target_is_decided_with_few_searches(
    queries: np.ndarray, index: Callable[[int], Search], exact: Search, nprobe: int, meets: bool
) -> None:
    probe = probe_recall(traffic(queries), index(nprobe), exact, rng(), target=0.7)
    assert (probe.stopped, probe.meets_target) == ("decided", meets)
    assert probe.searches < 60


def test_the_budget_bounds_the_exact_searches(queries: np.ndarray, exact: Search) -> None:
    asked: list[np.ndarray] = []

    def counted(query: np.ndarray) -> np.ndarray:
        asked.append(query)
        return exact(query)

    probe = probe_recall(traffic(queries), exact, counted, rng(), budget=25)
    assert (probe.stopped, probe.searches, len(asked)) == ("budget", 25, 25)
    assert probe_recall(traffic(queries), exact, exact, rng(), budget=0).recall is None


def test_only_a_share_of_the_traffic_is_probed(queries: np.ndarray, exact: Search) -> None:
    probe = probe_recall(queries[:1000], exact, exact, rng(), half_width=0.001, share=0.1)
    assert probe.stopped == "exhausted"
    assert 70 < probe.searches < 130


def test_all_queries_there_are_give_their_exact_recall(
    queries: np.ndarray, index: Callable[[int], Search], exact: Search
) -> None:
    search, some = index(2), queries[:80]
    probe = probe_recall(some, search, exact, rng(), half_width=1e-4, population=80)
    assert probe.recall is not None
    assert probe.recall.low == pytest.approx(true_recall(some, search, exact), abs=1e-9)
    assert probe.recall.high == pytest.approx(probe.recall.low, abs=1e-9)


def test_queries_without_neighbours_do_not_count() -> None:
    def nothing(query: int) -> list[int]:
        return [-1] * K

    probe = probe_recall(range(30), nothing, nothing, rng())
    assert (probe.recall, probe.searches, probe.stopped) == (None, 30, "exhausted")
    half = probe_recall(
        range(30), lambda q: [q], lambda q: [q] if q % 2 else [], rng(), half_width=0.001
    )
    assert half.recall is not None
    assert half.recall.value == 1


def test_the_same_seed_probes_the_same_queries(queries: np.ndarray, exact: Search) -> None:
    def other(query: np.ndarray) -> np.ndarray:
        return exact(query)[::2]

    first, second, third = (
        probe_recall(itertools.islice(traffic(queries), 300), other, exact, rng(s), share=0.5)
        for s in (0, 0, 1)
    )
    assert first == second
    assert first.searches != third.searches
