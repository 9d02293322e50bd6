"""What JSON alone can write: names, strings for numbers, nulls, and other types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import PayloadError
from collectors.otlp.body import JSON
from collectors.otlp.receive import Received, receive_logs, receive_traces
from tests.collectors.otlp.spans import kept, ns, source_of, span_id, trace_id

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
