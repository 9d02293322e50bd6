"""A real HTTP server on loopback, in a thread, that answers from a function."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Request:
    """Names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Reply:
    """A body that is no ``bytes`` is sent piece by piece; None hangs up without an answer."""

    status: int = 200
    content: bytes | Iterable[bytes] | None = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Handle = Callable[[Request], Reply]


@dataclass(frozen=True)
class Loopback:
    """A running server; ``asked`` remembers every request."""

    port: int
    asked: list[Request]
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


@contextmanager
def serving(handle: Handle, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Loopback]:
    """Serve POST and PUT requests from ``handle`` until the end of the block."""
    asked: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.append(Request(self.path, headers, content))
            reply = handle(asked[-1])
            if reply.content is None:
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            pieces = [reply.content] if isinstance(reply.content, bytes) else reply.content
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()

        def do_PUT(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None: ...

    server = _Server(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield Loopback(server.server_port, asked, "http" if tls is None else "https")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
