"""What is logged, and what is not."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.testclient import TestClient

from api.http.metrics import Metrics
from api.http.middleware import guarded
from api.logs import OURS, set_up_logging
from api.problems import add_problem_handlers
from api.settings import Settings
from tests.api.known import callers
from tests.api.loopback import served

KEY = "a-secret-key-that-nobody-may-see"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging as it was, after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.NOTSET)


def logged(format_: str = "json", level: str = "INFO") -> io.StringIO:
    """Set logging up; returns where it goes."""
    stream = io.StringIO()
    set_up_logging(Settings.model_validate({"log_format": format_, "log_level": level}), stream)
    return stream


def rows(stream: io.StringIO) -> list[Any]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def client() -> TestClient:
    app, apps, inner = FastAPI(), APIRouter(prefix="/v1/apps"), APIRouter()
    add_problem_handlers(app)

    @inner.get("/{app}/settings")
    async def settings(app: str) -> str:
        logging.getLogger("api.somewhere").warning("settings of %s", app)
        return app

    @app.get("/broken")
    async def broken() -> None:
        raise LookupError("the inside")

    @app.get("/healthz")
    async def healthz() -> None: ...

    apps.include_router(inner)
    app.include_router(apps)
    served_app = guarded(app, Settings(), Metrics(), callers())
    headers = {"Authorization": f"Bearer {KEY}"}
    return TestClient(served_app, headers=headers, raise_server_exceptions=False)


def test_a_record_is_a_line_of_json_with_the_time_in_utc() -> None:
    stream = logged()
    before = datetime.now(UTC)
    logging.getLogger("api.x").warning("two\nlines of %s", "ä\u2028", extra={"job": 7})
    (row,) = rows(stream)
    assert before <= datetime.fromisoformat(row.pop("time")) <= datetime.now(UTC)
    told = {"level": "WARNING", "logger": "api.x", "message": "two\nlines of ä\u2028", "job": 7}
    assert row == told


def test_text_is_a_line_too_whatever_it_holds() -> None:
    stream = logged("text")
    logging.getLogger("api.x").warning("two\nlines\x1b[2J\x85 of %s", "text")
    (line,) = stream.getvalue().splitlines()
    stamp, rest = line.split(" ", 1)
    assert datetime.fromisoformat(stamp).tzinfo is UTC
    assert rest == r"WARNING api.x: two\nlines\x1b[2J\x85 of text"


def test_every_request_has_a_line_with_the_template_of_its_route() -> None:
    stream = logged()
    response = client().get("/v1/apps/shop/settings?secret=1", headers={"X-Request-Id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"
    inside, access = rows(stream)
    assert inside["message"] == "settings of shop"
    assert inside["request_id"] == access["request_id"] == "mine-1"
    route = "/v1/apps/{app}/settings"
    assert (access["logger"], access["level"]) == ("autorag.access", "INFO")
    assert access["message"] == f"GET {route} 200"
    named = {"method": "GET", "route": route, "status": 200, "app": "shop"}
    assert access.items() >= named.items()
    assert access["ms"] >= 0
    assert "secret" not in stream.getvalue()


def test_the_text_of_a_request_names_its_id_its_app_and_how_long_it_took() -> None:
    stream = logged("text")
    client().get("/v1/apps/shop/settings", headers={"X-Request-Id": "mine-1"})
    line = stream.getvalue().splitlines()[-1]
    assert "autorag.access: GET /v1/apps/{app}/settings 200 request_id=mine-1 app=shop ms=" in line


@pytest.mark.parametrize("given", ["", "two words", "a" * 65, "line\x85", '"}{"'])
def test_an_id_that_cannot_stand_in_a_log_is_replaced(given: str) -> None:
    headers = {"X-Request-Id": given.encode("latin-1")}
    first, second = (client().get("/healthz", headers=headers) for _ in range(2))
    ids = {r.headers["x-request-id"] for r in (first, second)}
    assert len(ids) == 2
    assert all(len(i) == 16 and i.isalnum() for i in ids)


def test_health_is_told_only_to_who_wants_to_know_all() -> None:
    stream = logged()
    client().get("/healthz")
    assert rows(stream) == []
    stream = logged(level="DEBUG")
    client().get("/healthz")
    assert [r["message"] for r in rows(stream)] == ["GET /healthz 200"]


def test_what_is_not_there_has_no_route() -> None:
    stream = logged()
    client().get("/any/thing")
    assert [(r["route"], r["status"]) for r in rows(stream)] == [("none", 404)]


def test_a_failure_is_told_once_with_the_id_that_the_client_got() -> None:
    stream = logged()
    response = client().get("/broken")
    assert (response.status_code, "inside" in response.text) == (500, False)
    failure, access = rows(stream)
    assert "LookupError: the inside" in failure["exc_info"]
    assert failure["request_id"] == access["request_id"] == response.json()["request_id"]
    assert access["status"] == 500


def test_what_fails_beside_the_app_is_answered_and_told_too() -> None:
    stream = logged()

    async def broken(*_: Any) -> None:
        raise LookupError("the inside")

    app = guarded(broken, Settings(), Metrics(), callers())
    response = TestClient(app).get("/")
    assert response.status_code == 500
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert [r["message"] for r in rows(stream)] == ["GET none failed", "GET none 500"]


def test_keys_are_never_told(caplog: pytest.LogCaptureFixture) -> None:
    for format_ in ("json", "text"):
        stream = logged(format_, "DEBUG")
        client().get("/v1/apps/shop/settings")
        client().get("/broken")
        logging.getLogger("api.x").warning("sent {'authorization': 'Bearer %s'}", KEY)
        try:
            raise LookupError(f"Authorization=Bearer%20{KEY}")
        except LookupError:
            logging.getLogger("api.x").exception("it failed")
        assert KEY not in stream.getvalue()
        assert "Bearer ***'}" in stream.getvalue()


def test_libraries_tell_warnings_alone() -> None:
    stream = logged(level="DEBUG")
    logging.getLogger("httpcore").debug("sent everything")
    logging.getLogger("httpx2").info("GET http://secret")
    assert rows(stream) == []


def test_the_server_tells_through_it() -> None:
    stream = logged()

    with served(FastAPI()) as server, server.connect() as connection:
        connection.sendall(b"this is no HTTP\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")
    told = rows(stream)
    assert {r["logger"] for r in told} == {"uvicorn.error"}
    assert "Invalid HTTP request received." in [r["message"] for r in told]
    assert not any("color_message" in r for r in told)


def test_setting_it_up_again_replaces_what_was() -> None:
    first, second = logged(), logged()
    logging.getLogger("api.x").warning("once")
    assert (len(rows(first)), len(rows(second))) == (0, 1)
