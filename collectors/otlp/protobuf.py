"""OTLP in protobuf, decoded record by record.

A request is resources, in them scopes, in them records. The outer levels are walked by hand: a
record that is malformed then costs only itself, and a hostile body no memory, where parsing the
whole would build an object for every two bytes. Records themselves are parsed by protobuf.

Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

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
Slice = tuple[int, int]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GROUPS, _HEAD, _PARTS = 1, 1, 2
"""Field numbers: resources of a request; resource or scope, and members, of the others."""

DEEPEST = 8
"""Levels of a structured value that are read."""


def spans(body: bytes) -> Iterator[Group]:
    """Spans of an ``ExportTraceServiceRequest``.

    Raises:
        PayloadError: the outer levels are not protobuf.
        PayloadTooLargeError: too many records, or fields around them.
    """
    return _groups(body, _span)


def logs(body: bytes) -> Iterator[Group]:
    """Records of an ``ExportLogsServiceRequest``; see :func:`spans`."""
    return _groups(body, _log)


def count_metrics(body: bytes) -> int:
    """Metrics in an ``ExportMetricsServiceRequest``; see :func:`spans`."""
    return sum(1 for group in _groups(body, lambda _: None) for _ in group.records)


def _groups(body: bytes, decode: Callable[[bytes], T]) -> Iterator[Group]:
    room = MAX_RECORDS
    counter = count(1)
    for number, resource_at in _members(body, (0, len(body)), counter):
        if number != _GROUPS:
            continue
        head, scopes = _split(body, resource_at, counter)
        records = [at for scope in scopes for at in _split(body, scope, counter)[1]]
        room -= len(records)
        if room < 0:
            raise PayloadTooLargeError(TOO_MANY_RECORDS)
        yield Group(_resource(body, head), (_decoded(body, at, decode) for at in records))


def _split(body: bytes, at: Slice, counter: Iterator[int]) -> tuple[Slice | None, list[Slice]]:
    """Where the head (resource or scope) and the members of a group stand."""
    head = None
    parts: list[Slice] = []
    for number, member in _members(body, at, counter):
        if number == _PARTS:
            parts.append(member)
        elif number == _HEAD:
            head = member
    return head, parts


def _members(body: bytes, at: Slice, counter: Iterator[int]) -> Iterator[tuple[int, Slice]]:
    """Field number and place of every length-delimited field of the message there.

    Args:
        counter: of all fields of the body.
    """
    position, end = at
    while position < end:
        if next(counter) > MAX_PARTS:
            raise PayloadTooLargeError(TOO_MANY_PARTS)
        tag, position = _varint(body, position, end)
        wire, number = tag & 7, tag >> 3
        if wire == _BYTES:
            length, position = _varint(body, position, end)
            if length > end - position or number == 0:
                raise PayloadError("malformed protobuf: a field is longer than its message")
            yield number, (position, position + length)
            position += length
        elif wire == _VARINT:
            _, position = _varint(body, position, end)
        elif wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        else:
            raise PayloadError(f"malformed protobuf: wire type {wire}")
    if position > end:
        raise PayloadError("malformed protobuf: it ends too early")


def _varint(body: bytes, position: int, end: int) -> tuple[int, int]:
    """An unsigned integer of seven bits a byte, and where it ends."""
    value = shift = 0
    while position < end and shift < 64:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise PayloadError("malformed protobuf: an integer does not end")


def _resource(body: bytes, at: Slice | None) -> dict[str, Any]:
    if at is None:
        return {}
    start, end = at
    if end - start > RECORD_LIMIT:
        raise PayloadTooLargeError(f"a resource may have {RECORD_LIMIT} bytes")
    try:
        resource = Resource.FromString(body[start:end])
    except DecodeError as error:
        raise PayloadError(f"malformed protobuf: a resource ({error})") from error
    return {kv.key: _value(kv.value) for kv in resource.attributes if kv.key in RESOURCE}


def _decoded(body: bytes, at: Slice, decode: Callable[[bytes], T]) -> T | BadRecord:
    start, end = at
    if end - start > RECORD_LIMIT:
        return BadRecord(f"a record may have {RECORD_LIMIT} bytes")
    try:
        return decode(body[start:end])
    except DecodeError:
        return BadRecord("malformed protobuf")


def _span(record: bytes) -> RawSpan | BadRecord:
    span = Span.FromString(record)
    if len(span.attributes) > MAX_ATTRIBUTES or len(span.events) > MAX_ATTRIBUTES:
        return BadRecord(f"a span may have {MAX_ATTRIBUTES} attributes and events")
    return RawSpan(
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        span.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == Status.STATUS_CODE_ERROR,
        span.flags,
        span.trace_state,
        span.dropped_attributes_count,
        collect(span.attributes, _value),
        [RawEvent(e.name, e.time_unix_nano, collect(e.attributes, _value)) for e in span.events],
    )


def _log(record: bytes) -> RawLog | BadRecord:
    log = LogRecord.FromString(record)
    if len(log.attributes) > MAX_ATTRIBUTES:
        return BadRecord(f"a log record may have {MAX_ATTRIBUTES} attributes")
    time_ns = log.time_unix_nano or log.observed_time_unix_nano
    attributes = collect(log.attributes, _value)
    return RawLog(log.trace_id, log.span_id, log.event_name, time_ns, attributes)


def _value(value: AnyValue, depth: int = 0) -> Any:
    which = value.WhichOneof("value")
    if which in (None, "bytes_value") or depth > DEEPEST:
        return None
    if which == "string_value":
        return value.string_value
    if which == "array_value":
        return [_value(v, depth + 1) for v in value.array_value.values]
    if which == "kvlist_value":
        return {kv.key: _value(kv.value, depth + 1) for kv in value.kvlist_value.values}
    return getattr(value, which)
