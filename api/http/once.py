"""Answering a request once: ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header).

The answer is written in the transaction of what the request did, so that after a crash either both
are there or neither is. The same key with the same request gets the same answer again; with another
request it is refused. Two at the same moment are one after the other, because writes are. A secret
in an answer is made from what the caller alone knows, its own key, and so need not be kept to be
answered again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from fastapi import Header, Request, Response

from api.auth import Caller, bearer, new_key
from api.service import Service
from autorag.errors import ReusedKeyError
from store.answers import Answer
from store.database import Session

SHOWN_ONCE = "(shown once)"
"""Stands for a secret in an answer that is kept: only hashes of secrets are."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Makes trying again safe for 24 hours: the same key is answered once.",
        examples=["7b5c2d0e-1"],
    ),
]

Work = Callable[[Session], tuple[int, Any]]
"""Does something in a transaction, and returns the status and the body of the answer."""


async def answer_once(
    request: Request,
    caller: Caller,
    key: str | None,
    work: Work,
    *,
    secret: str | None = None,
    **headers: str,
) -> Response:
    """Do the work and answer, or answer as before.

    Args:
        secret: what :data:`SHOWN_ONCE` in the body stands for; see :func:`secret_for`.

    Raises:
        ReusedKeyError: the key was used for another request.
    """
    service: Service = request.app.state.service
    asked = await _fingerprint(request)

    def once(session: Session) -> Answer:
        if key is not None and (known := session.answers.find(caller.hash, key)) is not None:
            if known.request != asked:
                raise ReusedKeyError(
                    f"Idempotency-Key {key!r} was used for another request",
                    key="Idempotency-Key",
                    value=key,
                )
            return known
        status, body = work(session)
        answer = Answer(asked, status, headers, encoded(body))
        if key is not None:
            session.answers.add(caller.hash, key, answer)
        return answer

    answer = await service.write(once)
    body = answer.body
    if secret is not None:
        body = body.replace(encoded(SHOWN_ONCE), encoded(secret))
    return as_response(answer.status, body, answer.headers)


async def secret_for(request: Request, key: str | None) -> str:
    """A new secret; under an idempotency key the same for the same request of the same caller."""
    mine = bearer(request.headers.get("authorization"))
    if key is None or mine is None:
        return new_key()
    about = f"{key}\n{await _fingerprint(request)}".encode()
    made = hmac.digest(mine.encode(), about, "sha256")
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def json_answer(status: int, body: Any, **headers: str) -> Response:
    """An answer in JSON."""
    return as_response(status, encoded(body), headers)


def encoded(body: Any) -> bytes:
    """JSON; nothing for None."""
    return b"" if body is None else msgspec.json.encode(body)


def as_response(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    media_type = "application/json" if body else None
    return Response(body, status, named, media_type=media_type)


async def _fingerprint(request: Request) -> str:
    asked = hashlib.blake2b(f"{request.method} {request.url.path}\n".encode(), digest_size=32)
    asked.update(await request.body())
    return asked.hexdigest()
