"""Spans as they were sent, whatever the encoding: what the two decoders agree on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from collectors.otlp.attributes import Attributes

MAX_RECORDS = 500_000
"""Spans or log records in one request."""

MAX_PARTS = 1_000_000
"""Resources, scopes and records in one request; in protobuf also what stands beside them."""

TOO_MANY_RECORDS = f"a request may have {MAX_RECORDS} records; send smaller batches"
TOO_MANY_PARTS = (
    f"a request may have {MAX_PARTS} resources, scopes and records; send smaller batches"
)

RECORD_LIMIT = 8 << 20
"""Bytes of one span or log record."""

MAX_ATTRIBUTES = 20_000
"""Attributes of one span."""


class RawEvent(NamedTuple):
    """An event of a span."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(slots=True)
class RawSpan:
    """A span as sent. ``dropped`` attributes were left out by the sender's SDK."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    flags: int
    trace_state: str
    dropped: int
    attributes: Attributes
    events: Sequence[RawEvent]


@dataclass(slots=True)
class RawLog:
    """A log record as sent; only named events are of interest."""

    trace_id: bytes
    span_id: bytes
    event: str
    time_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Group:
    """Records of one resource and scope, decoded one at a time.

    Attributes:
        resource: wanted attributes of the resource.
        records: what each record is, or the reason why it cannot be read.
    """

    resource: dict[str, Any]
    records: Iterator[Any] = field(repr=False)


class BadRecord(NamedTuple):
    """A record that cannot be read."""

    reason: str


RESOURCE = frozenset(
    {
        "autorag.app",
        "autorag.revision",
        "autorag.document_version",
        "autorag.hardware",
        "service.name",
        "service.instance.id",
        "host.name",
    }
)
"""Resource attributes that are read."""
