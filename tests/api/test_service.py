"""The service's parts together, in this process: what is slow or fails holds up nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from starlette.testclient import TestClient

import api.attribution
from api.app import create_app
from api.auth import hashed
from api.http.metrics import Metrics
from api.http.middleware import guarded
from api.http.url_checks import UrlChecks
from api.service import Service, running_service
from api.settings import Settings
from autorag.errors import AddressError, StoreError
from collectors.otlp.body import PROTOBUF
from collectors.outbound import Outbound
from store.database import Session
from tests.api.exports import traces_body
from tests.api.loopback import WITHIN_S
from tests.fakes import ManualClock

KEY = "an-admin-key-for-tests-only"


def running(folder: Path, work: Callable[[Service], Awaitable[None]], **settings: Any) -> None:
    """Run work with a service."""

    async def run() -> None:
        async with running_service(Settings(home=folder, **settings), "f00d", ManualClock()) as s:
            await asyncio.wait_for(work(s), WITHIN_S)

    asyncio.run(run())


def names(session: Session) -> list[str]:
    return list(session.apps.names())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_hosts_that_resolve_slowly_hold_up_no_read(tmp_path: Path) -> None:
    go_on = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        go_on.wait(WITHIN_S)
        return ["1.1.1.1"]

    async def work(service: Service) -> None:
        service = replace(service, urls=UrlChecks(Outbound(resolve=resolve)))
        asked = [asyncio.create_task(service.check_url("https://a.org", "a")) for _ in range(20)]
        assert await service.read(names) == []
        go_on.set()
        await asyncio.wait(asked)
        with pytest.raises(AddressError):
            await service.check_url("ftp://a.org", "a")

    running(tmp_path, work)


def test_apps_that_are_forgotten_slowly_hold_up_no_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    async def work(service: Service) -> None:
        monkeypatch.setattr(service.telemetry, "disown", lambda app: go_on.wait(WITHIN_S))
        slow = [asyncio.create_task(service.disown(f"app-{i}")) for i in range(20)]
        await asyncio.sleep(0.05)
        assert await service.read(names) == []
        assert not any(task.done() for task in slow)
        go_on.set()
        await asyncio.gather(*slow)

    running(tmp_path, work)


def test_whoever_waits_is_told_of_changes_after_a_look_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(service: Service) -> None:
        look, failed = service.watch._look, False

        async def failing_once() -> None:
            nonlocal failed
            if not failed:
                failed = True
                raise LookupError("the inside")
            await look()

        monkeypatch.setattr(service.watch, "_look", failing_once)
        # The app is not registered, which is news.
        assert await service.watch.changed("gone", (1, 1), WITHIN_S)

    running(tmp_path, work)
    assert "settings could not be looked at" in caplog.text


def test_names_of_apps_are_read_again_after_a_reading_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(api.attribution, "SOONEST_S", 0.01)

    async def work(service: Service) -> None:
        reads = 0

        async def failing_once(database: Any) -> None:
            nonlocal reads
            service.attribution._stale.clear()
            reads += 1
            if reads == 1:
                raise LookupError("the inside")

        monkeypatch.setattr(service.attribution, "refresh", failing_once)
        service.attribution.outdated()
        await until(lambda: reads == 2)

    running(tmp_path, work)
    assert "apps could not be read" in caplog.text


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[TestClient]:
    """A service of which a key may ask twice, within its limits."""
    settings = Settings(home=tmp_path, rate_per_s=1)

    @asynccontextmanager
    async def running() -> AsyncIterator[Service]:
        async with running_service(settings, "f00d", ManualClock()) as service:
            await service.write(lambda session: session.keys.set_environment_key(hashed(KEY)))
            yield service

    metrics = Metrics()
    app = create_app(running, metrics)
    served = guarded(app, settings, metrics, lambda: app.state.service.callers)
    with TestClient(served) as client:
        yield client


def export(client: TestClient, key: str) -> tuple[int, int]:
    """The status of an answer, and the code of its ``google.rpc.Status``."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": PROTOBUF}
    answer = client.post("/v1/traces", content=traces_body(["a"]), headers=headers)
    return answer.status_code, Status.FromString(answer.content).code if answer.content else 0


def test_senders_with_made_up_keys_are_held_off_and_others_never(strict: TestClient) -> None:
    assert export(strict, KEY) == (200, 0)
    made_up = [export(strict, f"made-up-{i}") for i in range(5)]
    assert made_up == [(401, 16)] * 2 + [(503, 14)] * 3
    assert [export(strict, KEY) for _ in range(5)] == [(200, 0)] * 5


def test_a_refused_key_is_told_the_same_with_and_without_a_body(strict: TestClient) -> None:
    headers = {"Authorization": "Bearer made-up", "X-Request-ID": "a"}
    told = [
        strict.get("/v1/apps", headers=headers),
        strict.post("/v1/apps", headers=headers, json={"name": "a"}),
    ]
    for answer in told:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
    assert told[0].json() == told[1].json()


def test_what_needs_no_key_reads_no_body(strict: TestClient) -> None:
    with closing(strict.request("GET", "/openapi.json", content=b"x" * 2_000_000)) as answer:
        assert answer.status_code == 200
    assert strict.request("GET", "/", content=b"x").status_code == 401


def test_a_database_that_fails_under_a_key_is_no_wrong_key(
    strict: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr("store.keys.KeyRepository.find", broken)
    answer = strict.post("/v1/apps", headers={"Authorization": f"Bearer {KEY}"}, json={})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "disk" not in answer.text
