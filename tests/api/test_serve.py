"""The real ``autorag serve``: what it answers beside telemetry, its admin key, how it fails."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.openapi.models import OpenAPI

from tests.api.command import Command
from tests.api.exports import export
from tests.api.serving import (
    KEY,
    WITHIN_S,
    Serving,
    bare_command,
    error_file,
    serving,
    started,
)

OTHER_KEY = "another-admin-key-for-tests"
MADE = re.compile(r"admin key, shown once: (\S+)")
ROUTES = {
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("post", "/v1/traces"),
    ("post", "/v1/logs"),
    ("post", "/v1/metrics"),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(bare_command(tmp_path_factory.mktemp("serve"))) as running:
        yield running


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return bare_command(tmp_path)


def lets_in(service: Serving, key: str) -> bool:
    with service.client(Authorization=f"Bearer {key}") as client:
        status = export(client, b"").status_code
    assert status in (200, 401)
    return status == 200


def refused(command: Command, *options: object, key: str = KEY) -> str:
    """What it says when it cannot start for what it was given."""
    with started(command, *options, key=key) as process:
        assert process.wait(WITHIN_S) == 2
    said = error_file(command.home).read_text(encoding="utf-8")
    assert said.startswith("autorag: ")
    assert said.count("\n") == 1
    return said


def test_health(service: Serving) -> None:
    assert httpx2.get(f"{service.url}/healthz").json() == {"status": "ok"}
    assert httpx2.get(f"{service.url}/readyz").json() == {"status": "ready"}


def problem(response: httpx2.Response) -> Any:
    assert response.headers["content-type"] == "application/problem+json"
    row = response.json()
    assert row["status"] == response.status_code
    assert set(row) >= {"type", "title", "status", "detail"}
    return row


def test_what_is_not_there_is_a_problem_document(service: Serving) -> None:
    response = httpx2.get(f"{service.url}/v1/nothing?password=1")
    assert problem(response)["title"] == "Not Found"
    assert "password" not in response.text
    assert response.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", "/v1/traces", "POST"), ("DELETE", "/healthz", "GET")]
)
def test_a_method_that_is_not_allowed_is_a_problem_document(
    service: Serving, method: str, path: str, allowed: str
) -> None:
    response = httpx2.request(method, service.url + path)
    assert problem(response)["title"] == "Method Not Allowed"
    assert response.status_code == 405
    assert response.headers["allow"] == allowed


def test_the_description_is_valid_and_names_every_operation(service: Serving) -> None:
    row = httpx2.get(f"{service.url}/openapi.json").json()
    described = OpenAPI.model_validate(row)
    assert described.info.title == "AutoRAG"
    operations = {(m, p): o for p, path in row["paths"].items() for m, o in path.items()}
    assert set(operations) >= ROUTES
    ids = [o["operationId"] for o in operations.values()]
    assert len(set(ids)) == len(ids)
    for method, path in ROUTES - {("get", "/healthz"), ("get", "/readyz")}:
        operation = operations[method, path]
        assert set(operation["responses"]) >= {"200", "400", "401", "413", "415", "503"}
        types = set(operation["requestBody"]["content"])
        assert types == {"application/x-protobuf", "application/json"}


def test_the_first_start_makes_a_key_and_shows_it_once(command: Command) -> None:
    path = command.home / "admin.key"
    with serving(command, key="") as first:
        shown = MADE.findall(first.said())
        assert len(shown) == 1
        assert str(path) in first.said()
        assert path.read_text() == shown[0] + "\n"
        assert path.stat().st_mode & 0o777 == 0o600
        assert lets_in(first, shown[0])
        assert not lets_in(first, shown[0] + "x")
        for file in command.home.glob("*.db*"):
            assert shown[0].encode() not in file.read_bytes()
    with serving(command, key="") as second:
        assert MADE.findall(second.said()) == []
        assert shown[0] not in second.said()
        assert path.read_text() == shown[0] + "\n"
        assert lets_in(second, shown[0])


def test_the_key_of_the_environment_may_be_changed(command: Command) -> None:
    with serving(command, key=KEY) as first:
        assert (lets_in(first, KEY), lets_in(first, OTHER_KEY)) == (True, False)
        assert KEY not in first.said()
        assert not (command.home / "admin.key").exists()
    with serving(command, key=OTHER_KEY) as second:
        assert (lets_in(second, KEY), lets_in(second, OTHER_KEY)) == (False, True)
        stored = b"".join(f.read_bytes() for f in command.home.glob("*.db*"))
    assert hashlib.sha256(OTHER_KEY.encode()).hexdigest().encode() in stored
    assert KEY.encode() not in stored
    assert OTHER_KEY.encode() not in stored


def test_a_bad_key_is_refused_and_not_shown(command: Command) -> None:
    said = refused(command, "--port", 0, key="too-short")
    assert "AUTORAG_ADMIN_KEY" in said
    assert "24" in said
    assert "too-short" not in said


def test_a_port_in_use_is_named_and_no_key_is_lost(command: Command, service: Serving) -> None:
    port = int(service.url.rpartition(":")[2])
    said = refused(command, "--port", port, key="")
    assert f"--port {port}" in said
    with serving(command, key="") as running:
        assert len(MADE.findall(running.said())) == 1


def test_a_host_that_is_not_there_is_named(command: Command) -> None:
    assert "--host 192.0.2.1" in refused(command, "--port", 0, "--host", "192.0.2.1")


@pytest.mark.parametrize("url", ["", "sqlite://", "nosuchdatabase://user:secret@host/x"])
def test_a_bad_database_is_named(command: Command, url: str) -> None:
    said = refused(command, "--port", 0, "--db", url, key="")
    assert "--db" in said
    assert "secret" not in said
    assert not (command.home / "admin.key").exists()


def test_a_database_that_cannot_be_opened_fails(command: Command) -> None:
    (command.home / "autorag-telemetry.db").write_text("Dear reader, this is no database. " * 99)
    with started(command, "--port", 0, key="") as process:
        assert process.wait(WITHIN_S) == 1
    said = error_file(command.home).read_text(encoding="utf-8")
    assert "autorag-telemetry.db" in said
    assert "Traceback" not in said
    assert not (command.home / "admin.key").exists()


def test_a_database_elsewhere_keeps_all(command: Command, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "shop.db"
    with serving(command, "--db", f"sqlite:///{elsewhere}") as running:
        assert lets_in(running, KEY)
    names = {p.name for p in elsewhere.parent.iterdir()}
    assert names == {"shop.db", "shop-telemetry.db"}
    assert list(command.home.iterdir()) == []


def test_an_address_in_brackets_is_shown_whole(tmp_path: Path) -> None:
    if not _has_ipv6():
        pytest.skip("no IPv6 loopback")
    folder = tmp_path / "a [red]folder"
    folder.mkdir()
    with serving(bare_command(folder), "--host", "::1", key="") as running:
        assert running.url.startswith("http://[::1]:")
        assert str(running.home / "admin.key") in running.said()
        assert httpx2.get(f"{running.url}/healthz").status_code == 200


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well_when_it_is_asked_to(command: Command, ending: signal.Signals) -> None:
    with serving(command) as running:
        before = running.said()
        running.process.send_signal(ending)
        assert running.process.wait(WITHIN_S) == 0
        assert running.said() == before
