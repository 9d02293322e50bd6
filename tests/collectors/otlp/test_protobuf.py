"""What protobuf alone can do wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autorag.errors import PayloadError
from collectors.otlp.body import PROTOBUF
from collectors.otlp.receive import Received, receive_logs, receive_traces
from tests.collectors.otlp import wire
from tests.collectors.otlp.spans import Sent, kept, source_of
from tests.collectors.otlp.wire import FIXED32, FIXED64, VARINT, field, tag, varint


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"\x0a\x7f",
        Sent("cut").message.SerializeToString()[:-3],
        field(5, b"\xff\xfe"),
        field(9, field(2, field(5, b"")) * 3)[:-1],
    ],
    ids=["no tag", "too long", "cut", "not UTF-8", "cut inside"],
)
def test_a_span_that_is_not_protobuf_costs_only_itself(payload: bytes) -> None:
    a, c = (Sent(n, id=i).message.SerializeToString() for i, n in ((1, "a"), (3, "c")))
    found = receive_traces(wire.request(a, payload, c), None, PROTOBUF, source_of)
    assert [s.name for s in kept(found)] == ["a", "c"]
    assert found.rejected == 1
    assert "malformed protobuf" in found.message


def test_unknown_fields_of_protobuf_are_passed_over() -> None:
    unknown = field(77, b"later") + tag(78, VARINT) + varint(2**64 - 1)
    unknown += tag(79, FIXED64) + bytes(8) + tag(80, FIXED32) + bytes(4)
    span = Sent("a").message.SerializeToString() + unknown
    resource = unknown + field(2, unknown + field(2, span)) + field(3, b"schema")
    found = receive_traces(unknown + field(1, resource), None, PROTOBUF, source_of)
    assert [s.name for s in kept(found)] == ["a"]
    assert found.rejected == 0


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0b",
        b"\x0c",
        b"\x0f",
        b"\x09\x00",
        b"\x0d\x00",
        b"\x08",
        b"\xff" * 11,
        b"\x02\x00",
        b"{}",
        field(1, b"\x12\x02"),
        field(1, field(1, b"\xff")),
        field(1, field(1, field(1, field(1, b"\xff\xfe")))),
    ],
)
@pytest.mark.parametrize("receive", [receive_traces, receive_logs])
def test_outer_levels_that_are_not_protobuf_are_refused(
    body: bytes, receive: Callable[..., Received]
) -> None:
    with pytest.raises(PayloadError, match="malformed protobuf"):
        receive(body, None, PROTOBUF, source_of)
