"""An app on a real server of this process, for tests that speak to it over sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from api.http.server import make_server

WITHIN_S = 20.0


@dataclass(frozen=True)
class Loopback:
    """A server that runs."""

    server: uvicorn.Server
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), WITHIN_S)


@contextmanager
def served(
    app: ASGIApp, on_stop: Callable[[], None] = lambda: None, **options: Any
) -> Iterator[Loopback]:
    """Serve an app in a thread; it has ended when the block is left."""
    server = make_server(app, on_stop=on_stop, **{"shutdown_s": 5, **options})
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            until(lambda: server.started)
            yield Loopback(server, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(WITHIN_S)
    assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Return when it holds."""
    give_up = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.01)


def rest(connection: socket.socket) -> bytes:
    """What comes until the other side closes the connection."""
    pieces = []
    try:
        while piece := connection.recv(65_536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)
