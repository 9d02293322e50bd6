"""The server against slow and many clients, and how it stops."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from tests.api.loopback import rest, served, until

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body, or what the path asks for."""
    if scope["type"] != "http":
        return
    request = Request(scope, receive)
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)
    if scope["path"] == "/large":
        await Response(b"x" * 50_000_000)(scope, receive, send)
        return
    if scope["path"] == "/early":
        await PlainTextResponse("early")(scope, receive, send)
        return
    await PlainTextResponse(await request.body() or b"nothing")(scope, receive, send)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: here\r\n", b"\r\n"])
def test_a_connection_without_a_request_is_closed(sent: bytes) -> None:
    with served(app, headers_within_s=0.2) as server, server.connect() as connection:
        connection.sendall(sent)
        assert rest(connection) == b""
        until(lambda: not server.server.server_state.connections)


def test_a_second_request_must_not_dawdle_either() -> None:
    with served(app, headers_within_s=0.2) as server, server.connect() as connection:
        connection.sendall(GET)
        assert connection.recv(65_536).endswith(b"nothing")
        connection.sendall(b"\r\nGET")
        assert rest(connection) == b""


def test_what_comes_early_does_not_cut_the_answer_before_it() -> None:
    with served(app, headers_within_s=0.1) as server, server.connect() as connection:
        connection.sendall(GET.replace(b"/ ", b"/slow ") + b"GET / HT")
        assert connection.recv(65_536).endswith(b"nothing")
        connection.sendall(b"TP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        assert rest(connection).endswith(b"nothing")


def test_a_body_may_take_longer_than_headers() -> None:
    with served(app, headers_within_s=0.1) as server, server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\na")
        time.sleep(0.3)
        connection.sendall(b"b")
        assert connection.recv(65_536).endswith(b"ab")


def test_a_body_that_nobody_reads_is_not_waited_for() -> None:
    with served(app, headers_within_s=0.2) as server, server.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\na")
        assert connection.recv(65_536).endswith(b"early")
        connection.sendall(b"b")
        assert rest(connection) == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 20_000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
        + b"X: a\r\n" * 40_000,
    ],
    ids=["address", "field", "fields", "trailers"],
)
def test_headers_without_end_are_cut_off(sent: bytes) -> None:
    with served(app) as server, server.connect() as connection:
        try:
            connection.sendall(sent)
        except (BrokenPipeError, ConnectionResetError):
            return
        assert rest(connection) == b""


def test_a_client_that_does_not_take_its_answer_is_dropped() -> None:
    with served(app, taken_within_s=0.2) as server, server.connect() as connection:
        connection.sendall(GET.replace(b"/ ", b"/large "))
        until(lambda: bool(server.server.server_state.tasks))
        until(lambda: not server.server.server_state.tasks)
        until(lambda: not server.server.server_state.connections)


def test_one_connection_too_many_is_told_so() -> None:
    with served(app, most_connections=2) as server:
        with server.connect(), server.connect():
            until(lambda: len(server.server.server_state.connections) == 2)
            response = httpx2.get(server.url)
            assert response.status_code == 503
            assert response.headers["content-type"] == "application/problem+json"
            assert (response.headers["retry-after"], response.headers["connection"]) == (
                "1",
                "close",
            )
            assert json.loads(response.content)["detail"] == "too many connections; try again"
        until(lambda: not server.server.server_state.connections)
        assert httpx2.get(server.url).status_code == 200


def test_it_does_not_tell_what_it_is_made_of() -> None:
    with served(app) as server:
        assert "server" not in httpx2.get(server.url).headers


def test_long_polls_are_told_that_it_stops_and_are_answered() -> None:
    stopping = asyncio.Event()
    polled = threading.Event()
    answers = []

    async def polling(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            polled.set()
            await stopping.wait()
            await PlainTextResponse("until then")(scope, receive, send)

    with served(polling, stopping.set, shutdown_s=15) as server:
        client = threading.Thread(target=lambda: answers.append(httpx2.get(server.url).text))
        client.start()
        assert polled.wait(10)
    client.join(10)
    assert answers == ["until then"]


def test_it_stops_also_when_telling_fails() -> None:
    def broken() -> None:
        raise LookupError("the inside")

    with served(app, broken) as server:
        assert httpx2.get(server.url).status_code == 200


@pytest.mark.parametrize(("hard", "after"), [(1000, 628), (300, 300)])
def test_files_are_allowed_for_the_connections_as_far_as_they_can_be(hard: int, after: int) -> None:
    code = f"""
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from api.http.server import make_server
setrlimit(RLIMIT_NOFILE, (200, {hard}))
make_server(None, on_stop=print, shutdown_s=1, most_connections=500)
print(getrlimit(RLIMIT_NOFILE)[0])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{after}\n"
    assert ("172 connections at most" in ran.stderr) == (after < 628)
