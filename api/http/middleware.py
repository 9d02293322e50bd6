"""What surrounds the app: every request gets an id and is limited, counted and logged."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.bodies import Bodies
from api.http.callers import Callers
from api.http.limits import QUIET, WAITED_S, Limits
from api.http.metrics import Metrics
from api.logs import REQUEST_ID
from api.problems import problem
from api.settings import Settings

log = logging.getLogger(__name__)
access = logging.getLogger("autorag.access")

LEFT = 499
"""The status of a request whose client left, as nginx counts it."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"

_SANE_ID = re.compile(rb"[\w.:-]{1,64}", re.ASCII)


def guarded(
    app: ASGIApp, settings: Settings, metrics: Metrics, callers: Callable[[], Callers]
) -> ASGIApp:
    """The app as it is served; ``callers`` are asked for once it runs."""
    limits = Limits(
        app,
        metrics,
        callers,
        Bodies(),
        most_requests=settings.most_requests,
        most_waiting=settings.most_waiting,
    )
    return Observed(limits, metrics)


class Observed:
    """ASGI middleware: the request's id, its line in the log, its part in the metrics. It is the
    outermost, and answers what failed unforeseen."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answer = _Answer(send, _request_id(scope))
        token = REQUEST_ID.set(answer.request_id.decode())
        self._metrics.in_flight.inc()
        try:
            await self._answered(scope, receive, answer)
        finally:
            self._metrics.in_flight.dec()
            self._tell(scope, answer.status, time.perf_counter() - began)
            REQUEST_ID.reset(token)

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            if answer.status == LEFT:
                log.exception("%s %s failed", scope["method"], _route(scope))
                failed = problem(500, "the service failed; its log says why")
                await failed(scope, receive, answer.send)
            elif not answer.complete:
                raise
            # Else the app answered and told its log, before it raised the error on.

    def _tell(self, scope: Scope, status: int, took_s: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = _route(scope)
        waited_s = scope.get(WAITED_S, 0.0)
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(took_s - waited_s)
        level = logging.DEBUG if scope["path"] in QUIET else logging.INFO
        if not access.isEnabledFor(level):
            return
        told = {"method": method, "route": route, "status": status, "ms": round(took_s * 1e3, 2)}
        if waited_s:
            told["waited_ms"] = round(waited_s * 1e3, 2)
        if (app := scope.get("path_params", {}).get("app")) is not None:
            told["app"] = app
        access.log(level, "%s %s %d", method, route, status, extra=told)


class _Answer:
    """What is sent for a request; its id goes with it."""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self.request_id = request_id
        self.status = LEFT
        self.complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            mine = (b"x-request-id", self.request_id)
            message = {**message, "headers": [*message.get("headers", ()), mine]}
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True


def _request_id(scope: Scope) -> bytes:
    """The id that the client gave, when it can stand in a log; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return bytes(value)
    return os.urandom(8).hex().encode()


def _route(scope: Scope) -> str:
    """The template of the route that was found, since paths are without number."""
    if "endpoint" not in scope:
        return NO_ROUTE
    # A router in a router knows its own part of the path alone; what is in force knows all.
    in_force = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    fixed = NO_ROUTE if scope.get("path_params") else scope["path"]
    return str(getattr(in_force, "path", None) or fixed)
