"""OTLP in JSON, decoded record by record; see :mod:`collectors.otlp.protobuf`.

The encoding differs from protobuf's usual JSON: ids are hexadecimal, enums are integers. 64-bit
integers are strings (numbers are taken too), unknown fields are ignored.
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from autorag.errors import PayloadError, PayloadTooLargeError
from collectors.otlp.attributes import collect
from collectors.otlp.raw import (
    MAX_ATTRIBUTES,
    MAX_RECORDS,
    RECORD_LIMIT,
    RESOURCE,
    BadRecord,
    Group,
    RawEvent,
    RawLog,
    RawSpan,
)

T = TypeVar("T")

MAX_VALUES = 8_000_000
"""Commas and opening brackets in a body, which bound the values that decoding makes."""

DEEPEST = 8
FAILED = (2, "STATUS_CODE_ERROR")
"""The code of a status that tells of an error; some senders write enums as names."""

_Integer = int | str


class _AnyValue(Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: _Integer | None = None
    double_value: float | str | None = None
    array_value: _Array | None = None
    kvlist_value: _Pairs | None = None


class _Array(Struct):
    values: list[_AnyValue] = []


class _KeyValue(Struct):
    key: str = ""
    value: Raw = Raw(b"{}")


class _Pair(Struct):
    key: str = ""
    value: _AnyValue = msgspec.field(default_factory=_AnyValue)


class _Pairs(Struct):
    values: list[_Pair] = []


class _Head(Struct):
    attributes: list[_KeyValue] = []


class _Status(Struct):
    code: int | str = 0


class _Event(Struct, rename="camel"):
    name: str = ""
    time_unix_nano: _Integer = 0
    attributes: list[_KeyValue] = []


class _Span(Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = None
    name: str = ""
    start_time_unix_nano: _Integer = 0
    end_time_unix_nano: _Integer = 0
    trace_state: str | None = None
    flags: int = 0
    attributes: list[_KeyValue] = []
    dropped_attributes_count: int = 0
    events: list[_Event] = []
    status: _Status | None = None


class _Log(Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None
    time_unix_nano: _Integer = 0
    observed_time_unix_nano: _Integer = 0
    attributes: list[_KeyValue] = []


class _Scope(Struct, rename="camel"):
    spans: list[Raw] = []
    log_records: list[Raw] = []
    metrics: list[Raw] = []


class _Resource(Struct, rename="camel"):
    resource: _Head | None = None
    scope_spans: list[_Scope] = []
    scope_logs: list[_Scope] = []
    scope_metrics: list[_Scope] = []


class _Request(Struct, rename="camel"):
    resource_spans: list[_Resource] = []
    resource_logs: list[_Resource] = []
    resource_metrics: list[_Resource] = []


_request = msgspec.json.Decoder(_Request)
_spans = msgspec.json.Decoder(_Span)
_logs = msgspec.json.Decoder(_Log)
_values = msgspec.json.Decoder(_AnyValue)


def spans(body: bytes) -> Iterator[Group]:
    """Spans of an ``ExportTraceServiceRequest``.

    Raises:
        PayloadError: not JSON, or its outer levels are not what they should be.
        PayloadTooLargeError: too many records or values.
    """
    for resource in _decode(body).resource_spans:
        records = [raw for scope in resource.scope_spans for raw in scope.spans]
        yield Group(_resource(resource.resource), (_decoded(r, _span) for r in records))


def logs(body: bytes) -> Iterator[Group]:
    """Records of an ``ExportLogsServiceRequest``; see :func:`spans`."""
    for resource in _decode(body).resource_logs:
        records = [raw for scope in resource.scope_logs for raw in scope.log_records]
        yield Group(_resource(resource.resource), (_decoded(r, _log) for r in records))


def count_metrics(body: bytes) -> int:
    """Metrics in an ``ExportMetricsServiceRequest``; see :func:`spans`."""
    resources = _decode(body).resource_metrics
    return sum(len(scope.metrics) for r in resources for scope in r.scope_metrics)


def _decode(body: bytes) -> _Request:
    if sum(map(body.count, (b",", b"{", b"["))) > MAX_VALUES:
        raise PayloadTooLargeError(f"a request may have {MAX_VALUES} values; send smaller batches")
    try:
        request = _request.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"malformed JSON body ({error})") from error
    resources = [*request.resource_spans, *request.resource_logs]
    scopes = [s for r in resources for s in (*r.scope_spans, *r.scope_logs)]
    if sum(len(s.spans) + len(s.log_records) for s in scopes) > MAX_RECORDS:
        raise PayloadTooLargeError(
            f"a request may have {MAX_RECORDS} records; send smaller batches"
        )
    return request


def _resource(head: _Head | None) -> dict[str, Any]:
    pairs = head.attributes if head is not None else []
    try:
        return {kv.key: _value(kv.value) for kv in pairs if kv.key in RESOURCE}
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise PayloadError(f"malformed JSON body (a resource: {error})") from error


def _decoded(raw: Raw, decode: Callable[[Raw], T]) -> T | BadRecord:
    if len(bytes(raw)) > RECORD_LIMIT:
        return BadRecord(f"a record may have {RECORD_LIMIT} bytes")
    try:
        return decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return BadRecord(str(error))


def _span(raw: Raw) -> RawSpan | BadRecord:
    span = _spans.decode(raw)
    if len(span.attributes) > MAX_ATTRIBUTES or len(span.events) > MAX_ATTRIBUTES:
        return BadRecord(f"a span may have {MAX_ATTRIBUTES} attributes and events")
    return RawSpan(
        bytes.fromhex(span.trace_id),
        bytes.fromhex(span.span_id),
        bytes.fromhex(span.parent_span_id or ""),
        span.name,
        int(span.start_time_unix_nano),
        int(span.end_time_unix_nano),
        span.status is not None and span.status.code in FAILED,
        span.flags,
        span.trace_state or "",
        span.dropped_attributes_count,
        collect(span.attributes, _value),
        [
            RawEvent(e.name, int(e.time_unix_nano), collect(e.attributes, _value))
            for e in span.events
        ],
    )


def _log(raw: Raw) -> RawLog | BadRecord:
    log = _logs.decode(raw)
    if len(log.attributes) > MAX_ATTRIBUTES:
        return BadRecord(f"a log record may have {MAX_ATTRIBUTES} attributes")
    return RawLog(
        bytes.fromhex(log.trace_id or ""),
        bytes.fromhex(log.span_id or ""),
        log.event_name or "",
        int(log.time_unix_nano) or int(log.observed_time_unix_nano),
        collect(log.attributes, _value),
    )


def _value(raw: Raw) -> Any:
    return _plain(_values.decode(raw))


def _plain(value: _AnyValue, depth: int = 0) -> Any:
    if depth > DEEPEST:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return int(value.int_value)
    if value.double_value is not None:
        return float(value.double_value)
    if value.array_value is not None:
        return [_plain(v, depth + 1) for v in value.array_value.values]
    if value.kvlist_value is not None:
        return {kv.key: _plain(kv.value, depth + 1) for kv in value.kvlist_value.values}
    return value.bool_value
