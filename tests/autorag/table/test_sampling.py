"""Subsamples keep what answers their queries; halves share no gold document."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autorag.documents import Document
from autorag.evaluation.gold import GoldUnit
from autorag.queries import Query
from autorag.table.sampling import drawn_documents, halved, sampled
from autorag.workload import Workload

MOST = 30


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """Up to ``MOST`` documents, queries with one to three gold documents."""
    count = draw(st.integers(1, MOST))
    documents = tuple(Document(f"d{i}", "", f"text of {i}") for i in range(count))
    gold = st.lists(st.integers(0, count - 1), min_size=1, max_size=3, unique=True)
    queries = tuple(
        Query(f"q{i}", f"question {i}", tuple(GoldUnit(f"d{d}") for d in found))
        for i, found in enumerate(draw(st.lists(gold, min_size=1, max_size=20)))
    )
    return Workload("w", documents, queries)


def gold(queries: tuple[Query, ...]) -> set[str]:
    return {u.doc for q in queries for u in q.units}


@given(workloads(), st.integers(3, MOST), st.integers(1, 25), st.integers(0, 9))
def test_a_sample_keeps_its_limits_and_every_gold_document(
    whole: Workload, documents: int, queries: int, seed: int
) -> None:
    found = sampled(whole, documents, queries, np.random.default_rng(seed))
    ids = {d.id for d in found.documents}
    assert 1 <= len(found.queries) <= queries
    assert len(ids) == min(documents, len(whole.documents))
    assert gold(found.queries) <= ids
    assert [d for d in whole.documents if d.id in ids] == list(found.documents)
    assert [q for q in whole.queries if q in found.queries] == list(found.queries)
    assert found == sampled(whole, documents, queries, np.random.default_rng(seed))


@given(workloads())
def test_enough_room_keeps_everything(whole: Workload) -> None:
    assert sampled(whole, MOST, 25, np.random.default_rng(0)) == whole


@given(workloads(), st.integers(0, 9))
def test_halves_hold_every_query_once_and_share_no_gold_document(
    whole: Workload, seed: int
) -> None:
    halves = halved(whole.queries, np.random.default_rng(seed))
    assert set(halves) == {"a", "b"}
    assert sorted([*halves["a"], *halves["b"]]) == sorted(q.id for q in whole.queries)
    a, b = (gold(tuple(q for q in whole.queries if q.id in halves[h])) for h in ("a", "b"))
    assert not a & b


def test_independent_queries_are_split_evenly() -> None:
    queries = [Query(f"q{i}", "?", (GoldUnit(f"d{i}"),)) for i in range(11)]
    halves = halved(queries, np.random.default_rng(0))
    assert sorted(len(ids) for ids in halves.values()) == [5, 6]


def test_drawn_documents_keep_their_order() -> None:
    documents = [Document(f"d{i}", "", "text") for i in range(20)]
    drawn = drawn_documents(documents, 7, np.random.default_rng(0))
    assert len(drawn) == 7
    assert drawn == sorted(drawn, key=documents.index)
    assert drawn_documents(documents, 20, np.random.default_rng(0)) == documents
