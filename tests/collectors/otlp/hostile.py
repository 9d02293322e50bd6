"""Bodies that are small on the wire and large in memory.

As a program: takes in those whose names it is given, one after the other, and prints for each, as a
line of JSON, its name, what came of it, and the peak of the process's memory in MiB above what it
had before. The bodies are compressed piece by piece, so that making them is no peak of its own.
"""

from __future__ import annotations

import gzip
import json
import resource
import sys
import zlib
from dataclasses import dataclass

from autorag.errors import PayloadError
from collectors.otlp.body import BODY_LIMIT, JSON, MOST_MEMBERS, PROTOBUF, WIRE_LIMIT
from collectors.otlp.json_format import MAX_VALUES
from collectors.otlp.raw import RECORD_LIMIT
from collectors.otlp.receive import receive_metrics, receive_traces
from tests.collectors.otlp.spans import source_of
from tests.collectors.otlp.wire import VARINT, field, opened, tag

PIECE = 1 << 20
ROOM = 128
"""Bytes for what stands around the repeated part."""


@dataclass(frozen=True)
class Body:
    """A part that is repeated, and what stands around it."""

    head: bytes
    unit: bytes
    count: int
    tail: bytes = b""
    type: str = PROTOBUF

    def compressed(self) -> bytes:
        writer = zlib.compressobj(1, zlib.DEFLATED, 31)
        some = max(1, PIECE // len(self.unit))
        pieces = [writer.compress(self.head)]
        pieces += [writer.compress(self.unit * some) for _ in range(self.count // some)]
        pieces += [writer.compress(self.unit * (self.count % some) + self.tail), writer.flush()]
        return b"".join(pieces)


def protobuf(unit: bytes, *fields: int, size: int = BODY_LIMIT) -> Body:
    """A part again and again, inside of these fields in each other."""
    count = (size - ROOM) // len(unit)
    return Body(opened(count * len(unit), *fields), unit, count)


def json_text(head: str, unit: str = "{}", size: int = BODY_LIMIT) -> Body:
    """A part again and again, and the brackets that its head opened."""
    closing = "".join("]" if c == "[" else "}" for c in reversed(head) if c in "[{")
    count = (size - ROOM - len(head)) // (len(unit) + 1)
    return Body(head.encode(), f"{unit},".encode(), count, (unit + closing).encode(), JSON)


def value() -> Body:
    """One attribute that is read, whose value is a list of very many nothings."""
    key = field(1, b"output.value")
    size = (RECORD_LIMIT - ROOM) // 2 * 2
    values = opened(size, 2, 5)
    head = opened(len(key) + len(values) + size, *RECORD, 9) + key + values
    return Body(head, HEAD, size // 2)


HEAD, MEMBER = field(1, b""), field(2, b"")
ATTRIBUTE, EVENT, LINK = field(9, b""), field(11, b""), field(13, b"")
RECORD = 1, 2, 2
SPANS = '{"resourceSpans":[{"scopeSpans":[{"spans":['
HALF = MAX_VALUES // 2 * 3
"""Bytes of ``{},`` that have as many values as are allowed."""

BODIES = {
    "resources": protobuf(HEAD),
    "scopes": protobuf(MEMBER, 1),
    "heads": protobuf(HEAD, 1),
    "records": protobuf(MEMBER, 1, 2),
    "records of many scopes": protobuf(field(2, MEMBER * 300_000), 1),
    "unknown fields": protobuf(tag(9, VARINT) + b"\0"),
    "zeros": protobuf(b"\0"),
    "attributes of a resource": protobuf(HEAD, 1, 1, size=RECORD_LIMIT),
    "attributes": protobuf(ATTRIBUTE, *RECORD, size=RECORD_LIMIT),
    "events": protobuf(EVENT, *RECORD, size=RECORD_LIMIT),
    "links": protobuf(LINK, *RECORD, size=RECORD_LIMIT),
    "a long value": value(),
    "JSON: objects": json_text('{"resourceSpans":['),
    "JSON: resources": json_text('{"resourceSpans":[', size=HALF),
    "JSON: scopes": json_text('{"resourceSpans":[{"scopeSpans":[', size=HALF),
    "JSON: records": json_text(SPANS, "1", 2 * MAX_VALUES),
    "JSON: metrics": json_text('{"resourceMetrics":[{"scopeMetrics":[{"metrics":[', "1", HALF),
    "JSON: attributes of a resource": json_text(
        '{"resourceSpans":[{"resource":{"attributes":[', size=HALF
    ),
    "JSON: attributes": json_text(SPANS + '{"attributes":[', size=RECORD_LIMIT),
    "JSON: events": json_text(SPANS + '{"events":[', size=RECORD_LIMIT),
    "JSON: a long value": json_text(
        SPANS + '{"attributes":[{"key":"output.value","value":{"arrayValue":{"values":[',
        size=RECORD_LIMIT,
    ),
    "JSON: depth": Body(b"", b"[", BODY_LIMIT // 32, b"", JSON),
}

MADE = ("bomb", "empty members", "full members")


def wire_of(name: str) -> tuple[bytes, str]:
    """A body as it comes, compressed by gzip, and its type."""
    if name == "bomb":
        return Body(b"", bytes(PIECE), 16 * BODY_LIMIT // PIECE).compressed(), PROTOBUF
    if name == "empty members":
        empty = gzip.compress(b"")
        return empty * (WIRE_LIMIT // len(empty)), PROTOBUF
    if name == "full members":
        full = gzip.compress(b"\n\0" * (BODY_LIMIT // MOST_MEMBERS // 2))
        return full * MOST_MEMBERS, PROTOBUF
    return BODIES[name].compressed(), BODIES[name].type


def outcome(name: str, wire: bytes, type_: str) -> str:
    try:
        if name == "JSON: metrics":
            receive_metrics(wire, "gzip", type_)
        else:
            receive_traces(wire, "gzip", type_, source_of)
    except PayloadError as error:
        return type(error).__name__
    return "received"


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    before = peak_mib()
    for name in sys.argv[1:]:
        told = outcome(name, *wire_of(name))
        sys.stdout.write(json.dumps([name, told, round(peak_mib() - before)]) + "\n")


if __name__ == "__main__":
    main()
