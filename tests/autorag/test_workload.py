"""A workload is identified by its content, survives a file, and real ones load whole."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autorag.documents import Document, load_documents
from autorag.evaluation.gold import GoldUnit
from autorag.pipeline.parse import parse
from autorag.queries import Query, load_queries, split_queries
from autorag.workload import Workload, pseudo_workload, read_snapshot, write_snapshot

DOCUMENTS = (
    Document("a", "Alpha", "Grüße aus “Wien”."),
    Document("b", "", "The tower is 300 metres high. It was built in the year 1889."),
)
QUERIES = (
    Query("q", "How high?", (GoldUnit("b", ((13, 23),)),), ("300 metres",)),
    Query("r", "Who?", (GoldUnit("a"), GoldUnit("b")), (), answerable=False),
)
WORKLOAD = Workload("towers", DOCUMENTS, QUERIES)


def test_a_snapshot_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "w.json"
    write_snapshot(replace(WORKLOAD, query_source="pseudo"), path)
    again = read_snapshot(path)
    assert again == replace(WORKLOAD, query_source="pseudo")
    assert again.hash_hex == WORKLOAD.hash_hex
    assert [p.name for p in path.parent.iterdir()] == ["w.json"]


def test_a_snapshot_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    write_snapshot(WORKLOAD, path)
    written = path.stat().st_ino
    os.utime(path, (0, 0))
    write_snapshot(WORKLOAD, path)
    assert path.stat().st_ino == written
    assert path.stat().st_mtime > 0, "that it is used does not show"


def test_the_name_does_not_change_the_hash() -> None:
    assert replace(WORKLOAD, name="other").hash_hex == WORKLOAD.hash_hex


@pytest.mark.parametrize(
    "changed",
    [
        replace(WORKLOAD, documents=DOCUMENTS[:1]),
        replace(WORKLOAD, documents=(DOCUMENTS[0], replace(DOCUMENTS[1], id="c"))),
        replace(WORKLOAD, documents=(DOCUMENTS[0], replace(DOCUMENTS[1], title="T"))),
        replace(WORKLOAD, documents=(DOCUMENTS[0], replace(DOCUMENTS[1], text="x"))),
        replace(WORKLOAD, queries=QUERIES[:1]),
        replace(WORKLOAD, queries=(QUERIES[0], replace(QUERIES[1], question="Why?"))),
        replace(WORKLOAD, queries=(QUERIES[0], replace(QUERIES[1], answerable=True))),
        replace(WORKLOAD, queries=(QUERIES[0], replace(QUERIES[1], units=(GoldUnit("a"),)))),
    ],
)
def test_any_content_changes_the_hash(changed: Workload) -> None:
    assert changed.hash_hex != WORKLOAD.hash_hex


def test_documents_and_queries_are_identified_alone() -> None:
    whole = WORKLOAD.part_hashes
    edited = (DOCUMENTS[0], replace(DOCUMENTS[1], text="Built in 1889, it is 300 metres high."))
    moved = (replace(QUERIES[0], units=(GoldUnit("b", ((21, 31),)),)), QUERIES[1])
    new = replace(WORKLOAD, name="other", documents=edited, queries=moved).part_hashes
    assert new["documents"] != whole["documents"]
    assert new["queries"] == whole["queries"]
    asked = replace(WORKLOAD, queries=(QUERIES[0], replace(QUERIES[1], question="Why?")))
    assert asked.part_hashes["documents"] == whole["documents"]
    assert asked.part_hashes["queries"] != whole["queries"]


def test_the_summary_says_where_the_queries_come_from() -> None:
    assert WORKLOAD.summary() == {
        "name": "towers",
        "documents": 2,
        "queries": 2,
        "query_source": "labelled",
        "hash": WORKLOAD.hash_hex,
    }


def test_a_workload_from_documents_alone_says_so() -> None:
    workload = pseudo_workload("towers", DOCUMENTS, np.random.default_rng(0), parse_reused=True)
    assert workload.summary()["query_source"] == "pseudo"
    assert [q.units for q in workload.queries] == [(GoldUnit("b"),)]
    assert workload.parse_reused


def real_folders() -> list[Any]:
    root = os.environ.get("AUTORAG_WORKLOADS")
    folders = sorted(p.parent for p in Path(root).glob("*/corpus.jsonl")) if root else []
    skip = pytest.param(None, marks=pytest.mark.skip("AUTORAG_WORKLOADS names no workloads"))
    return [pytest.param(f, id=f.name) for f in folders] or [skip]


@cache
def real(folder: Path) -> tuple[dict[str, Document], list[Query]]:
    raw = load_documents(folder)
    documents = {d.id: Document(d.id, *parse(d)) for d in raw}
    return documents, load_queries(folder / "queries.jsonl", documents)


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        yield from map(json.loads, filter(str.strip, lines))


@pytest.mark.workloads
@pytest.mark.parametrize("folder", real_folders())
def test_no_query_and_no_relevant_document_is_dropped(folder: Path) -> None:
    _, queries = real(folder)
    for row, query in zip(rows(folder), queries, strict=True):
        assert query.id == row["id"]
        assert [u.doc for u in query.units] == list(dict.fromkeys(row["relevant"]))


@pytest.mark.workloads
@pytest.mark.parametrize("folder", real_folders())
def test_every_place_lies_in_its_document(folder: Path) -> None:
    documents, queries = real(folder)
    for unit in (u for q in queries for u in q.units):
        assert all(0 <= s < e <= len(documents[unit.doc].text) for s, e in unit.places)


@pytest.mark.workloads
@pytest.mark.parametrize("folder", real_folders())
def test_given_spans_are_the_places(folder: Path) -> None:
    _, queries = real(folder)
    for row, query in zip(rows(folder), queries, strict=True):
        given = [(s["doc"], (s["start"], s["end"])) for s in row.get("spans", ())]
        spanned = {doc for doc, _ in given}
        assert [(u.doc, p) for u in query.units if u.doc in spanned for p in u.places] == given


@pytest.mark.workloads
@pytest.mark.parametrize("folder", real_folders())
def test_the_report_split_is_large_enough_and_apart(folder: Path) -> None:
    _, queries = real(folder)
    search, report = split_queries(queries, np.random.default_rng(0))
    assert len(report) >= 50
    assert 0.25 <= len(report) / len(queries) <= 0.35
    sides = [{u.doc for q in side for u in q.units} for side in (search, report)]
    assert not sides[0] & sides[1]
