"""Judgements, in every way that they are sent, become observations of quality."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from autorag.telemetry import REQUEST, Span
from collectors.otlp.body import JSON, PROTOBUF
from collectors.otlp.receive import Received
from collectors.otlp.settle import BAD_LABELS, GOOD_LABELS, settle
from tests.collectors.otlp.spans import (
    Sent,
    arrived,
    facts,
    kept,
    key_values,
    log_request,
    ns,
    received,
    span_id,
    trace_id,
)
from tests.collectors.otlp.stories import KIND

RESULT = "gen_ai.evaluation.result"
NAME, SCORE, LABEL = (f"gen_ai.evaluation.{p}" for p in ("name", "score.value", "score.label"))
BOTH = pytest.mark.parametrize("type_", [PROTOBUF, JSON])


def log(attributes: dict[str, Any], **fields: Any) -> LogRecord:
    """An evaluation result of span 1 of trace 1, unless something else is said."""
    said = {"trace_id": trace_id(1), "span_id": span_id(1), "time_unix_nano": ns(9), **fields}
    return LogRecord(attributes=key_values(attributes), **said)


def quality(*spans: Span) -> dict[tuple[str, str], float]:
    trace = settle(spans[0].trace_id, spans, cut=False)
    told = [o for o in trace.observations if o.metric.startswith("quality.")]
    assert {o.unit for o in told} <= {"score"}
    return {(o.stage, o.metric): o.value for o in told}


@pytest.mark.parametrize("word", ["annotation", "evaluation"])
@pytest.mark.parametrize("scope", ["", "trace.", "session."])
def test_openinference_attributes(word: str, scope: str) -> None:
    prefix = f"{scope}{word}s"
    told = {
        KIND: "RETRIEVER",
        f"{prefix}.0.{word}.name": "relevance",
        f"{prefix}.0.{word}.score": 0.75,
        f"{prefix}.0.{word}.explanation": "the second passage answers it",
        f"{prefix}.1.{word}.name": "language",
        f"{prefix}.1.{word}.label": "english",
        f"{prefix}.2.{word}.label": "nameless",
        f"{prefix}.3.{word}.name": "neither score nor label",
        f"{prefix}.4.{word}.name": 5,
        f"{prefix}.4.{word}.score": 1,
    }
    assert facts("retrieve", told, parent=9) == {
        "evaluations": [["relevance", 0.75, None], ["language", None, "english"]]
    }


def test_span_events() -> None:
    events = [
        (RESULT, 0.5, {NAME: "faithfulness", SCORE: 1, LABEL: "pass"}),
        (RESULT, 0.6, {SCORE: 1}),
        ("exception", 0.7, {NAME: "no result", SCORE: 1}),
        (RESULT, 0.8, {NAME: "tone", LABEL: "polite"}),
    ]
    told = facts("chat", {"gen_ai.operation.name": "chat"}, parent=9, events=events)
    assert told == {"evaluations": [["faithfulness", 1, "pass"], ["tone", None, "polite"]]}


@BOTH
def test_log_records(type_: str) -> None:
    told = {NAME: "faithfulness", SCORE: 0.5, LABEL: "partly"}
    found = received(log_request(log(told, event_name=RESULT)), type_)
    assert (found.rejected, found.message) == (0, "")
    (span,) = kept(found)
    assert span.facts == {"evaluations": [["faithfulness", 0.5, "partly"]]}
    assert (span.trace_id, span.parent_id) == (trace_id(1), span_id(1))
    assert (span.entry, span.kind, span.start_ns, span.duration_ns) == (
        False,
        "evaluation",
        ns(9),
        0,
    )
    assert len(span.span_id) == 8


@BOTH
def test_a_result_is_known_by_its_attributes_where_events_have_no_names(type_: str) -> None:
    (span,) = kept(received(log_request(log({NAME: "tone", LABEL: "rude"})), type_))
    assert span.facts == {"evaluations": [["tone", None, "rude"]]}


@BOTH
def test_other_log_records_are_accepted_and_not_kept(type_: str) -> None:
    records = [log({}), log({"message": "started"}, event_name="app.started"), LogRecord()]
    assert received(log_request(*records), type_) == Received()


@pytest.mark.parametrize(
    ("attributes", "fields"),
    [
        ({SCORE: 1}, {"event_name": RESULT}),
        ({NAME: "tone"}, {}),
        ({NAME: "", SCORE: 1}, {}),
        ({NAME: 5, SCORE: 1}, {}),
        ({NAME: "tone", SCORE: "1"}, {}),
        ({NAME: "tone", SCORE: float("nan")}, {}),
        ({NAME: "tone", SCORE: 1}, {"time_unix_nano": 0}),
        ({NAME: "tone", SCORE: 1}, {"time_unix_nano": 2**63}),
    ],
)
@BOTH
def test_a_result_that_says_nothing_costs_only_itself(
    attributes: dict[str, Any], fields: dict[str, Any], type_: str
) -> None:
    good = log({NAME: "good", SCORE: 1})
    found = received(log_request(log(attributes, **fields), good), type_)
    assert [s.facts["evaluations"][0][0] for s in kept(found)] == ["good"]
    assert found.rejected == 1
    assert "evaluation result without a" in found.message


def test_a_result_that_is_sent_again_is_the_same_span() -> None:
    record = log({NAME: "tone", SCORE: 0.5})
    once, again = (kept(received(log_request(record))) for _ in range(2))
    assert once == again
    others = [
        log({NAME: "tone", SCORE: 0.25}),
        log({NAME: "length", SCORE: 0.5}),
        log({NAME: "tone", SCORE: 0.5}, span_id=span_id(2)),
        log({NAME: "tone", SCORE: 0.5}, time_unix_nano=ns(10)),
    ]
    ids = {s.span_id for s in kept(received(log_request(record, *others)))}
    assert len(ids) == 1 + len(others)


def test_the_time_that_a_collector_saw_it_stands_in() -> None:
    record = log({NAME: "tone", SCORE: 1}, time_unix_nano=0, observed_time_unix_nano=ns(7))
    assert kept(received(log_request(record)))[0].start_ns == ns(7)


@pytest.mark.parametrize("trace", [b"", bytes(16), b"\1" * 8])
def test_a_result_without_a_trace_has_one_of_its_own(trace: bytes) -> None:
    (span,) = kept(received(log_request(log({NAME: "tone", SCORE: 1}, trace_id=trace))))
    assert (len(span.trace_id), span.parent_id) == (16, None)
    assert any(span.trace_id)
    assert quality(span) == {(REQUEST, "quality.tone"): 1.0}


@pytest.mark.parametrize("span", [b"", bytes(8), b"\1" * 4])
def test_a_result_without_a_span_is_about_the_request(span: bytes) -> None:
    (judged,) = kept(received(log_request(log({NAME: "tone", SCORE: 1}, span_id=span))))
    (root,) = arrived(Sent("retrieve", {KIND: "RETRIEVER"}))
    assert judged.parent_id is None
    assert quality(root, judged) == {(REQUEST, "quality.tone"): 1.0}
    assert settle(root.trace_id, [root, judged], cut=False).complete


def test_a_judgement_belongs_to_the_stage_that_it_judges() -> None:
    said = {f"annotations.0.annotation.{k}": v for k, v in (("name", "good"), ("score", 0.5))}
    spans = arrived(
        Sent("ask", {KIND: "CHAIN", **said}, id=1),
        Sent("retrieve", {KIND: "RETRIEVER", **said}, id=2, parent=1),
        Sent("judge", {KIND: "EVALUATOR", **said}, id=3, parent=2),
        Sent("answer", {KIND: "LLM", **said}, id=4, parent=1),
        Sent("tool", {KIND: "TOOL", **said}, id=5, parent=4),
    )
    trace = settle(spans[0].trace_id, spans, cut=False)
    judged = [o.stage for o in trace.observations if o.metric == "quality.good"]
    assert sorted(judged) == ["generate", "generate", REQUEST, "retrieve", "retrieve"]


def test_a_log_record_is_about_the_span_that_it_names() -> None:
    spans = arrived(
        Sent("ask", {KIND: "CHAIN"}, id=1), Sent("answer", {KIND: "LLM"}, id=2, parent=1)
    )
    records = [log({NAME: "a", SCORE: 0.1}), log({NAME: "b", SCORE: 0.2}, span_id=span_id(2))]
    judged = kept(received(log_request(*records)))
    assert quality(*judged, *spans) == {
        (REQUEST, "quality.a"): 0.1,
        ("generate", "quality.b"): 0.2,
    }


@pytest.mark.parametrize(
    ("label", "score"),
    [("pass", 1), ("Correct", 1), (" relevant ", 1), ("👍", 1), ("fail", 0), ("INCORRECT", 0),
     ("not relevant", 0), ("not_relevant", 0), ("👎", 0), ("partly", None), ("", None)],
)  # fmt: skip
def test_a_label_is_a_score_where_there_is_none(label: str, score: float | None) -> None:
    spans = kept(received(log_request(log({NAME: "q", LABEL: label}))))
    assert list(quality(*spans).values()) == ([] if score is None else [score])
    both = kept(received(log_request(log({NAME: "q", LABEL: label, SCORE: 0.5}))))
    assert list(quality(*both).values()) == [0.5]


def test_no_label_is_both_good_and_bad() -> None:
    assert not GOOD_LABELS & BAD_LABELS
    assert all(w == w.strip().lower().replace(" ", "_") for w in GOOD_LABELS | BAD_LABELS)


@given(st.floats(-1e6, 1e6) | st.integers(-(2**53), 2**53))
def test_a_score_is_kept_as_it_is(score: float) -> None:
    (span,) = kept(received(log_request(log({NAME: "q", SCORE: score}))))
    stored = json.loads(json.dumps(span.facts))
    assert list(quality(span._replace(facts=stored)).values()) == [score]
