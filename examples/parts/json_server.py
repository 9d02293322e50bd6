"""A small HTTP server: JSON in, JSON out, one function a route."""

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Routes = Mapping[str, Callable[[dict[str, Any]], Any]]
"""As in ``"POST /ask"``; the function gets the body and returns what is answered."""

UNUSABLE = (KeyError, TypeError, ValueError)
"""What a function raises that cannot use its body."""


def json_server(host: str, port: int, routes: Routes) -> ThreadingHTTPServer:
    """A server with a thread for each connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(*_answered(routes, f"{self.command} {self.path}", content))

        do_GET = do_POST  # noqa: N815

        def _answer(self, status: int, row: Any) -> None:
            content = json.dumps(row).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    return Server((host, port), Handler)


def _answered(routes: Routes, route: str, content: bytes) -> tuple[int, Any]:
    if route not in routes:
        return 404, {"detail": f"there is {', '.join(routes)}"}
    try:
        return 200, routes[route](json.loads(content or b"{}"))
    except UNUSABLE as error:
        return 400, {"detail": f"{type(error).__name__}: {error}"}
    except Exception as error:
        return 500, {"detail": f"{type(error).__name__}: {error}"}
