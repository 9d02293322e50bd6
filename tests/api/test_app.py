"""The service when something inside fails: what is answered, and what is not told."""

from __future__ import annotations

import platform
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from sqlalchemy import Connection
from starlette.testclient import TestClient

import api.ingest
import api.service
from api.app import create_app
from api.auth import hashed
from api.http.metrics import Metrics
from api.service import Service, running_service
from api.settings import Settings
from autorag.errors import StoreError
from collectors.otlp.body import JSON, PROTOBUF
from store.telemetry import TelemetryStore
from store.writer import BatchWriter
from tests.api.exports import a_trace, encoded, request, traces_body
from tests.fakes import ManualClock

KEY = "an-admin-key-for-tests-only"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """The service in this process, on databases of its own."""

    @asynccontextmanager
    async def running() -> AsyncIterator[Service]:
        settings = Settings(home=tmp_path)
        async with running_service(settings, "f00d", ManualClock()) as service:
            await service.write(lambda session: session.keys.set_environment_key(hashed(KEY)))
            yield service

    headers = {"Authorization": f"Bearer {KEY}"}
    app = create_app(running, Metrics())
    with TestClient(app, headers=headers, raise_server_exceptions=False) as client:
        yield client


def export(client: TestClient, type_: str = PROTOBUF) -> Any:
    content = traces_body(["a"]) if type_ == PROTOBUF else b"{}"
    return client.post("/v1/traces", content=content, headers={"Content-Type": type_})


def test_spans_that_could_not_be_stored_may_be_sent_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise StoreError("telemetry could not be written: the disk is full")

    monkeypatch.setattr(TelemetryStore, "_add", broken)
    response = export(client)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    status = Status.FromString(response.content)
    assert (status.code, status.message) == (14, "not stored; send it again")
    assert "the disk is full" in caplog.text
    monkeypatch.undo()
    assert export(client).status_code == 200


@pytest.mark.parametrize("type_", [PROTOBUF, JSON])
def test_what_was_not_foreseen_is_told_to_the_log_alone(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    type_: str,
) -> None:
    def broken(*_: Any) -> None:
        raise LookupError("the inside")

    monkeypatch.setattr(api.ingest, "receive_traces", broken)
    response = export(client, type_)
    assert response.status_code == 500
    assert response.headers["content-type"] == type_
    assert b"the inside" not in response.content
    assert "the inside" in caplog.text
    monkeypatch.undo()
    assert export(client, type_).status_code == 200


@pytest.mark.parametrize("failure", [MemoryError(), RuntimeError("cannot schedule new futures")])
def test_what_may_pass_is_to_be_sent_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def broken(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(api.ingest, "receive_traces", broken)
    response = export(client, PROTOBUF)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1


def test_a_path_with_a_slash_at_its_end_is_not_redirected(client: TestClient) -> None:
    response = client.post("/v1/traces/", headers={"Host": "elsewhere"}, follow_redirects=False)
    assert response.status_code == 404


def test_a_database_that_fails_is_told_to_the_log_alone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing(_: Service) -> None:
        raise StoreError("no such table: keys\n[SQL: SELECT]")

    monkeypatch.setattr(Service, "check", failing)
    assert client.get("/readyz").json()["detail"] == "not ready: the databases do not answer"
    assert "no such table: keys" in caplog.text
    assert "SQL" not in caplog.text


def test_without_its_databases_it_is_alive_but_not_ready(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/readyz").status_code == 200
    monkeypatch.setattr(api.service, "READY_WITHIN_S", 0.05)
    may_go_on = threading.Event()

    def hold(_: Connection) -> None:
        assert may_go_on.wait(10)

    service: Service = client.app.state.service
    writer: BatchWriter = service.telemetry._writer
    writer.submit(hold)
    response = client.get("/readyz")
    assert client.get("/healthz").status_code == 200
    may_go_on.set()
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["detail"] == "not ready: the databases do not answer"
    monkeypatch.undo()
    assert client.get("/readyz").status_code == 200


def test_what_was_not_foreseen_elsewhere_is_a_problem_document(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Service) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(Service, "check", broken)
    response = client.get("/readyz")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "inside" not in response.text


def test_what_is_sent_from_this_machine_has_its_profile(client: TestClient) -> None:
    for name, host in (("here", platform.node()), ("there", "elsewhere.example")):
        content = encoded(request(a_trace(name), host__name=host))
        response = client.post("/v1/traces", content=content, headers={"Content-Type": PROTOBUF})
        assert response.status_code == 200
    service: Service = client.app.state.service
    assert {s.host: s.hardware for s in service.telemetry.sources()} == {
        platform.node(): "f00d",
        "elsewhere.example": None,
    }
