"""Queries are read with their gold; selection and report share no gold document."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.documents import Document
from autorag.errors import InputError, QueriesError
from autorag.evaluation.gold import GoldUnit
from autorag.queries import (
    Query,
    load_queries,
    query_from_json,
    query_to_json,
    split_queries,
    subsample,
)

DOCUMENTS = {
    "a": Document("a", "Alpha", "The tower is 300 metres high."),
    "b": Document("b", "", "It was built in 1889."),
}
GOOD = {"id": "q", "question": "How high?", "relevant": ["a"]}


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def refused(path: Path) -> QueriesError:
    with pytest.raises(QueriesError) as error:
        load_queries(path, DOCUMENTS)
    assert isinstance(error.value, InputError)
    assert str(path) in str(error.value)
    return error.value


def test_a_query_is_read_with_answers_spans_and_documents(tmp_path: Path) -> None:
    span = {"doc": "b", "start": 3, "end": 8}
    row = {**GOOD, "answers": ["300 metres"], "spans": [span]}
    (query,) = load_queries(write_lines(tmp_path / "q.jsonl", [row]), DOCUMENTS)
    units = (GoldUnit("a", ((13, 23),)), GoldUnit("b", ((3, 8),)))
    assert query == Query("q", "How high?", units, ("300 metres",))
    assert query.has_answer


@pytest.mark.parametrize(
    ("extra", "answerable", "has_answer"),
    [
        ({}, True, False),
        ({"answers": None}, True, False),
        ({"answers": ["x"]}, True, True),
        ({"answers": ["x"], "meta": {"src": "y"}}, True, True),
        ({"answers": ["x"], "meta": {"answerable": True}}, True, True),
        ({"answers": ["x"], "meta": {"answerable": False}}, False, False),
    ],
)
def test_an_unanswerable_query_counts_for_retrieval_only(
    tmp_path: Path, extra: dict[str, Any], answerable: bool, has_answer: bool
) -> None:
    path = write_lines(tmp_path / "q.jsonl", [{**GOOD, **extra}])
    (query,) = load_queries(path, DOCUMENTS)
    assert (query.answerable, query.has_answer) == (answerable, has_answer)
    assert query.units == (GoldUnit("a"),)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.jsonl"
    error = refused(path)
    assert (error.key, error.value) == ("queries", str(path))


def test_a_file_without_queries_is_named(tmp_path: Path) -> None:
    assert refused(write_lines(tmp_path / "q.jsonl", [])).key == "queries"


def test_a_malformed_line_is_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n{oops\n")
    error = refused(path)
    assert error.key == f"{path}:3"
    assert "malformed JSON" in str(error)


@pytest.mark.parametrize(
    "row",
    [
        ["a"],
        {"question": "?", "relevant": ["a"]},
        {"id": 5, "question": "?", "relevant": ["a"]},
        {"id": "r", "relevant": ["a"]},
        {"id": "r", "question": " ", "relevant": ["a"]},
        {"id": "r", "question": 5, "relevant": ["a"]},
        {"id": "r", "question": "?"},
        {"id": "r", "question": "?", "relevant": []},
        {"id": "r", "question": "?", "relevant": "a"},
        {"id": "r", "question": "?", "relevant": [5]},
        {"id": "r", "question": "?", "relevant": ["a"], "answers": "yes"},
        {"id": "r", "question": "?", "spans": ["a"]},
        {"id": "r", "question": "?", "spans": [{"doc": "a", "start": 0}]},
        {"id": "r", "question": "?", "spans": [{"doc": "a", "start": "x", "end": 2}]},
        {"id": "r", "question": "?", "spans": [{"doc": "a", "start": 0, "end": float("inf")}]},
        {"id": "r", "question": "?", "spans": [{"doc": ["a"], "start": 0, "end": 2}]},
        {"id": "r", "question": "?", "relevant": ["a"], "spans": 5},
    ],
)
def test_a_line_that_is_no_query_is_named_by_number(tmp_path: Path, row: Any) -> None:
    path = write_lines(tmp_path / "q.jsonl", [GOOD, row])
    error = refused(path)
    assert error.key == f"{path}:2"
    assert f"{path}:2" in str(error)


def test_a_duplicate_id_is_named_with_both_lines(tmp_path: Path) -> None:
    error = refused(write_lines(tmp_path / "q.jsonl", [GOOD, GOOD]))
    assert error.value == "q"
    assert "'q' (first on line 1)" in str(error)


@pytest.mark.parametrize("extra", [{}, {"spans": [{"doc": "zz", "start": 0, "end": 1}]}])
def test_gold_that_does_not_exist_names_query_and_document(
    tmp_path: Path, extra: dict[str, Any]
) -> None:
    row = {"id": "r", "question": "?", "relevant": ["a", "zz"], **extra}
    path = write_lines(tmp_path / "q.jsonl", [GOOD, row])
    error = refused(path)
    assert (error.key, error.value) == ("r", "zz")
    assert f"{path}:2" in str(error)
    assert "query 'r': gold document 'zz' does not exist" in str(error)


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (3, 3), (5, 3), (0, 1000)])
def test_a_span_outside_its_document_is_named(tmp_path: Path, start: int, end: int) -> None:
    row = {"id": "r", "question": "?", "spans": [{"doc": "a", "start": start, "end": end}]}
    error = refused(write_lines(tmp_path / "q.jsonl", [row]))
    assert (error.key, error.value) == ("r", [start, end])
    assert f"span {start}:{end} lies outside document 'a' (29 characters)" in str(error)


places = st.lists(st.tuples(st.integers(0, 9), st.integers(10, 20)), max_size=2).map(tuple)
units = st.lists(st.builds(GoldUnit, st.text(max_size=3), places), min_size=1).map(tuple)
queries = st.builds(
    Query, st.text(), st.text(), units, st.lists(st.text()).map(tuple), st.booleans()
)


@given(queries)
def test_a_query_survives_json(query: Query) -> None:
    assert query_from_json(json.loads(json.dumps(query_to_json(query)))) == query


def query_set(gold: list[list[int]]) -> list[Query]:
    return [
        Query(f"q{i}", "?", tuple(GoldUnit(f"d{doc}") for doc in docs))
        for i, docs in enumerate(gold)
    ]


def documents_of(some: list[Query]) -> set[str]:
    return {unit.doc for query in some for unit in query.units}


gold_lists = st.integers(1, 60).flatmap(
    lambda most: st.lists(
        st.lists(st.integers(0, most), min_size=1, max_size=3), min_size=1, max_size=80
    )
)
seeds = st.integers(0, 2**32 - 1)


@given(gold_lists, seeds)
def test_the_split_is_a_partition_without_shared_documents(
    gold: list[list[int]], seed: int
) -> None:
    given_queries = query_set(gold)
    search, report = split_queries(given_queries, np.random.default_rng(seed))
    assert sorted(search + report, key=given_queries.index) == given_queries
    assert not documents_of(search) & documents_of(report)
    for side in (search, report):
        assert [given_queries.index(q) for q in side] == sorted(map(given_queries.index, side))


@given(gold_lists, seeds)
def test_the_split_is_decided_by_the_seed(gold: list[list[int]], seed: int) -> None:
    first = split_queries(query_set(gold), np.random.default_rng(seed))
    assert first == split_queries(query_set(gold), np.random.default_rng(seed))


@given(gold_lists, seeds)
def test_search_keeps_queries(gold: list[list[int]], seed: int) -> None:
    search, _ = split_queries(query_set(gold), np.random.default_rng(seed))
    assert search


def test_another_seed_gives_another_split() -> None:
    singles = query_set([[i] for i in range(200)])
    splits = [split_queries(singles, np.random.default_rng(seed))[1] for seed in (0, 1)]
    assert splits[0] != splits[1]


@given(st.integers(2, 400), seeds)
def test_report_gets_three_tenths_and_fifty_where_there_are_enough(count: int, seed: int) -> None:
    singles = query_set([[i] for i in range(count)])
    _, report = split_queries(singles, np.random.default_rng(seed))
    assert abs(len(report) - max(0.3 * count, 50 if count >= 100 else 1)) <= 0.5 + 1e-9


@pytest.mark.parametrize(("groups", "size"), [(50, 3), (5, 30), (40, 4), (12, 13)])
def test_report_gets_fifty_where_several_queries_share_a_document(groups: int, size: int) -> None:
    shared = query_set([[i % groups] for i in range(groups * size)])
    search, report = split_queries(shared, np.random.default_rng(0))
    assert len(report) >= 50
    assert len(search) > len(report)


def test_queries_of_one_document_stay_together() -> None:
    search, report = split_queries(query_set([[0]] * 20), np.random.default_rng(0))
    assert (len(search), len(report)) == (20, 0)


def test_documents_chained_by_queries_stay_together() -> None:
    chained = query_set([[i, i + 1] for i in range(9)] + [[100]])
    search, report = split_queries(chained, np.random.default_rng(0))
    assert [q.id for q in report] == ["q9"]
    assert len(search) == 9


@given(st.integers(1, 50), st.integers(1, 60), seeds)
def test_a_subsample_keeps_order_and_size(count: int, most: int, seed: int) -> None:
    all_of_them = query_set([[i] for i in range(count)])
    chosen = subsample(all_of_them, most, np.random.default_rng(seed))
    assert len(chosen) == min(count, most)
    assert chosen == [q for q in all_of_them if q in chosen]
