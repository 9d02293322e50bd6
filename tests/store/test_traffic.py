"""What requests took, by revision, from the spans of traces that settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.experience import Served
from autorag.telemetry import Source, Span
from store.engine import sqlite_url
from store.traffic import _length, served
from tests.store.traces import MS, START_NS, Stored, a_span, kept_open, trace_id

NOW = START_NS // 1_000_000_000
SHOP = Source("shop", revision="3")

When = tuple[str, float, float]
"""A stage, when it began after the request did, and how long it took, in milliseconds."""


def a_request(name: object, stages: Sequence[When], *, error: bool = False) -> list[Span]:
    trace = trace_id(name)
    whole = a_span(trace, 1, None, "chain", duration_ns=10_000 * MS, error=error, start_ns=START_NS)
    return [
        whole,
        *(
            a_span(
                trace,
                i,
                1,
                stage,
                start_ns=START_NS + int(begun * MS),
                duration_ns=int(took * MS),
            )
            for i, (stage, begun, took) in enumerate(stages, 2)
        ),
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Stored]:
    with kept_open(sqlite_url(tmp_path / "autorag.db")) as stored:
        yield stored


def told(store: Stored, requests: Sequence[list[Span]], source: Source = SHOP) -> list[Served]:
    for spans in requests:
        store.add(spans, source)
    store.settle_due()
    return store.look(lambda engine: served(engine, "shop", NOW))


def test_stages_that_follow_each_other_add_up(store: Stored) -> None:
    apart = [("embed", 0.0, 2.0), ("retrieve", 2.0, 5.0), ("rerank", 8.0, 10.0)]
    (found,) = told(store, [a_request(i, apart) for i in range(3)])
    assert (found.revision, found.requests) == (3, 3)
    assert {n: v for n, v in found.times.items() if n.endswith("p50_ms")} == {
        "embed_p50_ms": 2.0,
        "retrieve_p50_ms": 5.0,
        "rerank_p50_ms": 10.0,
        "latency_p50_ms": 17.0,
    }


def test_stages_that_lie_in_retrieving_count_once(store: Stored) -> None:
    """As LlamaIndex embeds within its retriever, and LangChain reranks within its."""
    nested = [("retrieve", 0.0, 17.0), ("embed", 0.0, 2.0), ("rerank", 7.0, 10.0)]
    (found,) = told(store, [a_request(0, nested)])
    assert found.times["retrieve_p50_ms"] == 5.0
    assert found.times["latency_p50_ms"] == 17.0


def test_quantiles_are_those_of_requests(store: Stored) -> None:
    requests = [a_request(i, [("retrieve", 0.0, float(i))]) for i in range(101)]
    (found,) = told(store, requests)
    assert found.times["latency_p50_ms"] == pytest.approx(50.0)
    assert found.times["latency_p95_ms"] == pytest.approx(95.0)


def test_requests_that_failed_or_are_not_whole_do_not_count(store: Stored) -> None:
    whole = [("embed", 0.0, 2.0), ("retrieve", 2.0, 5.0)]
    requests = [a_request(i, whole) for i in range(3)]
    requests += [a_request("failed", whole, error=True), a_request("part", whole[1:])]
    (found,) = told(store, requests)
    assert (found.requests, found.times["latency_p95_ms"]) == (3, 7.0)


def test_every_revision_is_told_apart_and_others_are_not(store: Stored) -> None:
    told(store, [a_request(1, [("retrieve", 0.0, 4.0)])])
    told(store, [a_request(2, [("retrieve", 0.0, 9.0)])], replace(SHOP, revision="4"))
    told(store, [a_request(3, [("retrieve", 0.0, 1.0)])], replace(SHOP, revision=None))
    found = told(store, [a_request(4, [("retrieve", 0.0, 1.0)])], replace(SHOP, app="other"))
    assert [(s.revision, s.times["latency_p50_ms"]) for s in found] == [(3, 4.0), (4, 9.0)]
    assert store.look(lambda engine: served(engine, "shop", NOW + 1)) == []


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30))))
def test_the_length_of_intervals_is_that_of_their_union(pairs: list[tuple[int, int]]) -> None:
    intervals = [(start, start + took) for start, took in pairs]
    assert _length(intervals) == len({t for start, end in intervals for t in range(start, end)})
