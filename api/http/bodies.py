"""Bodies of requests: read whole, within bounds of size, time and memory, before their route runs,
so that a slow client takes no place of one that works; and JSON that nothing behind can trip over.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Mapping

from pydantic_core import from_json
from starlette.types import Message, Receive

from api.problems import RETRY_AFTER_S, ClientGone, Refusal
from autorag.errors import PayloadError

BODY_BYTES = 2**20
MANIFEST_BYTES = 64 * 2**20
HELD_BYTES = 256 * 2**20
"""Of all bodies together."""

BODY_WITHIN_S = 30.0

SMALL_BYTES = 64 * 1024
"""Larger JSON is checked in a thread, while others are answered."""

_MANIFEST = re.compile(r"/v1/apps/[^/]+/documents")
_INTEGERS = range(-(2**63), 2**63)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_SHAPE = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE = (b"0" * 19, b"e000", b"e+000")


def most_bytes(path: str) -> int:
    """How large a body of this path may be."""
    return MANIFEST_BYTES if _MANIFEST.fullmatch(path) else BODY_BYTES


class Bodies:
    """Reads bodies.

    Args:
        most_bytes: of a body, by path.
        held_bytes: see :data:`HELD_BYTES`.
        within_s: seconds that a body may take.
    """

    def __init__(
        self,
        most_bytes: Callable[[str], int] = most_bytes,
        held_bytes: int = HELD_BYTES,
        within_s: float = BODY_WITHIN_S,
    ) -> None:
        self._most_bytes = most_bytes
        self._left = held_bytes
        self._within_s = within_s

    async def read(self, path: str, headers: Mapping[bytes, bytes], receive: Receive) -> Body:
        """The body of a request that has one.

        Raises:
            Refusal: it is too large, too slow, one too many, or JSON that cannot be used.
            ClientGone: it will not come.
        """
        limit = self._most_bytes(path)
        body = Body(self, limit)
        body.check(_length(headers))
        try:
            async with asyncio.timeout(self._within_s):
                await body.fill(receive)
            # Routes with a limit of their own read long bodies, and check them where they can.
            if limit <= BODY_BYTES and _is_json(headers.get(b"content-type", b"")):
                await _check_json(body.content)
        except TimeoutError:
            body.release()
            detail = f"the body did not come within {self._within_s:g} s"
            raise Refusal(408, "body_time", detail, {"Connection": "close"}) from None
        except PayloadError as error:
            body.release()
            raise Refusal(400, "json", str(error)) from error
        except BaseException:
            body.release()
            raise
        return body

    def hold(self, more: int) -> None:
        """Take so many bytes of those that may be held.

        Raises:
            Refusal: there are not so many.
        """
        if more > self._left:
            detail = "too many large bodies at once; try again"
            raise Refusal(503, "bodies", detail, {"Retry-After": str(RETRY_AFTER_S)})
        self._left -= more


class Body:
    """A body that is being read or was; ``release`` gives its bytes back."""

    def __init__(self, bodies: Bodies, most_bytes: int) -> None:
        self._bodies = bodies
        self._most_bytes = most_bytes
        self._held = 0
        self.content = b""

    def check(self, size: int) -> None:
        """Raise when it is larger than it may be."""
        if size > self._most_bytes:
            detail = f"the body has more than {self._most_bytes} bytes"
            raise Refusal(413, "body_size", detail)

    async def fill(self, receive: Receive) -> None:
        """Read it to its end."""
        pieces: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
            size += len(pieces[-1])
            self.check(size)
            self._hold(size)
        self.content = b"".join(pieces)

    def release(self) -> None:
        self._bodies.hold(-self._held)
        self._held = 0

    def replayed(self, receive: Receive) -> Receive:
        """What the route receives: the body, then what comes after it."""
        told = False

        async def replaying() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            content, self.content = self.content, b""
            return {"type": "http.request", "body": content, "more_body": False}

        return replaying

    def _hold(self, size: int) -> None:
        self._bodies.hold(size - self._held)
        self._held = size


def check_json(body: bytes) -> None:
    """Check that this is JSON in UTF-8 whose values every part behind can take: at most 200 levels,
    finite numbers, integers of 64 bits, and texts without U+0000 and lone surrogates.

    Raises:
        PayloadError: it is not.
    """
    try:
        from_json(body, allow_inf_nan=False, cache_strings="none")
        # To look for bytes is a hundred times as fast as to search by a pattern.
        if b"\\u0000" in body and _NUL.search(body):
            raise ValueError("a text holds U+0000")
        if _has_large_number(body):
            json.loads(body, parse_int=_integer, parse_float=_finite)
    except ValueError as error:
        raise PayloadError(f"the body cannot be read as JSON: {error}", key="body") from error


def has_body(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request has a body."""
    return b"transfer-encoding" in headers or _length(headers) > 0


def _length(headers: Mapping[bytes, bytes]) -> int:
    return int(headers.get(b"content-length", b"0"))


async def _check_json(body: bytes) -> None:
    if len(body) > SMALL_BYTES:
        await asyncio.to_thread(check_json, body)
    else:
        check_json(body)


def _has_large_number(body: bytes) -> bool:
    """Whether there may be a number beyond 64 bits, whole or not: 19 digits, or an exponent of
    three."""
    shape = body.translate(_SHAPE)
    return any(large in shape for large in _LARGE)


def _is_json(content_type: bytes) -> bool:
    type_ = content_type.partition(b";")[0].strip().lower()
    return type_ == b"application/json" or type_.endswith(b"+json")


def _integer(text: str) -> int:
    if len(text) > 20 or (number := int(text)) not in _INTEGERS:
        raise ValueError("an integer is beyond 64 bits")
    return number


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError("a number is too large")
    return number
