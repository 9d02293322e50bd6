"""The HTTP server: uvicorn, with what it lacks against clients that are slow or many.

A connection is closed when a request's headers are not here in time or are too long, and when its
answer is not taken. One too many is told so by a problem document.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.problems import RETRY_AFTER_S, problem

log = logging.getLogger(__name__)

BACKLOG = 512
HEADERS_WITHIN_S = 10.0
"""From the connection, or from the first byte of another request on it."""

TAKEN_WITHIN_S = 30.0
"""How long a client may leave an answer unread when the buffers are full."""

HEADER_BYTES = 65_536
MOST_CONNECTIONS = 2_000
OTHER_FILES = 128
"""Open files beside connections: databases, logs, pipes of workers."""


class Server(uvicorn.Server):
    """A server that says when it begins to stop, before it waits for what is being answered."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            self._on_stop()
        except Exception:
            log.exception("others could not be told that the server stops")
        await super().shutdown(sockets)


class Protocol(HttpToolsProtocol):
    """A connection.

    Args:
        most_connections: with more, requests are refused.
        headers_within_s, taken_within_s: see the constants.
    """

    def __init__(
        self,
        *arguments: Any,
        most_connections: int,
        headers_within_s: float,
        taken_within_s: float,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._most_connections = most_connections
        self._headers_within_s = headers_within_s
        self._taken_within_s = taken_within_s
        self._headers_due: asyncio.TimerHandle | None = None
        self._taken_due: asyncio.TimerHandle | None = None
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        self._answer_taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._headers_due is None and self._idle():
            self._await_headers()
        super().data_received(data)
        if self._headers_due is not None:
            self._count(len(data))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        # Fields also come after a body in chunks.
        if self._headers_due is None:
            self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        self._headers_came()
        self._header_bytes = 0
        crowded = len(self.connections) > self._most_connections
        app = _crowded if crowded else self.config.loaded_app
        self.app = cast(Any, _closing(app) if self.expect_100_continue else app)
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taken_due = self.loop.call_later(self._taken_within_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._answer_taken()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def _idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _await_headers(self) -> None:
        self._header_bytes = 0
        self._headers_due = self.loop.call_later(self._headers_within_s, self._too_slow)

    def _headers_came(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _answer_taken(self) -> None:
        if self._taken_due is not None:
            self._taken_due.cancel()
            self._taken_due = None

    def _too_slow(self) -> None:
        if self._idle():
            self.transport.abort()
        else:
            # The beginning of another request came early, behind one that is being answered.
            self._await_headers()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEADER_BYTES:
            self.transport.abort()


def make_server(
    app: ASGIApp,
    *,
    on_stop: Callable[[], None],
    shutdown_s: int,
    most_connections: int = MOST_CONNECTIONS,
    headers_within_s: float = HEADERS_WITHIN_S,
    taken_within_s: float = TAKEN_WITHIN_S,
) -> uvicorn.Server:
    """A server of an app, to be run on a listening socket.

    Args:
        on_stop: called in the event loop when the server begins to stop.
        shutdown_s: longest wait for what is being answered then.
    """
    protocol = partial(
        Protocol,
        most_connections=_room(most_connections),
        headers_within_s=headers_within_s,
        taken_within_s=taken_within_s,
    )
    config = uvicorn.Config(
        app,
        http=cast(Any, protocol),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=shutdown_s,
    )
    return Server(config, on_stop)


def _room(connections: int) -> int:
    """As many of these as the process may have files for; its limit is raised where it can be."""
    wanted = connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    log.warning("%d files may be open: %d connections at most", soft, soft - OTHER_FILES)
    return max(1, soft - OTHER_FILES)


def _closing(app: ASGIApp) -> ASGIApp:
    """An app for a client that waits to be asked for its body. When it is answered instead, nobody
    can tell whether the body or another request comes next: the connection is closed."""

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        asked = False

        async def receiving() -> Message:
            nonlocal asked
            asked = True
            return await receive()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and not asked:
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receiving, sending)

    return closing


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to one too many."""
    headers = {"Retry-After": str(RETRY_AFTER_S), "Connection": "close"}
    await problem(503, "too many connections; try again", headers)(scope, receive, send)
