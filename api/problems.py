"""Errors as RFC 9457 problem documents: the offending key and value, and nothing of the inside."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from autorag.errors import AutoragError, BusyError, InputError

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1


def problem(status: int, detail: str, headers: Any = None, **members: Any) -> Response:
    """A problem document."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
    content = json.dumps(body, default=str).encode()
    return Response(content, status, headers, media_type="application/problem+json")


def first_line(error: BaseException) -> str:
    """What a log needs of an error: databases add the statement below."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def add_problem_handlers(app: FastAPI) -> None:
    """Let the app answer every error with a problem document."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(AutoragError, _known)
    app.add_exception_handler(Exception, _unknown)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return problem(422, f"{key}: {first['msg']}", key=key, value=first.get("input"))


async def _known(_: Request, error: Exception) -> Response:
    if isinstance(error, InputError):
        return problem(400, str(error), key=error.key, value=error.value)
    if isinstance(error, BusyError):
        return problem(503, str(error), {"Retry-After": str(RETRY_AFTER_S)})
    log.error("%s", first_line(error))
    return problem(500, "the service failed; its log says why")


async def _unknown(request: Request, error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "the service failed; its log says why")
