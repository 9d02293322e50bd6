"""Realistic telemetry: one description of a span gives its protobuf and its OTLP/JSON.

``openinference``, ``genai`` and ``openllmetry`` are the same request to the same app, as these
three dialects tell it, with the same times.
"""

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

QUESTION = "Which river ends in the  Black Sea?"
ANSWER = "The Danube does."
DOCUMENTS = (
    ("danube#2", 0.91, "The Danube ends in the Black Sea."),
    ("nile#1", 0.55, "The Nile ends in the Mediterranean Sea."),
    ("volga#4", 0.52, "The Volga ends in the Caspian Sea."),
)
RERANKED = (DOCUMENTS[0], DOCUMENTS[2])
PROMPT = f"{RERANKED[0][2]} {RERANKED[1][2]} {QUESTION}"


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


def openinference(trace: int = 1) -> list[Sent]:
    """As LlamaIndex or Haystack tells it: the question is embedded inside of retrieving."""
    kind = "openinference.span.kind"
    retrieved = documents("retrieval.documents", DOCUMENTS)
    return [
        Sent("RAG.run", {kind: "CHAIN", "input.value": QUESTION}, 0, 100, 1, None, trace),
        Sent(
            "Retriever.retrieve",
            {kind: "RETRIEVER", "input.value": json.dumps({"query": QUESTION}), **retrieved},
            *(5, 25, 2, 1, trace),
        ),
        Sent(
            "Embedding.embed",
            {
                kind: "EMBEDDING",
                "embedding.model_name": "minilm",
                "embedding.embeddings.0.embedding.text": QUESTION,
                "embedding.embeddings.0.embedding.vector": [0.25, 0.5, 0.125],
            },
            *(6, 4, 3, 2, trace),
        ),
        Sent(
            "Ranker.run",
            {
                kind: "RERANKER",
                "reranker.query": QUESTION,
                "reranker.top_k": 2,
                "reranker.model_name": "maxsim",
                **documents("reranker.input_documents", DOCUMENTS),
                **documents("reranker.output_documents", RERANKED),
            },
            *(30, 20, 4, 1, trace),
        ),
        Sent(
            "PromptBuilder.run",
            {
                kind: "LLM",
                "llm.prompt_template.template": "{documents} {question}",
                "output.value": PROMPT,
            },
            *(50, 1, 5, 1, trace),
        ),
        Sent(
            "Generator.run",
            {
                kind: "LLM",
                "llm.model_name": "gemma",
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.content": PROMPT,
                "llm.output_messages.0.message.content": ANSWER,
                "llm.token_count.prompt": 40,
                "llm.token_count.completion": 6,
            },
            *(51, 44, 6, 1, trace),
            events=[("First Token Stream Event", 61.0, {})],
        ),
    ]


def genai(trace: int = 1) -> list[Sent]:
    """As the OpenTelemetry conventions tell it, which have no rerank: the app says that itself."""
    operation = "gen_ai.operation.name"
    retrieved = [{"id": id_, "score": score} for id_, score, _ in DOCUMENTS]
    return [
        Sent("invoke_workflow rag", {operation: "invoke_workflow"}, 0, 100, 1, None, trace),
        Sent(
            "retrieval rivers",
            {
                operation: "retrieval",
                "gen_ai.retrieval.query.text": QUESTION,
                "gen_ai.retrieval.top_k": 3,
                "gen_ai.retrieval.documents": json.dumps(retrieved),
            },
            *(5, 25, 2, 1, trace),
        ),
        Sent(
            "embeddings minilm",
            {operation: "embeddings", "gen_ai.request.model": "minilm"},
            *(6, 4, 3, 2, trace),
        ),
        Sent("best of them", {"autorag.stage": "rerank"}, 30, 20, 4, 1, trace),
        Sent(
            "chat gemma",
            {
                operation: "chat",
                "gen_ai.request.model": "gemma",
                "gen_ai.usage.input_tokens": 40,
                "gen_ai.usage.output_tokens": 6,
                "gen_ai.response.time_to_first_chunk": 0.010,
                "gen_ai.input.messages": json.dumps([{"role": "user", "content": PROMPT}]),
            },
            *(51, 44, 6, 1, trace),
        ),
    ]


def openllmetry(trace: int = 1) -> list[Sent]:
    """As OpenLLMetry tells it of LangChain, which has no span for embedding."""
    operation, entity = "gen_ai.operation.name", "traceloop.span.kind"
    found = json.dumps({"documents": [{"page_content": text} for _, _, text in DOCUMENTS]})
    return [
        Sent(
            "RunnableSequence.workflow",
            {
                entity: "workflow",
                operation: "invoke_agent",
                "traceloop.entity.input": json.dumps({"inputs": QUESTION, "tags": []}),
            },
            *(0, 100, 1, None, trace),
        ),
        Sent(
            "vector_db_retrieve VectorStoreRetriever",
            {
                entity: "task",
                operation: "vector_db_retrieve",
                "traceloop.entity.input": json.dumps({"query": QUESTION, "tags": ["seq:step:1"]}),
                "traceloop.entity.output": found,
            },
            *(5, 25, 2, 1, trace),
        ),
        Sent(
            "execute_task rerank",
            {
                entity: "task",
                operation: "execute_task",
                "traceloop.entity.input": json.dumps({"inputs": constructed(DOCUMENTS)}),
                "traceloop.entity.output": json.dumps({"outputs": constructed(RERANKED)}),
            },
            *(30, 20, 4, 1, trace),
        ),
        Sent(
            "execute_task ChatPromptTemplate",
            {entity: "task", operation: "execute_task"},
            *(50, 1, 5, 1, trace),
        ),
        Sent(
            "ChatModel.chat",
            {
                operation: "chat",
                "gen_ai.response.model": "gemma",
                "gen_ai.usage.input_tokens": 40,
                "gen_ai.usage.output_tokens": 6,
            },
            *(51, 44, 6, 1, trace),
        ),
    ]


DIALECTS = {"openinference": openinference, "genai": genai, "openllmetry": openllmetry}


def documents(group: str, some: Sequence[tuple[str, float, str]]) -> dict[str, Any]:
    """Documents in numbered attributes."""
    found: dict[str, Any] = {}
    for number, (id_, score, text) in enumerate(some):
        found[f"{group}.{number}.document.id"] = id_
        found[f"{group}.{number}.document.score"] = score
        found[f"{group}.{number}.document.content"] = text
    return found


def constructed(some: Sequence[tuple[str, float, str]]) -> list[dict[str, Any]]:
    """Documents as LangChain writes them: calls of their constructor."""
    path = ["langchain", "schema", "document", "Document"]
    return [
        {"lc": 1, "id": path, "kwargs": {"id": id_, "page_content": text}} for id_, _, text in some
    ]
