"""Requests that went wrong on their way: valid ones, changed at random."""

from __future__ import annotations

import gzip
import json
import math
import random
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collectors.otlp.answer import Signal
from collectors.otlp.body import JSON, PROTOBUF
from collectors.otlp.dialects import EVALUATION_EVENT, FIRST_TOKEN_EVENTS, GROUPS, WANTED
from tests.collectors.otlp import wire
from tests.collectors.otlp.spans import (
    REMOTE_PARENT,
    Sent,
    encoded,
    key_values,
    log_request,
    ns,
    of_messages,
    request,
    span_id,
    trace_id,
)
from tests.collectors.otlp.stories import DIALECTS, documents

SIGNALS: tuple[Signal, ...] = ("traces", "logs", "metrics")
HUGE = (b"\xff" * 9 + b"\x01", b"\xff" * 20, b"\x80" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f")
EDGES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 2**70, -(2**63),
    1e308, -1e308, 0.1, 1e-320, "", "x", "NaN", "Infinity", "-1", "9" * 20, "9" * 400, "9" * 5000,
    "\0", "\ud800", "é" * 9, "00" * 16, "ff" * 8, "zz", [], {}, [[]], [None], [{}], {"": None},
    {"stringValue": 5}, {"intValue": "x"}, {"arrayValue": {"values": [{}]}},
    {"kvlistValue": {"values": [{"key": "a"}]}}, "[" * 2000,
    '{"documents":[' + "{}," * 50 + "{}]}", '[{"id":1e999}]', '[{"score":' + "9" * 350 + "}]",
)  # fmt: skip
WORDS = (
    "traceId", "spanId", "startTimeUnixNano", "attributes", "events", "value", "stringValue",
    "intValue", "doubleValue", "key", "flags", "status", "code", "spans", "resource",
)  # fmt: skip


def more(trace: int) -> list[Sent]:
    """Spans with what those of the dialects do not have."""
    judged = {"annotations.0.annotation.name": "good", "annotations.0.annotation.score": 0.5}
    result = {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": 1.5}
    chat = {"gen_ai.operation.name": "chat", "gen_ai.usage.cache_read.input_tokens": 9, **judged}
    events = [
        ("gen_ai.content.completion.chunk", 7.0, {}),
        ("gen_ai.evaluation.result", 8.0, result),
    ]
    chain = {"openinference.span.kind": "CHAIN", "input.value": '{"query":"x"}'}
    listed = json.dumps({"outputs": [{"id": "a", "score": 0.5}, {"page_content": "b"}]})
    task = {"traceloop.span.kind": "task", "traceloop.entity.output": listed}
    found = documents("retrieval.documents", [(f"d{i}", i / 8, "text") for i in range(30)])
    search = {"db.system": "qdrant", "db.operation": "search", **found}
    sampled = "ot=th:c;rv:abcdefabcdefab"
    return [
        Sent("chat", chat, 5, 9, 11, 12, trace, True, REMOTE_PARENT, sampled, 3, events),
        Sent("chain", chain, 0, 50, 12, None, trace),
        Sent("rerank", task, 9, 3, 13, 12, trace),
        Sent("search", search, 1, 2, 14, 12, trace),
    ]


@cache
def sent(dialect: int) -> tuple[Sent, ...]:
    makers: list[Callable[[int], list[Sent]]] = [*DIALECTS.values(), more]
    return tuple(makers[dialect](dialect + 1))


@cache
def body(signal: Signal, number: int, type_: str) -> bytes:
    """A valid request, one of four."""
    message: Any
    if signal == "traces":
        message = request(sent(number), service__name="app", autorag__revision=number)
    elif signal == "logs":
        said = {"gen_ai.evaluation.name": f"n{number}", "gen_ai.evaluation.score.value": 0.5}
        fields = {"trace_id": trace_id(1), "span_id": span_id(1), "time_unix_nano": ns(1)}
        records = [LogRecord(attributes=key_values(a), **fields) for a in (said, {"other": [1]})]
        message = log_request(*records)
    else:
        message = ExportMetricsServiceRequest()
        metrics = message.resource_metrics.add().scope_metrics.add().metrics
        for i in range(number + 1):
            metrics.add(name=f"m{i}").gauge.data_points.add(as_double=0.5)
    return encoded(message, type_)


def changed(rng: random.Random, data: bytes) -> bytes:
    """Bytes with one to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(CHANGES)(rng, data)
    return data


def _flip(rng: random.Random, data: bytes) -> bytes:
    some = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if some:
            some[rng.randrange(len(some))] ^= 1 << rng.randrange(8)
    return bytes(some)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove(rng: random.Random, data: bytes) -> bytes:
    start, end = _range(rng, data)
    return data[:start] + data[end:]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    start, end = _range(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 2, 9)) + data[end:]


def _splice(rng: random.Random, data: bytes) -> bytes:
    other = body(rng.choice(SIGNALS), rng.randrange(4), rng.choice((PROTOBUF, JSON)))
    (start, end), (a, b) = _range(rng, data), _range(rng, other)
    return data[:start] + other[a:b] + data[end:]


def _overwrite(rng: random.Random, data: bytes) -> bytes:
    """Random bytes, or an integer that is far too large, where a length may have stood."""
    start = rng.randrange(len(data) + 1)
    put = rng.choice((*HUGE, rng.randbytes(rng.choice((1, 1, 2, 8))), b"\0", b"\x7f"))
    return data[:start] + put + data[start + rng.choice((0, 1, len(put))) :]


def _nest(rng: random.Random, data: bytes) -> bytes:
    start, end = _range(rng, data)
    return data[:start] + deep(rng) + data[end:]


CHANGES = (_flip, _flip, _cut, _remove, _repeat, _splice, _overwrite, _overwrite, _nest)


def _range(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((0, 1, 4, 32, 256)))


def deep(rng: random.Random) -> bytes:
    """A value inside of itself, over and over, in either encoding."""
    levels = rng.choice((3, 9, 40, 99, 101, 300, 3000))
    text = rng.choice(("[", '{"a":', '{"arrayValue":{"values":['))
    if rng.random() < 0.5:
        closing = "".join("]" if c == "[" else "}" for c in reversed(text) if c in "[{")
        return (text * levels + "0" + closing * levels).encode()
    value = b""
    for _ in range(min(levels, 300)):
        value = wire.field(5, wire.field(1, value))
    return value


def changed_json(rng: random.Random, tree: Any) -> Any:
    """A tree of JSON in which something is of another type, has another name, or is missing."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        tree = _change_below(rng, tree)
    return tree


def _change_below(rng: random.Random, tree: Any) -> Any:
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.05:
        return rng.choice(EDGES)
    keys: list[Any] = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key = rng.choice(keys)
    copy: Any = dict(tree) if isinstance(tree, dict) else list(tree)
    if isinstance(copy, dict) and rng.random() < 0.05:
        copy[rng.choice(WORDS)] = copy.pop(key)
    elif rng.random() < 0.03:
        del copy[key]
    else:
        copy[key] = _change_below(rng, tree[key])
    return copy


KEYS = (
    *sorted(WANTED),
    *(f"{g}.{n}.{f}" for g, fields in GROUPS.items() for n in (0, 2, 25) for f in (*fields, "x")),
)
KINDS = (
    *(
        ("openinference.span.kind", k)
        for k in ("RETRIEVER", "RERANKER", "EMBEDDING", "LLM", "CHAIN")
    ),
    *(("gen_ai.operation.name", o) for o in ("chat", "retrieval", "embeddings", "execute_task")),
    ("db.system", "qdrant"),
    ("other", "x"),
)
NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 7, 2**63 - 1, -(2**63), 0.0, -0.5, 0.25, 1e300, 1.7e308, math.nan, math.inf,
)  # fmt: skip
TEXTS = ("", "x", "q\0", "é" * 300, "pass", "RETRIEVER", "chat", "qdrant", "generate", "{", "{}",
         *(e for e in EDGES if isinstance(e, str) and len(e) > 99))  # fmt: skip
