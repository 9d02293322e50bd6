"""From what is on the wire to one decompressed body, within limits.

A compressed body is expanded piece by piece and given up at the limit, so that one which would
expand to gigabytes never does.
"""

from __future__ import annotations

import zlib

from autorag.errors import PayloadError, PayloadTooLargeError, PayloadTypeError

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

WIRE_LIMIT = 8 << 20
BODY_LIMIT = 64 << 20

MOST_MEMBERS = 1_000
"""Members of a gzip stream: each costs a copy of what follows it."""

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def media_type(content_type: str | None) -> str:
    """The type of a body, without its parameters.

    Raises:
        PayloadTypeError: neither protobuf nor JSON.
    """
    found = (content_type or "").partition(";")[0].strip().lower()
    if found not in (PROTOBUF, JSON):
        raise PayloadTypeError(
            f"Content-Type {content_type!r}: expected {PROTOBUF} or {JSON}",
            key="Content-Type",
            value=content_type,
        )
    return found


def check_wire_size(size: int) -> None:
    """Refuse a body that is too large before it is read.

    Raises:
        PayloadTooLargeError: above :data:`WIRE_LIMIT`.
    """
    if size > WIRE_LIMIT:
        raise PayloadTooLargeError(
            f"Content-Length {size}: a request may have {WIRE_LIMIT} bytes; send smaller batches",
            key="Content-Length",
            value=size,
        )


def decompressed(wire: bytes, encoding: str | None) -> bytes:
    """The body.

    Args:
        encoding: of the Content-Encoding header: none, identity, gzip or deflate.

    Raises:
        PayloadTypeError: another encoding.
        PayloadTooLargeError: above :data:`BODY_LIMIT` when expanded.
        PayloadError: not what the encoding says.
    """
    name = (encoding or "identity").strip().lower()
    if name == "identity":
        return wire
    if name not in ("gzip", "deflate"):
        raise PayloadTypeError(
            f"Content-Encoding {encoding!r}: expected gzip, deflate or identity",
            key="Content-Encoding",
            value=encoding,
        )
    try:
        return _inflated(wire)
    except zlib.error as error:
        raise PayloadError(f"malformed {name} body ({error})", key="Content-Encoding") from error


def _inflated(wire: bytes) -> bytes:
    """Expand every member of a gzip or zlib stream."""
    pieces: list[bytes] = []
    room = BODY_LIMIT
    while wire or not pieces:
        if len(pieces) == MOST_MEMBERS:
            raise zlib.error(f"more than {MOST_MEMBERS} members")
        member = zlib.decompressobj(_GZIP_OR_ZLIB)
        piece = member.decompress(wire, room + 1)
        room -= len(piece)
        if room < 0:
            raise PayloadTooLargeError(
                f"a request may have {BODY_LIMIT} bytes when decompressed; send smaller batches",
                key="Content-Encoding",
            )
        if not member.eof:
            raise zlib.error("it ends too early")
        pieces.append(piece)
        wire = member.unused_data
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
