"""Errors as RFC 9457 problem documents: the offending key and value, and nothing of the inside."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from api.logs import REQUEST_ID
from autorag.errors import (
    AutoragError,
    BusyError,
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    ReusedKeyError,
    StoreError,
    TooManyError,
    UnauthenticatedError,
)

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
STATUSES: Mapping[type[AutoragError], int] = {
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    ReusedKeyError: 422,
    InputError: 400,
    TooManyError: 429,
    BusyError: 503,
    StoreError: 503,
}
"""What errors mean to a client, those of one kind before the others."""

HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    429: {"Retry-After": str(RETRY_AFTER_S)},
    503: {"Retry-After": str(RETRY_AFTER_S)},
}

LONGEST_VALUE = 200
"""Characters of an offending value that are answered: nobody needs a large body back."""


class Refusal(Exception):
    """A request that is turned away before it reaches its route.

    Attributes:
        reason: one word, for the metrics.
    """

    def __init__(
        self, status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = headers


class ClientGone(Exception):
    """The client left: nobody waits for an answer."""


def problem(status: int, detail: str, headers: Any = None, **members: Any) -> Response:
    """A problem document; it names the request where there is an id."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
    if "value" in body:
        body["value"] = shown(body["value"])
    if (request := REQUEST_ID.get()) is not None:
        body["request_id"] = request
    content = json.dumps(body, default=str).encode()
    return Response(content, status, headers, media_type="application/problem+json")


def problem_of(error: AutoragError) -> Response:
    """What an error means to a client."""
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
    if status == 500:
        log.error("%s", first_line(error))
        return problem(500, "the service failed; its log says why")
    if isinstance(error, StoreError):
        log.error("%s", first_line(error))
        return problem(status, "the database failed; try again", HEADERS[status])
    members = {"key": error.key, "value": error.value} if isinstance(error, InputError) else {}
    return problem(status, str(error), HEADERS.get(status), **members)


def shown(value: Any) -> Any:
    """An offending value as JSON can carry it; a long one is cut short."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)[:LONGEST_VALUE]
    return value if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def first_line(error: BaseException) -> str:
    """What a log needs of an error: databases add the statement below."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def add_problem_handlers(app: FastAPI) -> None:
    """Let the app answer every error with a problem document."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(AutoragError, _known)
    app.add_exception_handler(ClientGone, _gone)
    app.add_exception_handler(Exception, _unknown)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = error.headers
    if error.status_code == 405 and (route := request.scope.get("route")) is not None:
        # The router names the methods of the first route of that path alone.
        headers = {"Allow": ", ".join(request.app.state.methods[route.path])}
    return problem(error.status_code, error.detail, headers)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return problem(422, f"{key}: {first['msg']}", key=key, value=first.get("input"))


async def _known(_: Request, error: Exception) -> Response:
    assert isinstance(error, AutoragError)
    return problem_of(error)


async def _gone(_: Request, error: Exception) -> Response:
    return _Nothing()


class _Nothing(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing."""


async def _unknown(request: Request, error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "the service failed; its log says why")
