"""Receiving a request: from a body to spans that can be stored, and what to tell the sender."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from autorag.telemetry import Source, Span
from collectors.otlp import json_format, protobuf
from collectors.otlp.body import JSON, decompressed
from collectors.otlp.normalise import evaluation, normalise
from collectors.otlp.raw import BadRecord, RawSpan

SourceOf = Callable[[dict[str, Any]], Source]
"""Who sent something, by its resource attributes."""

MOST_REASONS = 3

DROPPED_ADVICE = (
    "{} spans came without some of their attributes, the first documents of long lists among them: "
    "raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT (the SDK keeps 128)"
)


@dataclass(slots=True)
class Received:
    """What a request held.

    Attributes:
        batch: spans by who sent them.
        rejected: records that cannot be read.
        message: why, or advice; empty when all is well.
    """

    batch: list[tuple[Source, list[Span]]] = field(default_factory=list)
    rejected: int = 0
    message: str = ""


def receive_traces(wire: bytes, encoding: str | None, type_: str, source_of: SourceOf) -> Received:
    """Read an export of spans.

    Args:
        wire: the body as it came.
        encoding: its Content-Encoding.
        type_: its media type, see :func:`collectors.otlp.body.media_type`.

    Raises:
        PayloadError: and its children, when the body as a whole cannot be read.
    """
    read = json_format.spans if type_ == JSON else protobuf.spans
    groups = read(decompressed(wire, encoding))
    return _received((source_of(g.resource), map(_span, g.records)) for g in groups)


def receive_logs(wire: bytes, encoding: str | None, type_: str, source_of: SourceOf) -> Received:
    """Read an export of log records, of which evaluation results are kept; see
    :func:`receive_traces`."""
    read = json_format.logs if type_ == JSON else protobuf.logs
    groups = read(decompressed(wire, encoding))
    return _received((source_of(g.resource), map(_evaluation, g.records)) for g in groups)


def receive_metrics(wire: bytes, encoding: str | None, type_: str) -> int:
    """Read an export of metrics, of which nothing is kept; returns how many there were."""
    count = json_format.count_metrics if type_ == JSON else protobuf.count_metrics
    return count(decompressed(wire, encoding))


def _span(record: RawSpan | BadRecord) -> Span | BadRecord:
    return record if isinstance(record, BadRecord) else normalise(record)


def _evaluation(record: Any) -> Span | BadRecord | None:
    return record if isinstance(record, BadRecord) else evaluation(record)


def _received(groups: Iterable[tuple[Source, Iterable[Span | BadRecord | None]]]) -> Received:
    received = Received()
    reasons: Counter[str] = Counter()
    dropping = 0
    for source, records in groups:
        kept: list[Span] = []
        for record in records:
            if isinstance(record, Span):
                kept.append(record)
                dropping += "dropped" in record.facts
            elif record is not None:
                reasons[record.reason] += 1
        if kept:
            received.batch.append((source, kept))
    received.rejected = reasons.total()
    received.message = _message(reasons, dropping)
    return received


def _message(reasons: Counter[str], dropping: int) -> str:
    parts = [f"{count} × {reason}" for reason, count in reasons.most_common(MOST_REASONS)]
    if len(reasons) > MOST_REASONS:
        parts.append(f"and {len(reasons) - MOST_REASONS} other reasons")
    if dropping:
        parts.append(DROPPED_ADVICE.format(dropping))
    return "; ".join(parts)
