"""Protobuf and JSON of one message say the same, and bad records cost only themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1 import trace_pb2

from autorag.errors import PayloadError
from collectors.otlp import json_format, protobuf
from collectors.otlp.attributes import Attributes
from collectors.otlp.body import JSON, PROTOBUF
from collectors.otlp.dialects import FIRST_TOKEN_EVENTS, GROUPS, WANTED
from collectors.otlp.raw import BadRecord, RawSpan
from collectors.otlp.receive import receive_metrics
from tests.collectors.otlp.spans import (
    Sent,
    any_value,
    as_json,
    kept,
    key_values,
    log_request,
    ns,
    of_messages,
    received,
    request,
)
from tests.collectors.otlp.stories import DIALECTS

BOTH = pytest.mark.parametrize("type_", [PROTOBUF, JSON])

KEYS = sorted(WANTED) + [
    f"{group}.{number}.{field}"
    for group, fields in GROUPS.items()
    for number in (0, 1, 37)
    for field in (*fields, "other")
]
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats()
leaves = st.none() | st.booleans() | numbers | st.text() | st.binary(max_size=9)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
words = st.sampled_from(
    ["RETRIEVER", "LLM", "RERANKER", "EMBEDDING", "CHAIN", "chat", "retrieval", "rerank", "chunk"]
)
attributes = st.dictionaries(st.sampled_from(KEYS) | st.text(), words | values, max_size=12)
times = st.just(ns(0)) | st.integers(0, 2**64 - 1)
events = st.builds(
    lambda name, at, some: trace_pb2.Span.Event(
        name=name, time_unix_nano=at, attributes=key_values(some)
    ),
    st.sampled_from(sorted(FIRST_TOKEN_EVENTS)) | st.text(),
    times,
    attributes,
)
messages = st.builds(
    lambda some, happened, **fields: trace_pb2.Span(
        attributes=key_values(some), events=happened, **fields
    ),
    attributes,
    st.lists(events, max_size=3),
    trace_id=st.binary(min_size=16, max_size=16) | st.binary(max_size=20),
    span_id=st.binary(min_size=8, max_size=8) | st.binary(max_size=9),
    parent_span_id=st.just(b"") | st.binary(min_size=8, max_size=8),
    name=st.text(),
    start_time_unix_nano=times,
    end_time_unix_nano=times,
    trace_state=st.text() | st.from_regex(r"\A(a=b,)?ot=th:[0-9a-f]{1,14}\Z"),
    flags=st.integers(0, 2**32 - 1),
    dropped_attributes_count=st.integers(0, 2**32 - 1),
    status=st.builds(trace_pb2.Status, code=st.integers(0, 2)),
)


def plain(span: RawSpan | BadRecord) -> str:
    """A raw span in words (a NaN is not equal to itself)."""
    if isinstance(span, BadRecord):
        return repr(span)
    lists: list[Attributes] = [span.attributes, *(e.attributes for e in span.events)]
    names = [(e.name, e.time_ns) for e in span.events]
    fields = [getattr(span, n) for n in RawSpan.__slots__ if n not in ("attributes", "events")]
    return repr((fields, names, [(a.scalars, a.groups) for a in lists]))


@given(st.lists(messages, max_size=4), attributes)
def test_both_encodings_say_the_same(spans: list[trace_pb2.Span], resource: dict[str, Any]) -> None:
    message = of_messages(spans)
    message.resource_spans[0].resource.attributes.extend(key_values(resource))
    message.resource_spans[0].resource.attributes.add(key="service.name", value=any_value("app"))
    pairs = zip(
        protobuf.spans(message.SerializeToString()),
        json_format.spans(as_json(message)),
        strict=True,
    )
    for one, other in pairs:
        assert one.resource["service.name"] == "app"
        assert repr(one.resource) == repr(other.resource)
        assert list(map(plain, one.records)) == list(map(plain, other.records))
    assert received(message) == received(message, JSON)


@given(st.lists(messages, max_size=4))
def test_nothing_is_lost_between_the_message_and_the_raw_span(spans: list[trace_pb2.Span]) -> None:
    (group,) = protobuf.spans(of_messages(spans).SerializeToString())
    for sent, raw in zip(spans, group.records, strict=True):
        assert (raw.trace_id, raw.span_id) == (sent.trace_id, sent.span_id)
        assert raw.parent_id == sent.parent_span_id
        assert (raw.start_ns, raw.end_ns) == (sent.start_time_unix_nano, sent.end_time_unix_nano)
        assert (raw.name, raw.flags, raw.trace_state) == (sent.name, sent.flags, sent.trace_state)
        assert (raw.failed, raw.dropped) == (sent.status.code == 2, sent.dropped_attributes_count)
        texts = {a.key: a.value.string_value for a in sent.attributes if a.value.string_value}
        assert {k: v for k, v in raw.attributes.scalars.items() if v and isinstance(v, str)} == {
            k: v for k, v in texts.items() if k in WANTED
        }
        assert [(e.name, e.time_ns) for e in raw.events] == [
            (e.name, e.time_unix_nano) for e in sent.events
        ]


log_records = st.builds(
    lambda some, **fields: LogRecord(attributes=key_values(some), **fields),
    st.fixed_dictionaries(
        {},
        optional={
            "gen_ai.evaluation.name": st.text() | values,
            "gen_ai.evaluation.score.value": numbers | values,
            "gen_ai.evaluation.score.label": st.text() | values,
        },
    ),
    trace_id=st.binary(min_size=16, max_size=16) | st.binary(max_size=20),
    span_id=st.binary(min_size=8, max_size=8) | st.binary(max_size=9),
    event_name=st.sampled_from(["", "gen_ai.evaluation.result", "other"]),
    time_unix_nano=times,
    observed_time_unix_nano=times,
)


@given(st.lists(log_records, max_size=4))
def test_both_encodings_of_logs_say_the_same(records: list[LogRecord]) -> None:
    message = log_request(*records)
    assert received(message) == received(message, JSON)


@pytest.mark.parametrize("dialect", DIALECTS)
@BOTH
def test_every_span_of_a_dialect_arrives(dialect: str, type_: str) -> None:
    sent = DIALECTS[dialect]()
    found = received(request(sent, service__name="rivers", autorag__revision="7"), type_)
    (batch,) = found.batch
    assert (batch[0].service, batch[0].revision) == ("rivers", "7")
    assert [s.name for s in batch[1]] == [s.name for s in sent]
    assert (found.rejected, found.message) == (0, "")


@BOTH
def test_resources_stay_apart(type_: str) -> None:
    message = request([Sent("a", id=1), Sent("b", id=2)], service__name="first")
    message.MergeFrom(request([Sent("c", id=3)], service__name="second"))
    message.resource_spans[1].scope_spans.add().spans.add().CopyFrom(Sent("d", id=4).message)
    found = [
        (source.service, [s.name for s in spans])
        for source, spans in received(message, type_).batch
    ]
    assert found == [("first", ["a", "b"]), ("second", ["c", "d"])]


# One span that is wrong, between two that are not.

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no trace id": ({"trace_id": b""}, "trace id ''"),
    "a zero trace id": ({"trace_id": bytes(16)}, "not all zero"),
    "a short trace id": ({"trace_id": b"\1" * 15}, "trace id '010101"),
    "a long trace id": ({"trace_id": b"\1" * 17}, "trace id '010101"),
    "no span id": ({"span_id": b""}, "span id ''"),
    "a zero span id": ({"span_id": bytes(8)}, "not all zero"),
    "a long span id": ({"span_id": b"\2" * 16}, "span id '020202"),
    "a short parent": ({"parent_span_id": b"\3" * 4}, "parent span id '03030303'"),
    "no start": ({"start_time_unix_nano": 0}, "start time 0"),
    "a start beyond all time": ({"start_time_unix_nano": 2**63}, f"start time {2**63}"),
}


@pytest.mark.parametrize("wrong", BAD)
@BOTH
def test_a_bad_span_costs_only_itself_and_says_why(wrong: str, type_: str) -> None:
    fields, reason = BAD[wrong]
    bad = Sent("bad", id=2).message
    for name, value in fields.items():
        setattr(bad, name, value)
    found = received(of_messages([Sent("a", id=1).message, bad, Sent("c", id=3).message]), type_)
    assert [s.name for s in kept(found)] == ["a", "c"]
    assert found.rejected == 1
    assert found.message.startswith("1 × ")
    assert reason in found.message


def test_reasons_are_counted_and_only_the_commonest_are_told() -> None:
    bad = [Sent("bad", id=n).message for n in range(1, 9)]
    for span in bad[:4]:
        span.trace_id = b""
    for number, span in enumerate(bad[4:]):
        span.span_id = bytes([1 + number])
    found = received(of_messages([*bad, Sent("good", id=99).message]))
    assert found.rejected == 8
    assert found.message.startswith("4 × trace id ''")
    assert found.message.count("×") == 3
    assert found.message.endswith("and 2 other reasons")


@BOTH
def test_the_latest_time_is_kept(type_: str) -> None:
    span = Sent("late").message
    span.start_time_unix_nano = span.end_time_unix_nano = 2**63 - 1
    (found,) = kept(received(of_messages([span]), type_))
    assert (found.start_ns, found.duration_ns) == (2**63 - 1, 0)


@pytest.mark.parametrize("end", [0, ns(0) - 1, 2**63, 2**64 - 1])
@BOTH
def test_an_end_that_cannot_be_leaves_the_duration_unknown(end: int, type_: str) -> None:
    span = Sent("odd").message
    span.end_time_unix_nano = end
    (found,) = kept(received(of_messages([span]), type_))
    assert found.duration_ns is None


# Metrics are counted, and nothing else.


@pytest.mark.parametrize("scopes", [[], [0], [1], [2, 3], [0, 4]])
def test_metrics_are_counted_in_both_encodings(scopes: list[int]) -> None:
    message = ExportMetricsServiceRequest()
    for number in scopes:
        scope = message.resource_metrics.add().scope_metrics.add()
        for i in range(number):
            scope.metrics.add(name=f"m{i}").gauge.data_points.add(as_double=1.5)
    assert receive_metrics(message.SerializeToString(), None, PROTOBUF) == sum(scopes)
    assert receive_metrics(as_json(message), None, JSON) == sum(scopes)


@BOTH
def test_metrics_that_cannot_be_read_are_refused(type_: str) -> None:
    with pytest.raises(PayloadError, match="malformed"):
        receive_metrics(b"\x0b", None, type_)
