"""What a sender is told, in the type that it spoke."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collectors.otlp.answer import CODES, Signal, failure, success
from collectors.otlp.body import JSON, PROTOBUF

RESPONSES: dict[Signal, tuple[type[Any], str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}
BOTH = pytest.mark.parametrize("type_", [PROTOBUF, JSON])
EVERY = pytest.mark.parametrize("signal", RESPONSES)


def read(message: type[Any], body: bytes, type_: str) -> Any:
    """The message, which must have no field that protobuf does not know."""
    return message.FromString(body) if type_ == PROTOBUF else Parse(body, message())


@EVERY
@BOTH
def test_success_is_an_empty_answer(signal: Signal, type_: str) -> None:
    body = success(signal, type_)
    assert body == (b"{}" if type_ == JSON else b"")
    assert not read(RESPONSES[signal][0], body, type_).HasField("partial_success")


@pytest.mark.parametrize("signal", ["traces", "logs"])
@BOTH
@given(rejected=st.integers(1, 2**63 - 1), message=st.text())
def test_what_was_rejected_is_counted_and_explained(
    signal: Signal, type_: str, rejected: int, message: str
) -> None:
    response, count = RESPONSES[signal]
    told = read(response, success(signal, type_, rejected, message), type_).partial_success
    assert (getattr(told, count), told.error_message) == (rejected, message)


@pytest.mark.parametrize("signal", ["traces", "logs"])
@BOTH
def test_advice_comes_with_nothing_rejected(signal: Signal, type_: str) -> None:
    response, count = RESPONSES[signal]
    answer = read(response, success(signal, type_, 0, "raise the limit"), type_)
    assert answer.HasField("partial_success")
    assert getattr(answer.partial_success, count) == 0
    assert answer.partial_success.error_message == "raise the limit"


def test_64_bit_integers_are_strings_in_json() -> None:
    told = json.loads(success("traces", JSON, 7, "why"))
    assert told == {"partialSuccess": {"rejectedSpans": "7", "errorMessage": "why"}}


@pytest.mark.parametrize("status", CODES)
@BOTH
@given(message=st.text())
def test_a_failure_is_a_status(status: int, type_: str, message: str) -> None:
    told = read(Status, failure(status, message, type_), type_)
    assert told.code in Code.values()
    assert told.code != Code.Value("OK")
    assert told.message == message
    assert not told.details


def test_every_status_of_the_routes_has_the_code_that_it_means() -> None:
    meant = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        405: "UNIMPLEMENTED",
        413: "RESOURCE_EXHAUSTED",
        415: "INVALID_ARGUMENT",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        503: "UNAVAILABLE",
    }
    assert {status: Code.Name(code) for status, code in CODES.items()} == meant


def test_a_failure_in_another_type_is_told_in_json() -> None:
    assert json.loads(failure(415, "what?", "text/html")) == {"code": 3, "message": "what?"}
