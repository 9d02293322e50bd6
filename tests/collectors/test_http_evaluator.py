"""Measuring through a real evaluator on loopback: one that answers well, late, wrongly, or not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import psutil
import pytest

from autorag.errors import (
    AddressError,
    MeasurementCancelled,
    MeasurementError,
    UnavailableError,
    UnreachableError,
    WorkCancelled,
)
from autorag.evaluation.gold import GoldUnit
from autorag.hashing import ADDRESS_BYTES
from autorag.ports import Measurement
from autorag.queries import Query
from autorag.workload import Workload
from collectors.http_evaluator import BATCH, HttpMeasurer, check_evaluator
from collectors.outbound import Outbound
from tests.autorag.pipeline.corpus import documents, queries, workload
from tests.evaluator import Change, Row, config, evaluating
from tests.loopback import Reply, serving

LOOPBACK = Outbound([ip_network("127.0.0.0/8")])
IDS = [q.id for q in queries()]
RANKING = {"recall_at_1", "recall_at_5", "recall_at_10", "ndcg_at_10", "mrr_at_10"}
LATENCY = {"latency_p50_ms", "latency_p95_ms"}

HOLDER = """
import sys
from collectors.lease import measuring_lease
with measuring_lease():
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def lease_of_this_test(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """A lease that no other measurement on this host holds."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@contextmanager
def measurer(change: Change | None = None, **options: Any) -> Iterator[HttpMeasurer]:
    with evaluating(documents(), change) as server:
        yield HttpMeasurer(workload(), server.url, LOOPBACK, **options)


def measured(change: Change | None = None, **options: Any) -> Measurement:
    with measurer(change) as asked:
        return asked.measure(config(search__fields="text"), IDS, **options)


# -- what comes out ----------------------------------------------------------------------------


def test_rankings_times_and_memory_become_metrics() -> None:
    found = measured()
    assert found.metrics.keys() == RANKING | LATENCY | {"memory_mb"}
    assert found.metrics["ndcg_at_10"] > 0.6
    assert found.metrics["latency_p95_ms"] == pytest.approx(8.5)
    assert found.metrics["memory_mb"] == 12.5
    assert found.stages == {
        "retrieve": {"p50_ms": 8.0, "p95_ms": 8.0},
        "rerank": {"p50_ms": 0.5, "p95_ms": 0.5},
    }
    assert [q.query for q in found.queries] == IDS
    assert all(len(bytes.fromhex(i)) == ADDRESS_BYTES for q in found.queries for i in q.chunk_ids)
    assert all(len(q.scores) == len(q.chunk_ids) == 3 for q in found.queries)
    assert found.conditions["seconds"] > 0


def test_the_config_decides() -> None:
    with measurer() as asked:
        by_title, by_text = (
            asked.measure(config(search__fields=f), IDS).metrics["ndcg_at_10"]
            for f in ("title", "text")
        )
    assert by_title < by_text


def test_the_evaluator_is_asked_as_the_contract_says() -> None:
    with evaluating(documents()) as server:
        asked = HttpMeasurer(workload(), f"{server.url}/", LOOPBACK)
        asked.measure(config(), IDS[:2])
        asked.measure(config(), IDS[:2], generate=True)
    plain, generating = (json.loads(r.content) for r in server.asked)
    assert plain == {
        "config": {"search.fields": "title", "search.limit": 3},
        "queries": [{"id": q.id, "question": q.question} for q in queries()[:2]],
    }
    assert generating == {**plain, "generate": True}


def test_answers_are_judged_where_there_are_gold_answers() -> None:
    found = measured(generate=True)
    answer = {"answer_f1", "answer_em", "ttft_p95_ms", "end_to_end_p95_ms"}
    assert found.metrics.keys() == RANKING | LATENCY | answer | {"memory_mb"}
    assert 0 < found.metrics["answer_f1"] < 1
    assert found.metrics["ttft_p95_ms"] == pytest.approx(28.5)
    assert found.metrics["end_to_end_p95_ms"] == pytest.approx(108.5)


def judged(*doc_ids: str, gold: tuple[str, ...] = ("tea",)) -> dict[str, float]:
    """The metrics of one query that is answered with these documents."""
    query = Query("q", "What?", tuple(GoldUnit(doc, ((0, 5),)) for doc in gold))
    asked = Workload("one", tuple(documents()), (query,))
    with serving(
        lambda r: Reply(content=json.dumps({"results": [{"id": "q", "doc_ids": doc_ids}]}).encode())
    ) as server:
        return dict(HttpMeasurer(asked, server.url, LOOPBACK).measure(config(), ["q"]).metrics)


def test_a_chunk_of_a_document_finds_it_and_repeats_take_no_rank() -> None:
    assert judged("tea")["mrr_at_10"] == 1.0
    assert judged("piano", "piano", "tea", "piano", "tea")["mrr_at_10"] == 0.5
    both = judged("tea", "tea", "tea", "piano", gold=("tea", "piano"))
    assert both["ndcg_at_10"] == 1.0
    assert judged("tea", "tea", gold=("tea", "piano"))["recall_at_10"] == 0.5
    assert judged()["recall_at_10"] == 0.0


def test_documents_of_the_index_that_are_not_of_the_workload_are_wrong_answers() -> None:
    assert judged("something-else", "tea")["mrr_at_10"] == 0.5


def drop(*keys: str, only: str | None = None) -> Change:
    """Leave keys out of the results, of one query or of all."""

    def change(body: Row, row: Row) -> None:
        for result in row["results"]:
            for key in keys if only in (None, result["id"]) else ():
                del result[key]

    return change


def test_what_is_not_returned_is_absent() -> None:
    def bare(body: Row, row: Row) -> Row:
        drop("stage_ms", "scores")(body, row)
        return {"results": row["results"]}

    found = measured(bare)
    assert found.metrics.keys() == RANKING
    assert found.stages == {}


def test_latency_is_absent_where_one_query_was_not_timed() -> None:
    assert measured(drop("stage_ms", only="q3")).metrics.keys() == RANKING | {"memory_mb"}


def test_context_tokens_count_when_they_are_told_for_all() -> None:
    def tokens(some: bool) -> Change:
        def change(body: Row, row: Row) -> None:
            for i, result in enumerate(row["results"]):
                result["context_tokens"] = None if some and i == 3 else 100 + i

        return change

    assert measured(tokens(some=False)).metrics["context_tokens"] == pytest.approx(104.5)
    assert "context_tokens" not in measured(tokens(some=True)).metrics


def test_without_a_first_token_there_is_still_an_end() -> None:
    def unstreamed(body: Row, row: Row) -> None:
        for result in row["results"]:
            del result["stage_ms"]["ttft"]

    found = measured(unstreamed, generate=True).metrics
    assert "end_to_end_p95_ms" in found
    assert "ttft_p95_ms" not in found


def many() -> Workload:
    some = tuple(
        Query(f"m{i}", f"Question {i} on {d.title}?", (GoldUnit(d.id),))
        for i, d in enumerate(documents() * 2)
    )
    return Workload("many", tuple(documents()), some)


def test_queries_go_in_batches_and_progress_is_told() -> None:
    built = [3.5, 0.0, 0.0]
    told: list[tuple[str, int, int]] = []

    def first_builds(body: Row, row: Row) -> None:
        row["build_s"] = built.pop(0)

    ids = [q.id for q in many().queries]
    with evaluating(documents(), first_builds) as server:
        asked = HttpMeasurer(many(), server.url, LOOPBACK)
        found = asked.measure(config(), ids, progress=lambda *row: told.append(row))
    sizes = [len(json.loads(r.content)["queries"]) for r in server.asked]
    assert sizes == [BATCH, BATCH, len(ids) - 2 * BATCH]
    assert told == [("query", start, len(ids)) for start in (0, BATCH, 2 * BATCH)]
    assert [q.query for q in found.queries] == ids
    assert found.metrics["build_s"] == 3.5


# -- wrong answers -----------------------------------------------------------------------------


def with_(key: str, value: Any) -> Change:
    """Put a value into the result of ``q3``."""

    def change(body: Row, row: Row) -> None:
        for result in row["results"]:
            if result["id"] == "q3":
                result[key] = value

    return change


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("doc_ids", None),
        ("doc_ids", "tea"),
        ("doc_ids", ["tea", 7]),
        ("doc_ids", ["\ud800"]),
        ("doc_ids", ["tea"] * 1001),
        ("scores", [1.0]),
        ("scores", [1, 2, "3"]),
        ("scores", [1, 2, float("nan")]),
        ("scores", [1, 2, 10**400]),
        ("stage_ms", [5]),
        ("stage_ms", {"total": 5.0}),
        ("stage_ms", {"retrieve": -1}),
        ("stage_ms", {"retrieve": "5"}),
        ("stage_ms", {"retrieve": True}),
        ("stage_ms", {"retrieve": float("inf")}),
        ("context_tokens", -5),
        ("context_tokens", "many"),
        ("answer", 42),
    ],
)
def test_a_wrong_figure_is_an_error_that_names_query_and_key(key: str, value: Any) -> None:
    with pytest.raises(MeasurementError, match=rf"query 'q3': '{key}"):
        measured(with_(key, value))


@pytest.mark.parametrize("value", [-1, "12", True, float("nan")])
def test_wrong_memory_is_an_error(value: Any) -> None:
    with pytest.raises(MeasurementError, match="'memory_mb'"):
        measured(lambda body, row: {**row, "memory_mb": value})


def test_every_query_is_answered_once() -> None:
    def results(body: Row, row: Row) -> list[Row]:
        return list(row["results"])

    with pytest.raises(MeasurementError, match="query 'q0': not answered"):
        measured(lambda body, row: {"results": results(body, row)[1:]})
    with pytest.raises(MeasurementError, match="query 'q9': answered twice"):
        measured(lambda body, row: {"results": results(body, row) + results(body, row)[-1:]})
    for stranger in ({"id": "x", "doc_ids": []}, {"doc_ids": []}, {"id": 3}, "q0", None):
        with pytest.raises(MeasurementError, match="not the id of a query that was asked"):
            measured(lambda body, row: {"results": [*row["results"], stranger]})  # noqa: B023


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b"{}", b'{"results": {}}', b"[" * 100_000, b"\xff"]
)
def test_what_is_no_answer_is_an_error(content: bytes) -> None:
    with pytest.raises(MeasurementError, match="the evaluator's answer"):
        measured(lambda body, row: Reply(200, content))


def test_ids_that_are_none_of_the_documents_are_an_error() -> None:
    def chunk_numbers(body: Row, row: Row) -> None:
        for result in row["results"]:
            result["doc_ids"] = [f"chunk-{i}" for i in range(3)]

    with pytest.raises(MeasurementError, match=r"none of the doc_ids .*'chunk-0'"):
        measured(chunk_numbers)


@pytest.mark.parametrize("status", [400, 404, 422, 500])
@pytest.mark.parametrize(
    "content",
    [
        b'{"type": "about:blank", "detail": "search.limit: too large"}',
        b'{"detail": [{"msg": "search.limit: too large"}]}',
        b"search.limit: too large\n\x1b[2J" + b"." * 10_000,
    ],
)
def test_a_refusal_is_an_error_with_status_and_reason(status: int, content: bytes) -> None:
    with pytest.raises(MeasurementError, match=f"answered {status}: ") as caught:
        measured(lambda body, row: Reply(status, content))
    text = str(caught.value)
    assert "search.limit: too large" in text
    assert len(text) < 400
    assert text.isprintable()


def test_a_metric_that_is_needed_and_not_returned_is_named() -> None:
    needed = ("ndcg_at_10", "latency_p95_ms", "build_s")
    with (
        measurer(drop("stage_ms"), needed=needed) as asked,
        pytest.raises(MeasurementError, match="latency_p95_ms, build_s"),
    ):
        asked.measure(config(), IDS)


# -- restarts, deadlines, cancels --------------------------------------------------------------


def test_a_restarting_evaluator_is_asked_again() -> None:
    with evaluating(documents()) as before:
        asked = HttpMeasurer(workload(), before.url, LOOPBACK, waits_s=(0.1,) * 100)
    result: list[Measurement] = []
    thread = threading.Thread(target=lambda: result.append(asked.measure(config(), IDS)))
    thread.start()
    time.sleep(0.3)
    assert not result
    with evaluating(documents(), port=before.port):
        thread.join(20)
    assert result[0].metrics["ndcg_at_10"] > 0


def test_an_evaluator_that_hangs_up_is_asked_four_times() -> None:
    with evaluating(documents(), lambda body, row: Reply(content=None)) as server:
        asked = HttpMeasurer(workload(), server.url, LOOPBACK, waits_s=(0.01, 0.01, 0.01))
        with pytest.raises(UnreachableError):
            asked.measure(config(), IDS)
    assert len(server.asked) == 4


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 401, 404])
def test_what_says_nothing_about_the_config_is_no_failure_of_it(status: int) -> None:
    with evaluating(documents(), lambda body, row: Reply(status, b"not now")) as server:
        asked = HttpMeasurer(workload(), server.url, LOOPBACK)
        with pytest.raises(UnavailableError, match=f"answered {status}: not now"):
            asked.measure(config(), IDS)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [400, 422])
def test_a_config_that_cannot_be_run_is_a_failure(status: int) -> None:
    with pytest.raises(MeasurementError) as caught:
        measured(lambda body, row: Reply(status, b"no such index"))
    assert not isinstance(caught.value, UnreachableError)


@pytest.mark.parametrize("status", [429, 503])
def test_an_evaluator_that_asks_for_a_pause_gets_it(status: int) -> None:
    times: list[float] = []

    def busy(body: Row, row: Row) -> Reply | None:
        times.append(time.monotonic())
        return Reply(status, b"", {"Retry-After": "1"}) if len(times) == 1 else None

    assert measured(busy).metrics["ndcg_at_10"] > 0
    assert times[1] - times[0] >= 1


@pytest.mark.parametrize("asked_for", ["3600", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "soon"])
def test_a_pause_that_is_too_long_or_not_understood_is_not_waited_for(asked_for: str) -> None:
    with pytest.raises(UnavailableError):
        measured(lambda body, row: Reply(503, b"", {"Retry-After": asked_for}))


def slow(seconds: float) -> Change:
    def change(body: Row, row: Row) -> None:
        time.sleep(seconds)

    return change


def test_past_the_deadline_it_is_not_waited_for() -> None:
    with measurer(slow(3)) as asked, pytest.raises(MeasurementCancelled, match="deadline"):
        asked.measure(config(), IDS, deadline=time.monotonic() + 0.3)


def test_a_deadline_in_the_past_asks_nothing() -> None:
    with evaluating(documents()) as server:
        asked = HttpMeasurer(workload(), server.url, LOOPBACK)
        with pytest.raises(MeasurementCancelled):
            asked.measure(config(), IDS, deadline=time.monotonic() - 1)
    assert server.asked == []


def test_it_is_cancelled_while_an_answer_is_waited_for() -> None:
    enough, answered = threading.Event(), threading.Event()

    def late(body: Row, row: Row) -> None:
        answered.wait(20)
        answered.set()

    with evaluating(documents(), late) as server:
        asked = HttpMeasurer(workload(), server.url, LOOPBACK, cancelled=enough.is_set)
        threading.Timer(0.3, enough.set).start()
        with pytest.raises(WorkCancelled):
            asked.measure(config(), IDS)
        assert not answered.is_set()
    assert len(server.asked) == 1


def test_it_is_cancelled_while_a_gone_evaluator_is_waited_for() -> None:
    enough = threading.Event()
    with evaluating(documents()) as server:
        asked = HttpMeasurer(
            workload(), server.url, LOOPBACK, cancelled=enough.is_set, waits_s=(60.0,)
        )
    threading.Timer(0.3, enough.set).start()
    with pytest.raises(WorkCancelled):
        asked.measure(config(), IDS)


@contextmanager
def other_measurement() -> Iterator[None]:
    """Another process that holds the measuring lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
    finally:
        process.kill()
        process.communicate()


def test_on_this_host_it_waits_for_other_measurements() -> None:
    told: list[str] = []
    with evaluating(documents()) as server:
        asked = HttpMeasurer(workload(), server.url, LOOPBACK)
        with other_measurement(), pytest.raises(MeasurementCancelled):
            asked.measure(
                config(),
                IDS,
                deadline=time.monotonic() + 0.4,
                progress=lambda stage, *_: told.append(stage),
            )
        assert server.asked == []
        assert told == ["waiting for another measurement"]
        asked.measure(config(), IDS)


def test_another_address_of_this_host_is_this_host() -> None:
    own = [
        row.address
        for rows in psutil.net_if_addrs().values()
        for row in rows
        if row.family == socket.AF_INET and not row.address.startswith("127.")
    ]
    if not own:
        pytest.skip("this host has no address but loopback")
    rounds = iter([[own[0]]])
    with evaluating(documents()) as server:
        networks = [*LOOPBACK.allowed_networks, ip_network(own[0])]
        here = Outbound(networks, lambda host, port: next(rounds, ["127.0.0.1"]))
        asked = HttpMeasurer(workload(), f"http://here.test:{server.port}", here)
        with other_measurement(), pytest.raises(MeasurementCancelled):
            asked.measure(config(), IDS, deadline=time.monotonic() + 0.4)
    assert server.asked == []


def test_elsewhere_it_waits_for_nobody() -> None:
    rounds = iter([["93.184.216.34"]])
    with evaluating(documents()) as server:
        elsewhere = Outbound(
            LOOPBACK.allowed_networks, lambda host, port: next(rounds, ["127.0.0.1"])
        )
        asked = HttpMeasurer(workload(), f"http://elsewhere.test:{server.port}", elsewhere)
        with other_measurement():
            assert asked.measure(config(), IDS).metrics


# -- its URL -----------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://10.0.0.1", "ftp://127.0.0.1", "http://127.0.0.1/?a=b"])
def test_an_evaluator_that_must_not_be_called_is_refused_by_name(url: str) -> None:
    with pytest.raises(AddressError, match="evaluator") as caught:
        check_evaluator(url, LOOPBACK)
    assert (caught.value.key, caught.value.value) == ("evaluator", url)
    with pytest.raises(AddressError):
        HttpMeasurer(workload(), url, LOOPBACK)
