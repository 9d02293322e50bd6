"""The one-file client against the real service: settings, acknowledgements, reports, documents."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from examples.client.autorag_client import Client, Refused, register
from tests.api.command import Command
from tests.api.serving import Serving, bare_command, serving
from tests.examples.processes import until
from tests.loopback import Loopback, Reply, Request
from tests.loopback import serving as listening

DEFAULTS = {"retrieve.k": 7}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(bare_command(tmp_path_factory.mktemp("client"))) as running:
        yield running


class App:
    """Runs with what it is told, unless it is told to fail."""

    def __init__(self) -> None:
        self.runs_with: dict[str, Any] = {}
        self.calls = 0
        self.fails = False

    def apply(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        self.calls += 1
        if self.fails:
            raise RuntimeError("no such index")
        self.runs_with = dict(settings)
        return self.runs_with


def propose(service: Serving, app: str, **settings: Any) -> int:
    values = {name.replace("__", "."): value for name, value in settings.items()}
    with service.client() as http:
        answer = http.post(f"/v1/apps/{app}/revisions", json={"settings": values})
    assert answer.status_code == 201, answer.text
    number = answer.json()["number"]
    assert isinstance(number, int)
    return number


def acks(service: Serving, app: str) -> dict[tuple[str, int], dict[str, Any]]:
    """(instance, revision) → what it did."""
    with service.client() as http:
        found = http.get(f"/v1/apps/{app}/acks").json()["acks"]
    return {(ack["instance"], ack["revision"]): ack for ack in found}


def reported(service: Serving, app: str) -> list[tuple[str, float, str | None]]:
    """(metric, value, revision) of everything that the service has of an app."""
    return service.telemetry(
        "SELECT o.metric, o.value, s.revision FROM observations o JOIN telemetry_sources s "
        "ON s.id = o.source_id WHERE s.app = ? ORDER BY o.value",
        app,
    )


def started(service: Serving, app: str, folder: Path, **options: Any) -> Client:
    key = register(service.url, service.key, app)
    given = {"defaults": DEFAULTS, "state_dir": folder, **options}
    return Client(service.url, app, key, "web-1", **given).start()


# -- settings -----------------------------------------------------------------------------------


def test_a_registered_app_gets_its_settings_and_says_what_it_runs_with(
    service: Serving, tmp_path: Path
) -> None:
    app = App()
    with closing(started(service, "first", tmp_path, on_change=app.apply)) as client:
        until(lambda: client.revision == 1)
        assert client.settings["retrieve.k"] == 10
        assert app.runs_with == client.settings
        until(lambda: acks(service, "first")["web-1", 1]["state"] == "applied")
    ack = acks(service, "first")["web-1", 1]
    assert ack["values"] == app.runs_with
    assert ack["mismatched"] == {}
    assert ack["received_at"] <= ack["applied_at"]


def test_a_new_revision_comes_by_the_poll_that_waits(
    service: Serving, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    app = App()
    with closing(started(service, "quick", tmp_path, on_change=app.apply)) as client:
        until(lambda: client.revision == 1)
        time.sleep(0.5)  # the next poll waits now
        propose(service, "quick", retrieve__k=20)
        took_s = until(lambda: client.revision == 2)
        record_property("pick_up_s", took_s)
        assert took_s < 10
        assert client.settings["retrieve.k"] == app.runs_with["retrieve.k"] == 20
        until(lambda: acks(service, "quick").get(("web-1", 2), {}).get("state") == "applied")


def test_what_waits_for_documents_is_seen_and_comes_with_them(
    service: Serving, tmp_path: Path
) -> None:
    with closing(started(service, "waits", tmp_path)) as client:
        until(lambda: client.revision == 1)
        client.send_documents({"a": "1", "b": "1"})
        until(lambda: client.documents)
        propose(service, "waits", chunk__tokens=512)
        until(lambda: client.pending)
        assert client.pending == {"chunk.tokens": {"value": 512, "apply": "rebuild:chunk"}}
        assert client.settings["chunk.tokens"] == 256
        client.send_documents({"a": "2", "c": "1"})
        until(lambda: not client.pending)
        assert client.settings["chunk.tokens"] == 512
        assert client.documents is not None
        assert client.documents["difference"] == {
            "added": 0,
            "modified": 1,
            "deleted": 0,
            "renamed": 1,
        }


def test_all_documents_are_sent_when_the_service_knows_others(
    service: Serving, tmp_path: Path
) -> None:
    with closing(started(service, "others", tmp_path)) as client:
        client.send_documents({"a": "1"})
        until(lambda: client.documents)
        with service.client() as http:
            http.put("/v1/apps/others/documents", json={"documents": {"x": "9"}})
        client.send_documents({"a": "1", "b": "1"})
        until(lambda: client.documents["version"] == 3)  # type: ignore[index]
        assert client.documents["documents"] == 2  # type: ignore[index]


def test_settings_that_cannot_be_applied_are_refused_once_and_the_old_ones_stay(
    service: Serving, tmp_path: Path
) -> None:
    app = App()
    with closing(started(service, "fails", tmp_path, on_change=app.apply)) as client:
        until(lambda: client.revision == 1)
        app.fails = True
        propose(service, "fails", retrieve__k=50)
        until(lambda: acks(service, "fails").get(("web-1", 2), {}).get("state") == "failed")
        assert acks(service, "fails")["web-1", 2]["error"] == "RuntimeError: no such index"
        assert (client.revision, client.settings["retrieve.k"]) == (1, 10)
        time.sleep(1)
        assert app.calls == 2
        app.fails = False
        propose(service, "fails", retrieve__k=20)
        until(lambda: client.revision == 3)
        assert (app.calls, app.runs_with["retrieve.k"]) == (3, 20)


def test_what_is_read_back_otherwise_is_seen_by_the_service(
    service: Serving, tmp_path: Path
) -> None:
    with closing(started(service, "liar", tmp_path, on_change=lambda _: {"retrieve.k": 3})):
        until(lambda: acks(service, "liar").get(("web-1", 1), {}).get("state") == "applied")
    assert acks(service, "liar")["web-1", 1]["mismatched"] == {
        "retrieve.k": {"delivered": 10, "read": 3}
    }


# -- without a service --------------------------------------------------------------------------


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_without_a_service_the_defaults_hold_and_nothing_raises_or_waits(
    nowhere: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with Client(nowhere, "a", "k", defaults=DEFAULTS, state_dir=tmp_path, most_reports=10) as app:
        started = time.perf_counter()
        for i in range(1000):
            assert app.settings["retrieve.k"] == 7
            app.report("request", "duration_ms", i, "ms")
        took_s = time.perf_counter() - started
        record_property("settings_and_report_us", took_s * 1e3)
        with app.stage("retrieve"):
            pass
        assert (app.revision, dict(app.pending), app.documents) == (None, {}, None)
        assert app.dropped == 1001 - 10
        with pytest.raises(TypeError):
            app.settings["retrieve.k"] = 8  # type: ignore[index]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '"settings"',
        '{"settings": {}}',
        '{"settings": 3, "pending": {}, "revision": 1}',
        "[" * 100_000,
        "\0\0\0",
    ],
    ids=lambda content: content[:12],
)
def test_a_broken_state_file_is_ignored(nowhere: str, tmp_path: Path, content: str) -> None:
    options: dict[str, Any] = {"defaults": DEFAULTS, "state_dir": tmp_path}
    for file in _state_of(nowhere, tmp_path):
        file.write_text(content, encoding="utf-8")
        assert Client(nowhere, "a", "k", **options).settings == DEFAULTS
    for file in _state_of(nowhere, tmp_path):
        file.write_bytes(b"\xff\xfe")
        assert Client(nowhere, "a", "k", **options).settings == DEFAULTS


def test_settings_that_cannot_be_kept_are_applied_all_the_same(
    service: Serving, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    with closing(started(service, "no-disk", tmp_path / "a file")) as client:
        until(lambda: client.revision == 1)


def test_what_is_no_measurement_is_left_out(service: Serving, tmp_path: Path) -> None:
    with closing(started(service, "odd", tmp_path)) as client:
        odd: Any = [("retrieve", "x", float("nan")), ("retrieve", "x", "much"), ("r", "x", 1)]
        for stage, metric, value in [*odd, ("retrieve", "2 metrics", 1), ("retrieve", "x", None)]:
            client.report(stage, metric, value)
        client.report("retrieve", "documents", 5)
        until(lambda: reported(service, "odd"))
    assert [r[:2] for r in reported(service, "odd")] == [("documents", 5.0)]


class Odd:
    """Raises whatever is asked of it."""

    def __float__(self) -> float:
        raise RuntimeError("no number")

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __hash__ = None  # type: ignore[assignment]


def test_reporting_never_raises(nowhere: str) -> None:
    odd: Any = Odd()
    client = Client(nowhere, "a", "k", defaults=DEFAULTS, state_dir=None)
    for row in (
        ("retrieve", "documents", odd),
        (odd, "documents", 1),
        ("retrieve", odd, 1),
        ("retrieve", "documents", 1, odd),
        ([], {}, "1", 7),
    ):
        client.report(*row)
    with client.stage(odd):
        pass


def test_without_a_home_folder_settings_are_kept_nowhere(
    nowhere: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    client = Client(nowhere, "a", "k", defaults=DEFAULTS)
    assert client.settings == DEFAULTS
    client._save(client._document)
    assert [r.levelname for r in caplog.records] == ["WARNING"]


# -- through crashes ----------------------------------------------------------------------------


def test_a_service_that_dies_costs_no_report_and_no_setting(tmp_path: Path) -> None:
    command = bare_command(tmp_path)
    with serving(command) as service:
        port = int(service.url.rsplit(":", 1)[1])
        client = started(service, "lives", tmp_path / "state")
        until(lambda: client.revision == 1)
        propose(service, "lives", retrieve__k=20)
        until(lambda: client.revision == 2)
        client.report("retrieve", "documents", 0)
        until(lambda: len(reported(service, "lives")) == 1)
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
    for i in range(1, 1500):
        client.report("retrieve", "documents", i)
    assert client.settings["retrieve.k"] == 20
    another = Client(
        service.url, "lives", "no key", defaults=DEFAULTS, state_dir=tmp_path / "state"
    )
    assert (another.revision, another.settings["retrieve.k"]) == (2, 20)
    with _serving_on(port, command) as service:
        propose(service, "lives", retrieve__k=50)
        until(lambda: client.revision == 3)
        until(lambda: len(reported(service, "lives")) >= 1500)
        client.close()
        values = reported(service, "lives")
    assert [value for _, value, _ in values] == list(range(1500))
    assert {revision for _, _, revision in values} == {"2"}
    assert client.dropped == 0


def test_a_batch_whose_answer_was_lost_is_counted_once(service: Serving, tmp_path: Path) -> None:
    """Between the client and the service something loses answers and refuses requests."""
    key = register(service.url, service.key, "lossy")
    seen: list[str] = []

    def handle(request: Request) -> Reply:
        seen.append(json.loads(request.content)["batch"])
        if len(seen) == 1:
            return Reply(503, b"", {"Retry-After": "0"})
        with service.client() as http:
            answer = http.post(
                request.path, content=request.content, headers={"Content-Type": "application/json"}
            )
        return Reply(200, None if len(seen) == 2 else answer.content)

    with listening(handle) as between, _client(between, "lossy", key, tmp_path) as client:
        client.report("retrieve", "documents", 5)
        until(lambda: len(seen) == 3)
    assert len(set(seen)) == 1
    assert [r[:2] for r in reported(service, "lossy")] == [("documents", 5.0)]
    assert client.dropped == 0


def test_a_service_that_asks_for_a_pause_gets_it(tmp_path: Path) -> None:
    times: list[float] = []

    def handle(_: Request) -> Reply:
        times.append(time.monotonic())
        return Reply(429, b"", {"Retry-After": "3"})

    with listening(handle) as service, _client(service, "paused", "k", tmp_path) as client:
        client.report("retrieve", "documents", 5)
        until(lambda: len(times) == 2)
    assert times[1] - times[0] >= 3


@pytest.mark.parametrize("failing", ["/acks", "/documents", "/observations"])
def test_what_the_service_cannot_take_holds_nothing_else_back(tmp_path: Path, failing: str) -> None:
    taken: set[str] = set()

    def handle(request: Request) -> Reply:
        kind = "/" + request.path.rsplit("/", 1)[1]
        if kind == failing:
            return Reply(500)
        taken.add(kind)
        return Reply(200, b'{"root": "r", "documents": 1, "version": 1}')

    with listening(handle) as service, _client(service, "apart", "k", tmp_path) as client:
        client._acknowledge(client._document, "received")
        client.send_documents({"a": "1"})
        client.report("retrieve", "documents", 5)
        until(lambda: len(taken) == 2)
    assert failing not in taken
    assert client.dropped == 0


@pytest.mark.parametrize("status", [401, 403])
def test_reports_wait_for_a_key_that_is_let_in(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def handle(request: Request) -> Reply:
        seen.append(json.loads(request.content)["batch"])
        return Reply(status if len(seen) < 4 else 200)

    with listening(handle) as service, _client(service, "locked", "k", tmp_path) as client:
        client.report("retrieve", "documents", 5)
        until(lambda: len(seen) == 4)
    assert len(set(seen)) == 1
    assert client.dropped == 0
    told = [r for r in caplog.records if r.levelname == "WARNING" and "reports" in r.getMessage()]
    assert len(told) == 1


# -- registering --------------------------------------------------------------------------------


def test_registering_again_makes_another_key_and_a_third_time_is_refused(service: Serving) -> None:
    keys = {register(service.url, service.key, "twice", objective="max recall_at_10")}
    keys.add(register(service.url, service.key, "twice"))
    assert len(keys) == 2
    with pytest.raises(Refused) as refused:
        register(service.url, service.key, "twice")
    assert refused.value.status == 409
    for key in keys:
        answer = httpx2.get(
            f"{service.url}/v1/apps/twice", headers={"Authorization": f"Bearer {key}"}
        )
        assert answer.json()["objective"] == "max recall_at_10"


def test_a_change_that_is_being_applied_ends_before_the_client_and_is_acknowledged(
    service: Serving, tmp_path: Path
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def slow(_: Mapping[str, Any]) -> None:
        begun.set()
        time.sleep(0.5)
        ended.set()

    with closing(started(service, "slow", tmp_path, on_change=slow)):
        begun.wait()
    assert ended.is_set()
    assert acks(service, "slow")["web-1", 1]["state"] == "applied"


def test_threads_end_with_the_client(service: Serving, tmp_path: Path) -> None:
    with closing(started(service, "ends", tmp_path, wait_s=1)) as client:
        until(lambda: client.revision == 1)
        threads = [t for t in threading.enumerate() if t.name == "autorag"][-2:]
    until(lambda: not any(t.is_alive() for t in threads))


def _client(service: Loopback, app: str, key: str, folder: Path) -> Client:
    return Client(service.url, app, key, "web-1", defaults=DEFAULTS, state_dir=folder)


def _state_of(url: str, folder: Path) -> list[Path]:
    """The state file of an app of this service, after it got settings once."""
    client = Client(url, "a", "k", defaults=DEFAULTS, state_dir=folder)
    folder.mkdir(exist_ok=True)
    assert client._file is not None
    return [client._file]


def _serving_on(port: int, command: Command) -> Any:
    return serving(command, "--port", port)
