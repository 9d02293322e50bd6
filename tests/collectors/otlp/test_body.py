"""From the wire to one body: what is undone, and where it ends."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import PayloadError, PayloadTooLargeError, PayloadTypeError
from collectors.otlp.body import (
    BODY_LIMIT,
    JSON,
    MOST_MEMBERS,
    PROTOBUF,
    WIRE_LIMIT,
    check_wire_size,
    decompressed,
    media_type,
)

BODY = b"what an app tells " * 100


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/x-protobuf", PROTOBUF),
        ("application/json", JSON),
        ("application/json; charset=utf-8", JSON),
        ("Application/X-Protobuf", PROTOBUF),
        (' APPLICATION/JSON ;Charset="UTF-8"', JSON),
    ],
)
def test_a_type_is_known_with_parameters_and_in_any_case(content_type: str, expected: str) -> None:
    assert media_type(content_type) == expected


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-protobuf2", "application/grpc", "json", ";", "*/*"],
)
def test_another_type_is_refused_by_name(content_type: str | None) -> None:
    with pytest.raises(PayloadTypeError) as refused:
        media_type(content_type)
    assert refused.value.key == "Content-Type"
    assert refused.value.value == content_type
    assert repr(content_type) in str(refused.value)


@given(st.binary())
def test_every_encoding_is_undone(body: bytes) -> None:
    for encoding in ("gzip", "GZIP", " gzip "):
        assert decompressed(gzip.compress(body), encoding) == body
    assert decompressed(zlib.compress(body), "deflate") == body
    for encoding in (None, "", "identity", "Identity"):
        assert decompressed(body, encoding) == body


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "x"])
def test_another_encoding_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(PayloadTypeError, match=encoding) as refused:
        decompressed(BODY, encoding)
    assert refused.value.key == "Content-Encoding"


def test_the_members_of_a_gzip_stream_follow_one_another() -> None:
    wire = gzip.compress(BODY) + gzip.compress(b"") + gzip.compress(b"and more")
    assert decompressed(wire, "gzip") == BODY + b"and more"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_stream_that_ends_too_early_is_refused_wherever_it_ends(encoding: str) -> None:
    wire = gzip.compress(BODY) if encoding == "gzip" else zlib.compress(BODY)
    for length in range(len(wire)):
        with pytest.raises(PayloadError, match=f"malformed {encoding}"):
            decompressed(wire[:length], encoding)


@pytest.mark.parametrize("garbage", [b"x", b"\0" * 8, gzip.compress(BODY, mtime=0)[:12]])
def test_what_follows_the_stream_is_not_passed_over(garbage: bytes) -> None:
    with pytest.raises(PayloadError, match="malformed gzip"):
        decompressed(gzip.compress(BODY) + garbage, "gzip")


def test_a_flipped_bit_is_found_by_the_checksum() -> None:
    wire = bytearray(gzip.compress(BODY))
    wire[-6] ^= 1
    with pytest.raises(PayloadError, match="incorrect data check"):
        decompressed(bytes(wire), "gzip")


def test_what_is_not_compressed_is_refused() -> None:
    with pytest.raises(PayloadError, match="malformed gzip"):
        decompressed(BODY, "gzip")


def test_the_wire_limit_is_exact() -> None:
    check_wire_size(WIRE_LIMIT)
    with pytest.raises(PayloadTooLargeError) as refused:
        check_wire_size(WIRE_LIMIT + 1)
    assert refused.value.value == WIRE_LIMIT + 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_the_expanded_limit_is_exact(encoding: str) -> None:
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    assert len(decompressed(compress(bytes(BODY_LIMIT), 1), encoding)) == BODY_LIMIT
    with pytest.raises(PayloadTooLargeError, match=str(BODY_LIMIT)):
        decompressed(compress(bytes(BODY_LIMIT + 1), 1), encoding)


def test_the_expanded_limit_is_that_of_all_members() -> None:
    half = gzip.compress(bytes(BODY_LIMIT // 2), 1)
    assert len(decompressed(half + half, "gzip")) == BODY_LIMIT
    with pytest.raises(PayloadTooLargeError):
        decompressed(half + half + gzip.compress(b"x"), "gzip")


def test_the_limit_of_members_is_exact() -> None:
    member = gzip.compress(b"m")
    assert decompressed(member * MOST_MEMBERS, "gzip") == b"m" * MOST_MEMBERS
    with pytest.raises(PayloadError, match=str(MOST_MEMBERS)):
        decompressed(member * (MOST_MEMBERS + 1), "gzip")
