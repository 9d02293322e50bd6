"""Protobuf by hand, for what no library would write."""

from __future__ import annotations

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return opened(len(payload), number) + payload


def opened(size: int, *numbers: int) -> bytes:
    """What stands before a payload of this size that is inside of these fields in each other."""
    head = b""
    for number in reversed(numbers):
        head = tag(number, BYTES) + varint(size + len(head)) + head
    return head


def request(*records: bytes) -> bytes:
    """An export whose one scope has these records."""
    return field(1, field(2, b"".join(field(2, r) for r in records)))
