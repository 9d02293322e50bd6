"""What Prometheus reads."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest
from fastapi import FastAPI, Response
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from api.http.limits import waiting
from api.http.metrics import CONTENT_TYPE, Metrics, render
from api.http.middleware import guarded
from api.settings import Settings
from tests.api.known import callers
from tests.api.loopback import served, until

POST = (
    b"POST /poll HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer one\r\nContent-Length: 9\r\n\r\n"
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def app(metrics: Metrics) -> FastAPI:
    app = FastAPI()
    app.state.news = asyncio.Event()

    @app.get("/v1/apps/{name}")
    async def get(name: str) -> str:
        return name

    @app.get("/poll")
    async def poll() -> None:
        async with waiting("news"):
            await app.state.news.wait()

    @app.get("/metrics")
    async def scrape() -> Response:
        return Response(render(metrics), media_type=CONTENT_TYPE)

    return app


def client(app: FastAPI, metrics: Metrics, **settings: float) -> TestClient:
    settings_ = Settings.model_validate(settings)
    known = callers("one", per_s=settings_.rate_per_s)
    return TestClient(guarded(app, settings_, metrics, known))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_requests_are_counted_by_the_template_of_their_route(
    app: FastAPI, metrics: Metrics
) -> None:
    asking = client(app, metrics)
    for name in "abc":
        asking.get(f"/v1/apps/{name}")
    asking.get("/nothing/here")
    asking.request("BREW", "/v1/apps/a")
    requests = "autorag_http_requests_total"
    route = "/v1/apps/{name}"
    assert value(metrics, requests, method="GET", route=route, status="200") == 3
    assert value(metrics, requests, method="GET", route="none", status="404") == 1
    assert value(metrics, requests, method="other", route=route, status="405") == 1
    assert value(metrics, "autorag_http_request_seconds_count", route=route) == 4
    assert value(metrics, "autorag_http_in_flight") == 0


def test_what_was_refused_is_counted_by_its_reason(app: FastAPI, metrics: Metrics) -> None:
    asking = client(app, metrics, rate_per_s=0.5)
    headers = {"Authorization": "Bearer one"}
    asking.post("/v1/apps/a", content=b"x" * 1_048_577, headers=headers)
    asking.post("/v1/apps/a", content=b"x")
    asking.get("/v1/apps/a")
    refused = "autorag_http_refused_total"
    assert value(metrics, refused, reason="rate") == 1
    assert value(metrics, refused, reason="body_size") == 1
    assert value(metrics, refused, reason="key") == 1


def test_what_is_read_can_be_parsed_and_tells_of_the_process(
    app: FastAPI, metrics: Metrics
) -> None:
    response = client(app, metrics).get("/metrics")
    assert response.headers["content-type"] == CONTENT_TYPE
    names = {family.name for family in text_string_to_metric_families(response.text)}
    assert names >= {"process_resident_memory_bytes", "python_info", "autorag_http_in_flight"}
    assert "python_gc_objects_collected" in names


def test_long_polls_are_counted_and_their_waiting_is_no_work(
    app: FastAPI, metrics: Metrics
) -> None:
    guarded_app = guarded(app, Settings(), metrics, callers("one"))
    with served(guarded_app, app.state.news.set) as server, server.connect() as connection:
        began = time.monotonic()
        connection.sendall(b"GET /poll HTTP/1.1\r\nHost: here\r\n\r\n")
        until(lambda: value(metrics, "autorag_long_polls") == 1)
        assert "autorag_http_in_flight 2.0" in httpx2.get(f"{server.url}/metrics").text
        time.sleep(0.3)
        server.server.should_exit = True
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
    took_s = time.monotonic() - began
    assert value(metrics, "autorag_long_polls") == 0
    assert value(metrics, "autorag_http_request_seconds_count", route="/poll") == 1
    worked_s = value(metrics, "autorag_http_request_seconds_sum", route="/poll")
    assert worked_s is not None
    assert worked_s <= took_s - 0.3


def test_a_client_that_left_is_counted_as_such(app: FastAPI, metrics: Metrics) -> None:
    with served(guarded(app, Settings(), metrics, callers("one"))) as server:
        with server.connect() as connection:
            connection.sendall(POST)
            until(lambda: value(metrics, "autorag_http_in_flight") == 1)
        until(lambda: value(metrics, "autorag_http_refused_total", reason="gone") == 1)
    requests = "autorag_http_requests_total"
    assert value(metrics, requests, method="POST", route="none", status="499") == 1


def test_two_services_do_not_share_counts(app: FastAPI, metrics: Metrics) -> None:
    client(app, metrics).get("/v1/apps/a")
    route = "/v1/apps/{name}"
    assert value(Metrics(), "autorag_http_request_seconds_count", route=route) is None
