"""OTLP requests as exporters send them: traces of a small RAG app, in protobuf or JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import httpx2
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status as RpcStatus
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collectors.otlp.body import JSON, PROTOBUF
from tests.api.serving import Serving

QUESTION = "Which secret did nobody ever tell?"
CONTENT = "The passage that must not be kept, whatever is asked."
START_NS = 1_790_000_000_000_000_000
MS = 1_000_000
RESOURCE = {"service.name": "shop", "service.instance.id": "one", "autorag.revision": "3"}

Row = tuple[str, str | None, int, int, dict[str, object]]

PLAN: tuple[Row, ...] = (
    ("pipeline", None, 0, 100, {"openinference.span.kind": "CHAIN", "input.value": QUESTION}),
    (
        "retriever",
        "pipeline",
        1,
        30,
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": QUESTION,
            **{f"retrieval.documents.{i}.document.id": f"doc-{i}" for i in range(3)},
            **{f"retrieval.documents.{i}.document.content": CONTENT for i in range(3)},
        },
    ),
    ("embedder", "retriever", 2, 10, {"openinference.span.kind": "EMBEDDING"}),
    ("reranker", "pipeline", 32, 8, {"openinference.span.kind": "RERANKER"}),
    (
        "model",
        "pipeline",
        41,
        55,
        {
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.content": CONTENT,
            "llm.token_count.prompt": 400,
            "llm.token_count.completion": 60,
        },
    ),
)
"""Name, parent, start and duration in ms, attributes."""

SPANS = len(PLAN)


def trace_id(name: object) -> bytes:
    return blake2b(str(name).encode(), digest_size=16).digest()


def a_trace(name: object) -> list[Span]:
    """The spans of one request, parents first. Two traces differ in their ids alone."""
    ids = {row[0]: blake2b(f"{name} {row[0]}".encode(), digest_size=8).digest() for row in PLAN}
    return [_span(trace_id(name), ids, *row) for row in PLAN]


def request(spans: Iterable[Span], **resource: str) -> ExportTraceServiceRequest:
    """An export of these; resource attributes with ``__`` for a dot."""
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    named = {k.replace("__", "."): v for k, v in resource.items()}
    for key, value in {**RESOURCE, **named}.items():
        group.resource.attributes.add(key=key).value.string_value = value
    group.scope_spans.add().spans.extend(spans)
    return made


def encoded(message: ExportTraceServiceRequest, type_: str = PROTOBUF) -> bytes:
    """The body of a request."""
    return bytes(message.SerializeToString()) if type_ == PROTOBUF else _json(message)


def body(spans: Iterable[Span], type_: str = PROTOBUF) -> bytes:
    """The body of an export of these spans."""
    return encoded(request(spans), type_)


def traces_body(names: Sequence[object]) -> bytes:
    """An export of whole traces."""
    return body(span for name in names for span in a_trace(name))


def _span(
    trace: bytes,
    ids: dict[str, bytes],
    name: str,
    parent: str | None,
    start_ms: int,
    ms: int,
    attributes: dict[str, object],
) -> Span:
    span = Span(trace_id=trace, span_id=ids[name], name=name)
    span.parent_span_id = ids[parent] if parent is not None else b""
    span.start_time_unix_nano = START_NS + start_ms * MS
    span.end_time_unix_nano = span.start_time_unix_nano + ms * MS
    span.status.code = Status.STATUS_CODE_OK
    for key, value in attributes.items():
        field = "int_value" if isinstance(value, int) else "string_value"
        setattr(span.attributes.add(key=key).value, field, value)
    return span


def _json(message: ExportTraceServiceRequest) -> bytes:
    """OTLP's JSON: ids in hex, enums as numbers."""
    row: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    for group in row["resourceSpans"]:
        for span in (s for scope in group["scopeSpans"] for s in scope["spans"]):
            for key in {"traceId", "spanId", "parentSpanId"} & span.keys():
                span[key] = base64.b64decode(span[key]).hex()
    return json.dumps(row).encode()


def export(
    client: httpx2.Client, content: bytes, type_: str = PROTOBUF, **headers: str
) -> httpx2.Response:
    """Send spans; headers with ``_`` for a dash."""
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return client.post("/v1/traces", content=content, headers={"Content-Type": type_, **named})


def told(response: httpx2.Response) -> tuple[int, str]:
    """What an export that was taken is told: rejected spans, and the message."""
    assert response.status_code == 200, response.content
    if response.headers["content-type"] == JSON:
        partial = response.json().get("partialSuccess", {})
        return int(partial.get("rejectedSpans", 0)), partial.get("errorMessage", "")
    assert response.headers["content-type"] == PROTOBUF
    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    return partial.rejected_spans, partial.error_message


def refusal(response: httpx2.Response) -> tuple[int, int, str]:
    """HTTP status, ``google.rpc.Code`` and message of an error."""
    if response.headers["content-type"] == PROTOBUF:
        status = RpcStatus.FromString(response.content)
        return response.status_code, status.code, status.message
    assert response.headers["content-type"] == JSON
    row = response.json()
    assert set(row) == {"code", "message"}
    return response.status_code, row["code"], row["message"]


def stored(service: Serving, name: object) -> int:
    """Spans of a trace in the database."""
    query = "SELECT count(*) FROM spans JOIN traces ON id = trace WHERE trace_id = ?"
    return int(service.telemetry(query, trace_id(name))[0][0])


def observed(service: Serving, name: object) -> list[Any]:
    """Observations of a trace, once it is settled."""
    service.wait_until_settled()
    columns = "number, at, o.phase, stage, metric, value, unit, confidence, o.weight"
    joined = "observations o JOIN traces ON id = trace"
    query = f"SELECT {columns} FROM {joined} WHERE trace_id = ? ORDER BY number"
    return service.telemetry(query, trace_id(name))