OTHERS: tuple[Any, ...] = (
    True, b"bytes", None, [], ["chat"], {}, {"id": "a"}, {"documents": [{"score": 2**62}]},
    [{"id": "a", "score": 1e300}, {"id": 5}, {"kwargs": {"page_content": "x"}}, 5, None, ["a"]],
    {"kwargs": {"a": [[[[[[[[[[[1]]]]]]]]]]]}},
)  # fmt: skip
STATES = ("", "ot=th:8", "ot=th:0", "ot=th:ffffffffffffff", "a=b,ot=rv:1;th:fff", "ot=th:x", "\0")


def made_up(rng: random.Random) -> ExportTraceServiceRequest:
    """Well-formed spans of one trace that say anything at all, and are above one another anyhow."""
    spans = []
    for _ in range(rng.choice((1, 2, 5))):
        span = Sent(
            rng.choice(("rerank", "splitter", "a span", "PromptBuilder", "chroma.query")),
            dict([*_attributes(rng, rng.choice((1, 3, 20))), rng.choice(KINDS)]),
            *(rng.randrange(50), rng.randrange(50), rng.randrange(1, 6)),
            rng.choice((None, rng.randrange(6))),
            error=rng.random() < 0.2,
            flags=rng.choice((0, 0x100, 0x300, 2**32 - 1)),
            trace_state=rng.choice(STATES),
            dropped=rng.choice((0, 0, 5, 2**32 - 1)),
            events=[_event(rng) for _ in range(rng.choice((0, 0, 1, 3)))],
        ).message
        if rng.random() < 0.1:
            span.start_time_unix_nano = rng.choice((0, 1, 2**63 - 1, 2**63, 2**64 - 1))
        if rng.random() < 0.1:
            span.end_time_unix_nano = rng.choice((0, 1, 2**63 - 1, 2**63, 2**64 - 1))
        spans.append(span)
    return of_messages(spans)


def _event(rng: random.Random) -> tuple[str, float, dict[str, Any]]:
    name = rng.choice((*sorted(FIRST_TOKEN_EVENTS), EVALUATION_EVENT, "exception"))
    judged = {"gen_ai.evaluation.name": "n", "gen_ai.evaluation.score.value": rng.choice(NUMBERS)}
    return name, rng.choice((0, 5, 99, 1e9)), {**dict(_attributes(rng, 3)), **judged}


def _attributes(rng: random.Random, number: int) -> Iterator[tuple[str, Any]]:
    for _ in range(number):
        yield rng.choice(KEYS), rng.choice(rng.choice((NUMBERS, TEXTS, OTHERS)))


def compressed(rng: random.Random, data: bytes) -> tuple[bytes, str | None]:
    """The body as it comes, mostly whole, and what it says of its encoding."""
    chance = rng.random()
    if chance < 0.7:
        return data, rng.choice((None, "identity"))
    if chance < 0.8:
        return gzip.compress(data, 1), "gzip"
    if chance < 0.9:
        return changed(rng, gzip.compress(data, 1)), "gzip"
    if chance < 0.95:
        return changed(rng, zlib.compress(data, 1)), "deflate"
    return rng.randbytes(rng.randrange(200)), rng.choice(("gzip", "deflate", "br", ""))
