"""OTLP/HTTP: ``/v1/traces``, ``/v1/metrics``, ``/v1/logs``.

Errors are ``google.rpc.Status`` in the request's content type; what was not stored is answered with
503, which senders try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from api.auth import bearer, identify
from api.http.schema import ERROR_HEADERS
from api.problems import RETRY_AFTER_S, Refusal, first_line
from api.service import Service
from autorag.errors import (
    AutoragError,
    BusyError,
    PayloadError,
    PayloadTooLargeError,
    PayloadTypeError,
    StoreError,
    UnauthenticatedError,
)
from collectors.otlp.answer import Signal, failure
from collectors.otlp.body import JSON, PROTOBUF, check_wire_size, media_type

log = logging.getLogger(__name__)

BODY_WITHIN_S = 60.0
"""A body that takes longer is given up: its sender may be gone, and it keeps a place."""

LOOPBACK = frozenset({"127.0.0.1", "::1"})
FORWARDED = frozenset({"forwarded", "via", "x-forwarded-for", "x-real-ip"})
"""Headers of proxies."""

router = APIRouter(tags=["telemetry"])

_STATUSES = {
    400: "The body cannot be read",
    401: "No valid key",
    403: "The key does not open this",
    413: "The body is too large",
    415: "Neither protobuf nor JSON, or an unknown encoding",
    500: "The service failed; its log says why",
    503: "Not stored; send it again",
}


def _content(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Protobuf, which OpenAPI cannot describe, or the JSON of its message."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {PROTOBUF: binary, JSON: {"schema": schema, **more}}


def _route(message: str, resources: str, rejected: str) -> dict[str, Any]:
    """What a route declares: its OTLP message, the field that holds all, and that of what was
    turned away."""
    told = {rejected: {"type": "string"}, "errorMessage": {"type": "string"}}
    success = {
        "type": "object",
        "properties": {"partialSuccess": {"type": "object", "properties": told}},
    }
    error = {
        "type": "object",
        "description": "google.rpc.Status",
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
        "required": ["code", "message"],
    }
    body = {"type": "object", "description": f"An OTLP {message}"}
    errors = {
        code: {
            "description": text,
            "content": _content(error),
            "headers": ERROR_HEADERS.get(code, {}),
        }
        for code, text in sorted(_STATUSES.items())
    }
    taken = {"description": "Taken in", "content": _content(success)}
    return {
        "responses": {200: taken, **errors},
        "response_class": Response,
        "openapi_extra": {
            "requestBody": {"required": True, "content": _content(body, example={resources: []})},
            "security": [{"key": []}],
        },
    }


_TRACES = _route("ExportTraceServiceRequest", "resourceSpans", "rejectedSpans")
_LOGS = _route("ExportLogsServiceRequest", "resourceLogs", "rejectedLogRecords")
_METRICS = _route("ExportMetricsServiceRequest", "resourceMetrics", "rejectedDataPoints")


@router.post("/v1/traces", operation_id="export_traces", **_TRACES)
async def traces(request: Request) -> Response:
    """Take in spans."""
    return await _export(request, "traces")


@router.post("/v1/logs", operation_id="export_logs", **_LOGS)
async def logs(request: Request) -> Response:
    """Take in log records, of which evaluation results are kept."""
    return await _export(request, "logs")


@router.post("/v1/metrics", operation_id="export_metrics", **_METRICS)
async def metrics(request: Request) -> Response:
    """Accept metrics, of which nothing is kept."""
    return await _export(request, "metrics")


async def _export(request: Request, signal: Signal) -> Response:
    service: Service = request.app.state.service
    headers = request.headers
    type_ = JSON
    try:
        type_ = media_type(headers.get("content-type"))
        await service.callers.charge_strangers(request.scope)
        caller = await identify(request, bearer(headers.get("authorization")))
        if not (caller.key.admin or "ingest" in caller.key.scopes):
            return _failure(403, "this key lacks the scope 'ingest'", type_)
        service.ingest.enter()
        try:
            wire = await _body(request)
            encoding = headers.get("content-encoding")
            answer = await service.ingest.export(
                signal, wire, encoding, type_, here=_is_here(request), app=caller.key.app
            )
        finally:
            service.ingest.leave()
    except UnauthenticatedError as error:
        return _failure(401, str(error), type_, {"WWW-Authenticate": "Bearer"})
    except Refusal as refusal:
        return _failure(503, refusal.detail, type_, refusal.headers)
    except AutoragError as error:
        return _refused(error, type_)
    except ClientDisconnect:
        return _failure(400, "the body ended too early", type_)
    except (MemoryError, RuntimeError) as error:
        return _refused(StoreError(f"{signal}: {error!r}"), type_)
    except Exception:
        log.exception("%s could not be taken in", signal)
        return _failure(500, "the service failed; its log says why", type_)
    return Response(answer, media_type=type_)


async def _body(request: Request) -> bytes:
    """The body as it comes; given up at the limit, whatever its length was said to be."""
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        check_wire_size(int(length))
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for piece in request.stream():
                size += len(piece)
                check_wire_size(size)
                pieces.append(piece)
    except TimeoutError:
        raise BusyError(f"the body did not come within {BODY_WITHIN_S:.0f} s") from None
    return b"".join(pieces)


def _is_here(request: Request) -> bool:
    """Whether the sender is on this machine: it calls from here, and for nobody else."""
    caller = request.client.host if request.client is not None else ""
    return caller in LOOPBACK and not FORWARDED & set(request.headers)


def _refused(error: AutoragError, type_: str) -> Response:
    if isinstance(error, PayloadTooLargeError):
        return _failure(413, str(error), type_)
    if isinstance(error, PayloadTypeError):
        accepted = {"Accept-Encoding": "gzip, deflate"}
        return _failure(415, str(error), type_, accepted)
    if isinstance(error, PayloadError):
        return _failure(400, str(error), type_)
    if not isinstance(error, BusyError):
        log.warning("telemetry was not stored: %s", first_line(error))
    return _failure(503, "not stored; send it again", type_, {"Retry-After": str(RETRY_AFTER_S)})


def _failure(
    status: int, message: str, type_: str, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(failure(status, message, type_), status, headers, media_type=type_)
