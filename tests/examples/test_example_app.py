"""A real app process with the reference pipeline, configured by a real service while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.command import write_workload
from tests.api.serving import Serving, bare_command, serving
from tests.examples.processes import Running, running, until

QUESTION = "What is known about it?"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(bare_command(tmp_path_factory.mktemp("service"))) as running_service:
        yield running_service


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_workload(tmp_path_factory.mktemp("docs"))


@pytest.fixture(scope="module")
def app(
    tmp_path_factory: pytest.TempPathFactory, service: Serving, docs: Path
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("app")
    arguments = ("--docs", docs, "--home", folder / "home", "--instance", "web-1", "--no-answers")
    environment = {"AUTORAG_URL": service.url, "AUTORAG_ADMIN_KEY": service.key}
    with running(folder, "app/app.py", *arguments, **environment) as process:
        until(lambda: ack(service, 1)["state"] == "applied")
        yield process
    assert process.process.returncode == 0, process.said()


def of_service(service: Serving, path: str) -> Any:
    with service.client() as http:
        return http.get(path).json()


def ack(service: Serving, revision: int) -> dict[str, Any]:
    """What the instance did with a revision; its state is none before it did anything."""
    found = of_service(service, "/v1/apps/example/acks").get("acks", [])
    mine = (a for a in found if (a["instance"], a["revision"]) == ("web-1", revision))
    return next(mine, {"state": "none"})


def propose(service: Serving, **settings: Any) -> int:
    values = {name.replace("__", "."): value for name, value in settings.items()}
    with service.client() as http:
        answer = http.post("/v1/apps/example/revisions", json={"settings": values})
    assert answer.status_code == 201, answer.text
    number = answer.json()["number"]
    assert isinstance(number, int)
    return number


def observed(service: Serving) -> set[tuple[str, str | None, str | None]]:
    """(stage, revision, instance) of what the service learned from the app's spans."""
    service.wait_until_settled()
    return set(
        service.telemetry(
            "SELECT o.stage, s.revision, s.instance FROM observations o JOIN telemetry_sources s "
            "ON s.id = o.source_id WHERE s.app = 'example' AND o.metric = 'duration_ms'"
        )
    )


def test_it_registers_and_says_which_documents_it_has(service: Serving, app: Running) -> None:
    until(lambda: of_service(service, "/v1/apps/example")["documents"]["version"])
    found = ack(service, 1)
    assert found["mismatched"] == {}
    assert found["values"] == app.get("/settings")["settings"]
    assert of_service(service, "/v1/apps/example")["settings"] == found["values"]


def test_its_spans_become_observations_of_the_revision_that_answered(
    service: Serving, app: Running
) -> None:
    revision = app.get("/settings")["revision"]
    assert len(app.post("/ask", {"question": QUESTION})["contexts"]) == 10
    stages = {"embed", "retrieve", "request"}
    until(lambda: {(s, str(revision), "web-1") for s in stages} <= observed(service))


def test_a_hot_setting_is_taken_up_by_the_poll_that_waits_and_read_back(
    service: Serving, app: Running, record_property: Callable[[str, object], None]
) -> None:
    revision = propose(service, retrieve__k=5)
    took_s = until(lambda: app.get("/settings")["revision"] == revision)
    record_property("pick_up_s", took_s)
    assert took_s < 10
    assert len(app.post("/ask", {"question": QUESTION})["contexts"]) == 5
    until(lambda: ack(service, revision)["state"] == "applied")
    assert ack(service, revision)["values"] == of_service(service, "/v1/apps/example")["settings"]
    assert ack(service, revision)["mismatched"] == {}
    until(lambda: ("retrieve", str(revision), "web-1") in observed(service))


def test_a_setting_that_needs_a_rebuild_comes_with_changed_documents(
    service: Serving, app: Running, docs: Path
) -> None:
    revision = propose(service, chunk__tokens=64, retrieve__k=7)
    until(lambda: app.get("/settings")["revision"] == revision)
    now = app.get("/settings")
    assert now["pending"] == {"chunk.tokens": {"value": 64, "apply": "rebuild:chunk"}}
    assert (now["settings"]["chunk.tokens"], now["settings"]["retrieve.k"]) == (256, 7)
    with (docs / "corpus.jsonl").open("a", encoding="utf-8") as corpus:
        corpus.write('{"id": "new", "title": "Quokka", "text": "The quokka smiles."}\n')
    before = app.post("/ask", {"question": "quokka"})["contexts"]
    assert app.post("/reload")["documents"] == 31
    until(lambda: not app.get("/settings")["pending"])
    assert app.get("/settings")["settings"]["chunk.tokens"] == 64
    released = app.get("/settings")["revision"]
    assert released == revision + 1
    until(lambda: ack(service, released)["values"].get("chunk.tokens") == 64)
    assert "new" not in {context["doc"] for context in before}
    assert app.post("/ask", {"question": "quokka"})["contexts"][0]["doc"] == "new"


def test_a_search_that_nothing_must_be_restarted_for_is_taken_up_at_once_and_the_rest_waits(
    service: Serving, app: Running
) -> None:
    before = app.get("/settings")["settings"]
    revision = propose(service, retrieve__mode="hybrid", rerank__model="maxsim")
    until(lambda: app.get("/settings")["revision"] == revision)
    now = app.get("/settings")
    assert now["settings"] == {**before, "retrieve.mode": "hybrid", "retrieve.alpha": 0.5}
    assert now["pending"].keys() == {"rerank.model", "rerank.depth", "rerank.weight"}
    assert len(app.post("/ask", {"question": QUESTION})["contexts"]) == 7


def test_settings_that_it_cannot_run_with_are_told_and_it_goes_on(
    service: Serving, app: Running, docs: Path
) -> None:
    """An index with cells needs more documents than there are."""
    before = app.get("/settings")
    revision = propose(service, index__kind="ivf_flat", retrieve__mode="dense")
    until(lambda: app.get("/settings")["revision"] == revision)
    with (docs / "corpus.jsonl").open("a", encoding="utf-8") as corpus:
        corpus.write('{"id": "newer", "title": "Numbat", "text": "The numbat runs."}\n')
    app.post("/reload")
    released = revision + 1
    until(lambda: ack(service, released)["state"] == "failed")
    assert "ivf_flat" in ack(service, released)["error"]
    assert app.get("/settings")["settings"] == {
        name: value
        for name, value in {**before["settings"], "retrieve.mode": "dense"}.items()
        if name != "retrieve.alpha"
    }
    assert app.post("/ask", {"question": "numbat"})["contexts"][0]["doc"] == "newer"
