"""One service for all tests here: a real process with a database of its own. Each test has apps of
its own, and leaves of everything else what it found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.serving import Serving, bare_command, serving

_NAMES = (f"app-{n}" for n in itertools.count())


@dataclass(frozen=True)
class App:
    """A registered app, with a client that has its key."""

    name: str
    key: str
    client: httpx2.Client

    def url(self, path: str = "") -> str:
        return f"/v1/apps/{self.name}{path}"

    def settings(self, **query: Any) -> dict[str, Any]:
        """What is delivered to it."""
        return ok(self.client.get(self.url("/settings"), params=query))

    def propose(self, **settings: Any) -> dict[str, Any]:
        """Propose settings; names have ``__`` for a dot."""
        values = {name.replace("__", "."): value for name, value in settings.items()}
        return ok(self.client.post(self.url("/revisions"), json={"settings": values}), 201)


Register = Callable[..., App]


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder: Path = tmp_path_factory.mktemp("service")
    data = folder / "data"
    data.mkdir()
    more = {"AUTORAG_DATA_DIR": str(data), "AUTORAG_RATE_PER_S": "0"}
    with serving(bare_command(folder), "--workers", 0, environment=more) as running:
        yield running


@pytest.fixture(scope="package")
def admin(service: Serving) -> Iterator[httpx2.Client]:
    with service.client() as client:
        yield client


@pytest.fixture(scope="module")
def register(service: Serving, admin: httpx2.Client) -> Iterator[Register]:
    """Registers an app under a name of its own."""
    clients: list[httpx2.Client] = []

    def make(**registration: Any) -> App:
        name = registration.pop("name", None) or next(_NAMES)
        made = ok(admin.post("/v1/apps", json={"name": name, **registration}), 201)
        client = service.client(Authorization=f"Bearer {made['key']}")
        clients.append(client)
        return App(name, made["key"], client)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def app(register: Register) -> App:
    return register()


def ok(answer: httpx2.Response, status: int = 200) -> dict[str, Any]:
    """The body of an answer that must be a success."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json() if answer.content else {}
    return body


def refused(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer that must be a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    return problem
