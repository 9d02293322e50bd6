"""Protobuf and JSON of one message say the same, and bad records cost only themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from collectors.otlp.receive import Received, receive_logs, receive_metrics, receive_traces
from tests.collectors.otlp import wire
from tests.collectors.otlp.spans import (
    DIALECTS,
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
    source_of,
    span_id,
    trace_id,
)
from tests.collectors.otlp.wire import FIXED32, FIXED64, VARINT, field, tag, varint

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
        assert one.resource == other.resource == {"service.name": "app"}
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


# What protobuf alone can do wrong.


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"\x0a\x7f",
        Sent("cut").message.SerializeToString()[:-3],
        field(5, b"\xff\xfe"),
        field(9, field(2, field(5, b"")) * 3)[:-1],
    ],
    ids=["no tag", "too long", "cut", "not UTF-8", "cut inside"],
)
def test_a_span_that_is_not_protobuf_costs_only_itself(payload: bytes) -> None:
    a, c = (Sent(n, id=i).message.SerializeToString() for i, n in ((1, "a"), (3, "c")))
    found = receive_traces(wire.request(a, payload, c), None, PROTOBUF, source_of)
    assert [s.name for s in kept(found)] == ["a", "c"]
    assert found.rejected == 1
    assert "malformed protobuf" in found.message


def test_unknown_fields_of_protobuf_are_passed_over() -> None:
    unknown = field(77, b"later") + tag(78, VARINT) + varint(2**64 - 1)
    unknown += tag(79, FIXED64) + bytes(8) + tag(80, FIXED32) + bytes(4)
    span = Sent("a").message.SerializeToString() + unknown
    resource = unknown + field(2, unknown + field(2, span)) + field(3, b"schema")
    found = receive_traces(unknown + field(1, resource), None, PROTOBUF, source_of)
    assert [s.name for s in kept(found)] == ["a"]
    assert found.rejected == 0


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0b",
        b"\x0c",
        b"\x0f",
        b"\x09\x00",
        b"\x0d\x00",
        b"\x08",
        b"\xff" * 11,
        b"\x02\x00",
        b"{}",
        field(1, b"\x12\x02"),
        field(1, field(1, b"\xff")),
        field(1, field(1, field(1, field(1, b"\xff\xfe")))),
    ],
)
@pytest.mark.parametrize("receive", [receive_traces, receive_logs])
def test_outer_levels_that_are_not_protobuf_are_refused(
    body: bytes, receive: Callable[..., Received]
) -> None:
    with pytest.raises(PayloadError, match="malformed protobuf"):
        receive(body, None, PROTOBUF, source_of)


# What JSON alone can write.

GOOD: dict[str, Any] = {
    "traceId": trace_id(1).hex(),
    "spanId": span_id(1).hex(),
    "name": "good",
    "startTimeUnixNano": str(ns(0)),
    "endTimeUnixNano": str(ns(5)),
}


def from_json(*spans: Any, **outer: Any) -> Received:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}], **outer}
    return receive_traces(json.dumps(body).encode(), None, JSON, source_of)


def one(**fields: Any) -> Any:
    (span,) = kept(from_json({**GOOD, **fields}))
    return span


def test_ids_are_hexadecimal_in_either_case() -> None:
    span = one(traceId="ABCDEF" + "0" * 25 + "a", parentSpanId="00f067aa0ba902b7")
    assert span.trace_id.hex() == "abcdef" + "0" * 25 + "a"
    assert span.parent_id.hex() == "00f067aa0ba902b7"


def test_ids_in_base64_are_refused_by_name() -> None:
    found = from_json({**GOOD, "traceId": "W47/95gDgQPS5G+4r6PCYw=="}, GOOD)
    assert len(kept(found)) == 1
    assert "traceId 'W47/95gDgQPS5G+4r6PCYw==': expected hexadecimal digits" in found.message


def test_64_bit_integers_are_strings_or_numbers() -> None:
    key = "gen_ai.usage.input_tokens"
    for text in (str, int):
        tokens = {"key": key, "value": {"intValue": text(2**53 + 1)}}
        chat = {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}
        span = one(
            startTimeUnixNano=text(ns(1)),
            endTimeUnixNano=text(ns(1) + 3),
            attributes=[tokens, chat],
            flags=text(0x300),
            parentSpanId=span_id(9).hex(),
            droppedAttributesCount=text(3),
        )
        assert (span.start_ns, span.duration_ns, span.entry) == (ns(1), 3, True)
        assert span.facts == {"prompt_tokens": 2**53 + 1, "dropped": 3}


@pytest.mark.parametrize("code", [2, "STATUS_CODE_ERROR"])
def test_enums_are_integers_and_names_are_tolerated(code: object) -> None:
    assert one(status={"code": code}).error
    assert not one(status={"code": 1 if isinstance(code, int) else "STATUS_CODE_OK"}).error
    assert one(kind=3 if isinstance(code, int) else "SPAN_KIND_CLIENT").name == "good"


def test_unknown_fields_of_json_are_ignored() -> None:
    value = {"stringValue": "RETRIEVER", "laterValue": [1]}
    attribute = {"key": "openinference.span.kind", "value": value, "later": {}}
    span = one(later={"deep": [[{}]]}, attributes=[attribute], events=[{"name": "x", "later": 1}])
    assert span.kind == "retrieve"
    assert len(kept(from_json(GOOD, later=[None], partialSuccess={}))) == 1


def test_null_is_no_value() -> None:
    empty = dict.fromkeys(
        ("parentSpanId", "traceState", "flags", "attributes", "droppedAttributesCount", "events",
         "status", "kind", "links", "endTimeUnixNano")
    )  # fmt: skip
    span = one(**empty)
    assert (span.parent_id, span.entry, span.duration_ns, span.facts) == (None, True, None, {})
    attributes = [
        {"key": "input.value", "value": None},
        {"key": None, "value": {"stringValue": "x"}},
        {"key": "output.value", "value": {"stringValue": None, "arrayValue": {"values": None}}},
        {"key": "autorag.stage", "value": {"intValue": None, "stringValue": "retrieve"}},
    ]
    happened = [{"name": None, "timeUnixNano": None, "attributes": None}]
    span = one(name=None, status={"code": None}, attributes=attributes, events=happened)
    assert (span.name, span.kind, span.error) == ("", "retrieve", False)


@pytest.mark.parametrize(
    "body",
    [
        {"resourceSpans": None},
        {"resourceSpans": [{"resource": None, "scopeSpans": None}]},
        {"resourceSpans": [{"resource": {"attributes": None}, "scopeSpans": [{"spans": None}]}]},
        {"resourceSpans": [{"scopeSpans": [{"scope": None, "spans": []}]}]},
        {},
    ],
)
def test_an_empty_request_is_one(body: Any) -> None:
    found = receive_traces(json.dumps(body).encode(), None, JSON, source_of)
    assert (found.batch, found.rejected, found.message) == ([], 0, "")
    assert receive_logs(json.dumps(body).encode(), None, JSON, source_of) == found


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": 5},
        {"traceId": "zz" * 16},
        {"name": ["x"]},
        {"startTimeUnixNano": "noon"},
        {"startTimeUnixNano": 1.5},
        {"startTimeUnixNano": "-5"},
        {"endTimeUnixNano": "1" * 30},
        {"endTimeUnixNano": "1" * 5000},
        {"flags": "x"},
        {"attributes": {"input.value": "x"}},
        {"attributes": [{"key": "input.value", "value": "x"}]},
        {"attributes": [{"key": "input.value", "value": {"doubleValue": "many " * 99}}]},
        {"attributes": [{"key": "input.value", "value": {"intValue": "9" * 400}}]},
        {"attributes": [{"key": "input.value", "value": {"boolValue": "true"}}]},
        {"events": [5]},
        {"status": 2},
        {"droppedAttributesCount": 10**30},
    ],
)
def test_a_value_of_the_wrong_type_costs_only_its_span(fields: dict[str, Any]) -> None:
    found = from_json({**GOOD, **fields}, GOOD)
    assert len(kept(found)) == 1
    assert found.rejected == 1
    assert 5 < len(found.message) < 300


@pytest.mark.parametrize("bad", [None, 5, "x", [], [GOOD], True])
def test_what_is_no_object_costs_only_itself(bad: Any) -> None:
    found = from_json(bad, GOOD)
    assert (len(kept(found)), found.rejected) == (1, 1)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"5", b"{", b'{"resourceSpans": {}}', b'{"resourceSpans": [{]}',
     b'{"resourceSpans": [{"scopeSpans": [5]}]}', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000,
     b'{"resourceSpans": [{"resource": {"attributes": '
     b'[{"key": "service.name", "value": {"stringValue": 5}}]}}]}'],
)  # fmt: skip
def test_outer_levels_that_are_not_json_are_refused(body: bytes) -> None:
    with pytest.raises(PayloadError, match="malformed JSON"):
        receive_traces(body, None, JSON, source_of)


def test_half_a_character_costs_nothing_else() -> None:
    """JavaScript cuts texts between the halves of a character and writes the half as an escape."""
    body = json.dumps(
        {"resourceSpans": [{"scopeSpans": [{"spans": [
            {**GOOD, "name": "cut \ud83d"},
            {**GOOD, "name": "\ude00 cut", "spanId": span_id(2).hex()},
            {**GOOD, "name": "whole \U0001f600 \\ud83d", "spanId": span_id(3).hex()},
        ]}]}]}
    ).encode()  # fmt: skip
    assert rb"\ud83d\ude00 \\ud83d" in body
    found = receive_traces(body, None, JSON, source_of)
    names = ["cut \ufffd", "\ufffd cut", "whole \U0001f600 \\ud83d"]
    assert [s.name for s in kept(found)] == names


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_any_text_that_json_can_write_is_received(name: str, key: str) -> None:
    attribute = {"key": key, "value": {"stringValue": name}}
    assert len(kept(from_json({**GOOD, "name": name, "attributes": [attribute]}))) == 1


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
