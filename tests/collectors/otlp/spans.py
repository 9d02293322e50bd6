"""Telemetry to send: one description of a span gives its protobuf and its OTLP/JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1 import trace_pb2

from autorag.telemetry import Source, Span
from collectors.otlp.body import JSON, PROTOBUF
from collectors.otlp.receive import Received, receive_logs, receive_traces

T0_NS = 1_790_000_000_000_000_000
LOCAL_PARENT, REMOTE_PARENT = 0x100, 0x300
IDS = ("traceId", "spanId", "parentSpanId")


@dataclass(frozen=True)
class Sent:
    """A span as an app sends it: times in milliseconds, events as (name, time, attributes)."""

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    start_ms: float = 0.0
    ms: float = 1.0
    id: int = 1
    parent: int | None = None
    trace: int = 1
    error: bool = False
    flags: int = LOCAL_PARENT
    trace_state: str = ""
    dropped: int = 0
    events: Sequence[tuple[str, float, Mapping[str, Any]]] = ()

    @property
    def message(self) -> trace_pb2.Span:
        return trace_pb2.Span(
            trace_id=trace_id(self.trace),
            span_id=span_id(self.id),
            parent_span_id=span_id(self.parent) if self.parent is not None else b"",
            name=self.name,
            start_time_unix_nano=ns(self.start_ms),
            end_time_unix_nano=ns(self.start_ms + self.ms),
            attributes=key_values(self.attributes),
            dropped_attributes_count=self.dropped,
            flags=self.flags,
            trace_state=self.trace_state,
            status=trace_pb2.Status(code=2 if self.error else 0),
            events=[
                trace_pb2.Span.Event(name=n, time_unix_nano=ns(at), attributes=key_values(a))
                for n, at, a in self.events
            ],
        )


def trace_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def ns(ms: float) -> int:
    return T0_NS + round(ms * 1e6)


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=k, value=any_value(v)) for k, v in attributes.items()]


def any_value(value: Any) -> AnyValue:
    """The value as OTLP writes it; None is a value that is not set."""
    made = AnyValue()
    if isinstance(value, dict):
        made.kvlist_value.SetInParent()
        made.kvlist_value.values.extend(key_values(value))
    elif isinstance(value, list | tuple):
        made.array_value.SetInParent()
        made.array_value.values.extend(map(any_value, value))
    elif value is not None:
        kinds = {bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value"}
        setattr(made, kinds.get(type(value), "string_value"), value)
    return made


def request(spans: Iterable[Sent], **resource: Any) -> ExportTraceServiceRequest:
    """An export of spans. ``service__name="x"`` is the resource attribute ``service.name``."""
    return of_messages([s.message for s in spans], **resource)


def of_messages(spans: Iterable[trace_pb2.Span], **resource: Any) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.extend(
        key_values({k.replace("__", "."): v for k, v in resource.items()})
    )
    scope = group.scope_spans.add()
    scope.scope.name = "tests"
    scope.spans.extend(spans)
    return made


def log_request(*records: LogRecord) -> ExportLogsServiceRequest:
    made = ExportLogsServiceRequest()
    made.resource_logs.add().scope_logs.add().log_records.extend(records)
    return made


def as_json(message: Any) -> bytes:
    """OTLP/JSON: as protobuf's own, but ids in hexadecimal and enums as integers."""
    return json.dumps(with_hex_ids(MessageToDict(message, use_integers_for_enums=True))).encode()


def with_hex_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [with_hex_ids(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: base64.b64decode(v).hex() if k in IDS else with_hex_ids(v) for k, v in value.items()}


def encoded(message: Any, type_: str) -> bytes:
    return as_json(message) if type_ == JSON else bytes(message.SerializeToString())


def source_of(resource: dict[str, Any]) -> Source:
    return Source("app", str(resource.get("service.name")), str(resource.get("autorag.revision")))


def received(message: Any, type_: str = PROTOBUF) -> Received:
    """What arrives of an export of spans or log records."""
    receive = receive_logs if isinstance(message, ExportLogsServiceRequest) else receive_traces
    return receive(encoded(message, type_), None, type_, source_of)


def kept(batch: Received) -> list[Span]:
    return [span for _, spans in batch.batch for span in spans]


def arrived(*spans: Sent) -> list[Span]:
    """Spans that all arrive, in protobuf and JSON alike."""
    message = request(spans)
    found = received(message)
    assert found == received(message, JSON)
    assert found.rejected == 0
    return kept(found)


def facts(name: str, attributes: Mapping[str, Any], **sent: Any) -> Mapping[str, Any]:
    """The facts of one span."""
    (span,) = arrived(Sent(name, attributes, **sent))
    return span.facts


def below(attributes: Mapping[str, Any], **sent: Any) -> Mapping[str, Any]:
    """Facts of a span that is not the first of its request."""
    return facts("a span", attributes, parent=9, **sent)
