"""Content addresses: BLAKE2b-160 over canonical JSON or bytes, in hex (40 digits)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

ADDRESS_BYTES = 20


def address(value: Any) -> str:
    """The address of a JSON value: equal values have equal addresses whatever the key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return bytes_address(text.encode())


def bytes_address(raw: bytes) -> str:
    """The address of bytes."""
    return blake2b(raw, digest_size=ADDRESS_BYTES).hexdigest()


def text_id(text: str) -> bytes:
    """The address of a text as ``ADDRESS_BYTES`` raw bytes (chunk ids)."""
    return blake2b(text.encode(), digest_size=ADDRESS_BYTES).digest()


def multiset_address(items: Iterable[bytes]) -> str:
    """The address of a multiset: order does not matter, repetition does."""
    digest = blake2b(digest_size=ADDRESS_BYTES)
    for item in sorted(items):
        digest.update(len(item).to_bytes(4, "big") + item)
    return digest.hexdigest()
