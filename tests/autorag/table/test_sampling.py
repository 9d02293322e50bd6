"""Sampling keeps queries answerable and within limits; halves share no gold document."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autorag.documents import Document
from autorag.evaluation.gold import GoldUnit
from autorag.queries import Query
from autorag.table.sampling import drawn_documents, halved, sampled
from autorag.table.schema import HALVES
from autorag.workload import Workload

LIMITS = st.integers(1, 12)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """Up to fifteen documents, and queries that want one to three of them."""
    names = [f"d{i}" for i in range(draw(st.integers(1, 15)))]
    gold = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
    wanted = draw(st.lists(gold, min_size=1, max_size=15))
    queries = [Query(f"q{i}", "?", tuple(map(GoldUnit, docs))) for i, docs in enumerate(wanted)]
    documents = [Document(name, "", f"Text of {name}.") for name in names]
    return Workload("made-up", tuple(documents), tuple(queries))


def gold(queries: tuple[Query, ...] | list[Query]) -> set[str]:
    return {u.doc for q in queries for u in q.units}


@given(workloads(), LIMITS, LIMITS, SEEDS)
def test_queries_come_with_the_documents_that_answer_them(
    workload: Workload, documents: int, queries: int, seed: int
) -> None:
    kept = sampled(workload, documents, queries, np.random.default_rng(seed))
    assert gold(list(kept.queries)) <= {d.id for d in kept.documents}
    assert 1 <= len(kept.queries) <= queries
    alone = len(gold(list(kept.queries)))
    within = min(documents, len(workload.documents))
    assert len(kept.documents) == (within if len(kept.queries) > 1 else max(within, alone))


@given(workloads(), LIMITS, LIMITS, SEEDS)
def test_what_is_kept_is_as_it_was_and_in_its_order(
    workload: Workload, documents: int, queries: int, seed: int
) -> None:
    kept = sampled(workload, documents, queries, np.random.default_rng(seed))
    assert kept.documents == tuple(d for d in workload.documents if d in kept.documents)
    assert kept.queries == tuple(q for q in workload.queries if q in kept.queries)
    whole = replace(workload, documents=kept.documents, queries=kept.queries)
    assert kept == whole


@given(workloads(), LIMITS, LIMITS, SEEDS)
def test_equal_seeds_draw_the_same(
    workload: Workload, documents: int, queries: int, seed: int
) -> None:
    first, second = (
        sampled(workload, documents, queries, np.random.default_rng(seed)) for _ in range(2)
    )
    assert first == second


@given(workloads(), SEEDS)
def test_large_limits_keep_everything(workload: Workload, seed: int) -> None:
    assert sampled(workload, 100, 100, np.random.default_rng(seed)) == workload


def test_seeds_draw_differently() -> None:
    documents = tuple(Document(f"d{i}", "", "Text.") for i in range(100))
    queries = tuple(Query(f"q{i}", "?", (GoldUnit(f"d{i}"),)) for i in range(100))
    workload = Workload("made-up", documents, queries)
    drawn = [sampled(workload, 20, 10, np.random.default_rng(seed)) for seed in range(5)]
    assert len({k.documents for k in drawn}) == len({k.queries for k in drawn}) == 5


@given(st.integers(0, 20), LIMITS, SEEDS)
def test_documents_are_drawn_in_their_order(count: int, most: int, seed: int) -> None:
    documents = [Document(f"d{i:02}", "", "") for i in range(count)]
    drawn, again = (drawn_documents(documents, most, np.random.default_rng(seed)) for _ in range(2))
    assert drawn == again == sorted(drawn, key=lambda d: d.id)
    assert len({d.id for d in drawn}) == len(drawn) == min(most, count)


@given(workloads(), SEEDS)
def test_halves_have_every_query_once_and_share_no_gold_document(
    workload: Workload, seed: int
) -> None:
    halves = halved(workload.queries, np.random.default_rng(seed))
    assert tuple(halves) == HALVES
    ids = [id_ for half in halves.values() for id_ in half]
    assert sorted(ids) == sorted(q.id for q in workload.queries)
    by_id = {q.id: q for q in workload.queries}
    a, b = (gold([by_id[id_] for id_ in half]) for half in halves.values())
    assert not a & b
    assert halved(workload.queries, np.random.default_rng(seed)) == halves


@given(st.lists(st.integers(1, 4), min_size=1, max_size=20), SEEDS)
def test_halves_differ_by_no_more_than_a_group(sizes: list[int], seed: int) -> None:
    queries = [
        Query(f"q{doc}-{i}", "?", (GoldUnit(f"d{doc}"),))
        for doc, size in enumerate(sizes)
        for i in range(size)
    ]
    halves = halved(queries, np.random.default_rng(seed))
    a, b = (len(half) for half in halves.values())
    assert abs(a - b) <= max(sizes)
