"""OTLP in JSON, decoded record by record; see :mod:`collectors.otlp.protobuf`.

The encoding differs from protobuf's usual JSON: ids are hexadecimal, enums are integers. 64-bit
integers are strings (numbers are taken too), unknown fields are ignored, null is no value.
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct, defstruct

from autorag.errors import PayloadError, PayloadTooLargeError
from collectors.otlp.attributes import collect
from collectors.otlp.raw import (
    MAX_ATTRIBUTES,
    MAX_PARTS,
    MAX_RECORDS,
    RECORD_LIMIT,
    RESOURCE,
    TOO_MANY_PARTS,
    TOO_MANY_RECORDS,
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

REASON_CHARS = 200

# JavaScript writes half a character where it cuts a text; one such would cost the whole batch.
_LONE_SURROGATE = re.compile(
    rb"(?<!\\)((?:\\\\)*)"
    rb"(?:\\u[dD][89abAB][\da-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][\da-fA-F]{2})\\u[dD][c-fC-F][\da-fA-F]{2})"
)

_Integer = int | str | None


class _AnyValue(Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: _Integer = None
    double_value: float | str | None = None
    array_value: _Array | None = None
    kvlist_value: _Pairs | None = None


class _Array(Struct):
    values: list[_AnyValue | None] | None = None


class _KeyValue(Struct):
    key: str | None = None
    value: Raw = Raw(b"null")


class _Pair(Struct):
    key: str | None = None
    value: _AnyValue | None = None


class _Pairs(Struct):
    values: list[_Pair] | None = None


class _Head(Struct):
    attributes: list[_KeyValue] | None = None


class _Status(Struct):
    code: int | str | None = None


class _Event(Struct, rename="camel"):
    name: str | None = None
    time_unix_nano: _Integer = None
    attributes: list[_KeyValue] | None = None


class _Span(Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: _Integer = None
    end_time_unix_nano: _Integer = None
    trace_state: str | None = None
    flags: _Integer = None
    attributes: list[_KeyValue] | None = None
    dropped_attributes_count: _Integer = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _Log(Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None
    time_unix_nano: _Integer = None
    observed_time_unix_nano: _Integer = None
    attributes: list[_KeyValue] | None = None


def _outer(resources: str, scopes: str, records: str) -> msgspec.json.Decoder[Any]:
    """Reads the outer levels of a request, which each signal calls by its own names."""
    scope: Any = defstruct(
        "Scope", [("records", list[Raw] | None, None)], rename={"records": records}
    )
    resource: Any = defstruct(
        "Resource",
        [("resource", _Head | None, None), ("scopes", list[scope] | None, None)],
        rename={"scopes": scopes},
    )
    request: Any = defstruct(
        "Request", [("resources", list[resource] | None, None)], rename={"resources": resources}
    )
    return msgspec.json.Decoder(request)


_span_requests = _outer("resourceSpans", "scopeSpans", "spans")
_log_requests = _outer("resourceLogs", "scopeLogs", "logRecords")
_metric_requests = _outer("resourceMetrics", "scopeMetrics", "metrics")
_spans = msgspec.json.Decoder(_Span)
_logs = msgspec.json.Decoder(_Log)
_values = msgspec.json.Decoder(_AnyValue | None)


def spans(body: bytes) -> Iterator[Group]:
    """Spans of an ``ExportTraceServiceRequest``.

    Raises:
        PayloadError: not JSON, or its outer levels are not what they should be.
        PayloadTooLargeError: too many records or values.
    """
    return _groups(body, _span_requests, _span)


def logs(body: bytes) -> Iterator[Group]:
    """Records of an ``ExportLogsServiceRequest``; see :func:`spans`."""
    return _groups(body, _log_requests, _log)


def count_metrics(body: bytes) -> int:
    """Metrics in an ``ExportMetricsServiceRequest``; see :func:`spans`."""
    groups = _groups(body, _metric_requests, lambda _: None)
    return sum(1 for group in groups for _ in group.records)


def _groups(
    body: bytes, requests: msgspec.json.Decoder[Any], decode: Callable[[Raw], T]
) -> Iterator[Group]:
    resources = _decode(body, requests).resources or ()
    _check_size(resources)
    for resource in resources:
        records = [raw for scope in resource.scopes or () for raw in scope.records or ()]
        yield Group(_resource(resource.resource), (_decoded(r, decode) for r in records))


def _decode(body: bytes, requests: msgspec.json.Decoder[Any]) -> Any:
    if sum(map(body.count, (b",", b"{", b"["))) > MAX_VALUES:
        raise PayloadTooLargeError(f"a request may have {MAX_VALUES} values; send smaller batches")
    try:
        return requests.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        whole = _LONE_SURROGATE.sub(rb"\1\\ufffd", body)
        if whole == body:
            raise PayloadError(f"malformed JSON body ({error})") from error
    return _decode(whole, requests)


def _check_size(resources: Sequence[Any]) -> None:
    scopes = [scope for resource in resources for scope in resource.scopes or ()]
    records = sum(len(scope.records or ()) for scope in scopes)
    if records > MAX_RECORDS:
        raise PayloadTooLargeError(TOO_MANY_RECORDS)
    if len(resources) + len(scopes) + records > MAX_PARTS:
        raise PayloadTooLargeError(TOO_MANY_PARTS)


def _resource(head: _Head | None) -> dict[str, Any]:
    pairs = head.attributes or () if head is not None else ()
    try:
        return {kv.key: _value(kv.value) for kv in pairs if kv.key in RESOURCE}
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise PayloadError(f"malformed JSON body (a resource: {_reason(error)})") from error


def _decoded(raw: Raw, decode: Callable[[Raw], T]) -> T | BadRecord:
    if len(bytes(raw)) > RECORD_LIMIT:
        return BadRecord(f"a record may have {RECORD_LIMIT} bytes")
    try:
        return decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return BadRecord(_reason(error))


def _reason(error: Exception) -> str:
    """What was wrong; some messages quote the whole value."""
    return str(error)[:REASON_CHARS]


def _span(raw: Raw) -> RawSpan | BadRecord:
    span = _spans.decode(raw)
    attributes, events = span.attributes or (), span.events or ()
    if len(attributes) > MAX_ATTRIBUTES or len(events) > MAX_ATTRIBUTES:
        return BadRecord(f"a span may have {MAX_ATTRIBUTES} attributes and events")
    return RawSpan(
        _id("traceId", span.trace_id),
        _id("spanId", span.span_id),
        _id("parentSpanId", span.parent_span_id),
        span.name or "",
        _integer(span.start_time_unix_nano),
        _integer(span.end_time_unix_nano),
        span.status is not None and span.status.code in FAILED,
        _integer(span.flags),
        span.trace_state or "",
        _integer(span.dropped_attributes_count),
        collect(attributes, _value),
        [
            RawEvent(e.name or "", _integer(e.time_unix_nano), collect(e.attributes or (), _value))
            for e in events
        ],
    )


def _log(raw: Raw) -> RawLog | BadRecord:
    log = _logs.decode(raw)
    attributes = log.attributes or ()
    if len(attributes) > MAX_ATTRIBUTES:
        return BadRecord(f"a log record may have {MAX_ATTRIBUTES} attributes")
    return RawLog(
        _id("traceId", log.trace_id),
        _id("spanId", log.span_id),
        log.event_name or "",
        _integer(log.time_unix_nano) or _integer(log.observed_time_unix_nano),
        collect(attributes, _value),
    )


def _id(key: str, text: str | None) -> bytes:
    try:
        return bytes.fromhex(text or "")
    except ValueError as error:
        raise ValueError(f"{key} {text!r}: expected hexadecimal digits") from error


def _integer(value: _Integer) -> int:
    number = int(value or 0)
    if number.bit_length() > 64:
        raise ValueError("an integer has more than 64 bits")
    return number


def _value(raw: Raw) -> Any:
    return _plain(_values.decode(raw))


def _plain(value: _AnyValue | None, depth: int = 0) -> Any:
    if value is None or depth > DEEPEST:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _integer(value.int_value)
    if value.double_value is not None:
        return float(value.double_value)
    if value.array_value is not None:
        return [_plain(v, depth + 1) for v in value.array_value.values or ()]
    if value.kvlist_value is not None:
        pairs = value.kvlist_value.values or ()
        return {kv.key or "": _plain(kv.value, depth + 1) for kv in pairs}
    return value.bool_value
