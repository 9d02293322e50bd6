"""Limits are exact, and a hostile body costs no more than they say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from autorag.errors import PayloadTooLargeError
from collectors.otlp.body import BODY_LIMIT, JSON, PROTOBUF
from collectors.otlp.json_format import MAX_VALUES
from collectors.otlp.raw import MAX_ATTRIBUTES, MAX_PARTS, MAX_RECORDS, RECORD_LIMIT
from collectors.otlp.receive import receive_metrics, receive_traces
from tests.collectors.otlp.hostile import BODIES, MADE
from tests.collectors.otlp.spans import Sent, encoded, kept, of_messages, source_of
from tests.collectors.otlp.wire import VARINT, field, tag

BOTH = pytest.mark.parametrize("type_", [PROTOBUF, JSON])
MOST_MIB = 10 * BODY_LIMIT >> 20
"""Memory that one request may take beside what the process has."""

QUICK = ("bomb", "heads", "records of many scopes", "links", "JSON: scopes", "JSON: records")
EVERY = (*MADE, *BODIES)


def metrics(records: int, type_: str) -> bytes:
    """So many records that say nothing, in two scopes."""
    halves = records // 2, records - records // 2
    if type_ == JSON:
        scopes = [{"metrics": [0] * half} for half in halves]
        return json.dumps({"resourceMetrics": [{"scopeMetrics": scopes}]}).encode()
    return field(1, b"".join(field(2, field(2, b"") * half) for half in halves))


@BOTH
def test_the_limit_of_records_is_exact_and_that_of_all_scopes(type_: str) -> None:
    assert receive_metrics(metrics(MAX_RECORDS, type_), None, type_) == MAX_RECORDS
    with pytest.raises(PayloadTooLargeError, match=f"{MAX_RECORDS} records"):
        receive_metrics(metrics(MAX_RECORDS + 1, type_), None, type_)


def scopes_of_protobuf(number: int) -> bytes:
    return field(1, field(2, b"") * (number - 1))


def scopes_of_json(number: int) -> bytes:
    return b'{"resourceSpans":[{"scopeSpans":[' + b",".join([b"{}"] * (number - 1)) + b"]}]}"


@pytest.mark.parametrize(
    ("type_", "body"), [(PROTOBUF, scopes_of_protobuf), (JSON, scopes_of_json)], ids=["pb", "json"]
)
def test_the_limit_of_scopes_is_exact(type_: str, body: Callable[[int], bytes]) -> None:
    assert receive_traces(body(MAX_PARTS), None, type_, source_of).batch == []
    with pytest.raises(PayloadTooLargeError, match=str(MAX_PARTS)):
        receive_traces(body(MAX_PARTS + 1), None, type_, source_of)


def test_what_stands_beside_the_records_counts() -> None:
    unknown = tag(9, VARINT) + b"\0"
    assert receive_metrics(unknown * MAX_PARTS, None, PROTOBUF) == 0
    with pytest.raises(PayloadTooLargeError, match=str(MAX_PARTS)):
        receive_metrics(unknown * (MAX_PARTS + 1), None, PROTOBUF)


def test_the_limit_of_values_in_json_is_exact() -> None:
    most = b'{"later":[' + b"0," * (MAX_VALUES - 2) + b"0]}"
    assert receive_traces(most, None, JSON, source_of).batch == []
    with pytest.raises(PayloadTooLargeError, match=str(MAX_VALUES)):
        receive_traces(most.replace(b"0]", b"0,0]"), None, JSON, source_of)


@BOTH
@pytest.mark.parametrize("part", ["attributes", "events"])
def test_the_limit_of_attributes_is_exact_and_costs_one_span(part: str, type_: str) -> None:
    good, full, over = (Sent(n, id=i).message for i, n in enumerate(("good", "full", "over"), 1))
    for span, number in ((full, MAX_ATTRIBUTES), (over, MAX_ATTRIBUTES + 1)):
        for _ in range(number):
            getattr(span, part).add()
    body = encoded(of_messages([over, full, good]), type_)
    found = receive_traces(body, None, type_, source_of)
    assert [s.name for s in kept(found)] == ["full", "good"]
    assert found.message == f"1 × a span may have {MAX_ATTRIBUTES} attributes and events"


def test_the_limit_of_a_record_is_exact_and_costs_one_span() -> None:
    spans = []
    for number, size in ((1, RECORD_LIMIT + 1), (2, RECORD_LIMIT), (3, 0)):
        span = Sent("s", id=number).message
        if size:
            span.attributes.add(key="input.value").value.string_value = "x" * RECORD_LIMIT
            surplus = span.ByteSize() - size
            span.attributes[0].value.string_value = "x" * (RECORD_LIMIT - surplus)
            assert span.ByteSize() == size
        spans.append(span)
    body = of_messages(spans).SerializeToString()
    found = receive_traces(body, None, PROTOBUF, source_of)
    assert [s.span_id[-1] for s in kept(found)] == [2, 3]
    assert found.message == f"1 × a record may have {RECORD_LIMIT} bytes"


def test_a_large_record_in_json_costs_one_span() -> None:
    large = Sent("large", {"output.value": "x" * RECORD_LIMIT}, id=1)
    body = encoded(of_messages([large.message, Sent("good", id=2).message]), JSON)
    found = receive_traces(body, None, JSON, source_of)
    assert [s.name for s in kept(found)] == ["good"]
    assert found.message == f"1 × a record may have {RECORD_LIMIT} bytes"


def peaks(*names: str) -> dict[str, float]:
    """Peak of memory after each of these bodies, in a process of its own."""
    program = [sys.executable, "-m", "tests.collectors.otlp.hostile", *names]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    return {name: mib for name, _, mib in map(json.loads, done.stdout.splitlines())}


def test_hostile_bodies_take_no_more_memory_than_the_limits_allow() -> None:
    found = peaks(*QUICK)
    assert list(found) == list(QUICK)
    assert {name: mib for name, mib in found.items() if mib > MOST_MIB} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_no_hostile_body_takes_more_memory_than_the_limits_allow(name: str) -> None:
    assert peaks(name)[name] <= MOST_MIB
