"""An app on Qdrant, tuned through its evaluator: by the command, and by a job of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from examples.client.autorag_client import register
from tests.api.command import write_workload
from tests.api.serving import Serving, bare_command, serving
from tests.examples.processes import Running, running, until
from tests.examples.running import FOLDER

SPACE = json.loads((FOLDER / "vector_store/space.json").read_text(encoding="utf-8"))
DEFAULTS = {knob["name"]: knob["default"] for knob in SPACE["knobs"]}
OBJECTIVE = "max ndcg_at_10 subject to context_tokens <= 2000"
QUESTIONS = [{"id": "a", "question": "What is known about it?"}, {"id": "b", "question": "And?"}]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a workload in ``docs``; one of its documents is long."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "docs").mkdir()
    write_workload(folder / "docs")
    with (folder / "docs" / "corpus.jsonl").open("a", encoding="utf-8") as corpus:
        corpus.write(json.dumps({"id": "long", "text": "It went on and on. " * 40}) + "\n")
    return folder


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("app")
    with running(folder, "vector_store/app.py", "--docs", data / "docs") as process:
        yield process
    assert process.said().count("\n") == 1, process.said()
    assert process.process.returncode == 0


def evaluated(app: Running, **settings: Any) -> Any:
    config = {**DEFAULTS, **{name.replace("__", "."): v for name, v in settings.items()}}
    return app.post("/evaluate", {"config": config, "queries": QUESTIONS})


@pytest.mark.parametrize(
    "settings",
    [
        {"search__mode": "dense"},
        {"search__mode": "words"},
        {"search__mode": "hybrid", "search__fusion": "ranks", "search__dense_weight": 0.8},
        {"search__mode": "hybrid", "search__fusion": "scores"},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_every_search_answers_in_full(app: Running, settings: Mapping[str, Any]) -> None:
    answer = evaluated(app, **settings, search__limit=5)
    assert [result["id"] for result in answer["results"]] == ["a", "b"]
    embeds = settings["search__mode"] != "words"
    for result in answer["results"]:
        assert len(result["doc_ids"]) == len(result["scores"]) == 5
        assert result["scores"] == sorted(result["scores"], reverse=True)
        assert result["stage_ms"].keys() == ({"embed"} if embeds else set()) | {"retrieve"}
        assert result["context_tokens"] > 0
    assert answer["memory_mb"] > 20
    assert answer["build_s"] > 0


def test_a_knob_changes_what_it_says(app: Running) -> None:
    few, more = (evaluated(app, prompt__passages=n)["results"][0] for n in (1, 8))
    assert few["doc_ids"] == more["doc_ids"]
    assert few["context_tokens"] < more["context_tokens"]
    whole, cut = (evaluated(app, passage__words=n, search__limit=50) for n in (160, 40))
    assert len(whole["results"][0]["doc_ids"]) < len(cut["results"][0]["doc_ids"])
    plain, titled = (
        evaluated(app, passage__title=t, search__mode="words")["results"] for t in (False, True)
    )
    assert plain[0]["scores"] != titled[0]["scores"]


def test_a_collection_is_built_once(app: Running) -> None:
    first = evaluated(app, passage__words=80)["build_s"]
    assert evaluated(app, passage__words=80, search__mode="words")["build_s"] == first


def test_what_cannot_be_used_is_refused(app: Running) -> None:
    with pytest.raises(AssertionError, match=r"passage\.title"):
        app.post("/evaluate", {"config": {"passage.words": 80}, "queries": QUESTIONS})


def test_the_command_tunes_it(tmp_path: Path, app: Running, data: Path) -> None:
    command = bare_command(tmp_path)
    answer = command.run(
        *("tune", "--docs", data / "docs", "--evaluator", app.url),
        *("--space", FOLDER / "vector_store/space.json", "--objective", OBJECTIVE),
        *("--trials", 4, "--report", tmp_path / "report.html", "--json"),
    ).json()
    assert answer["trials"] == 4
    measured = answer["default"]["measured"]
    assert measured.keys() >= {"ndcg_at_10", "latency_p95_ms", "context_tokens", "memory_mb"}
    assert answer["recommended"]["measured"]["context_tokens"] <= 2000


# -- as an app of the service -------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Serving]:
    """A service that may call this host and read the workload."""
    command = bare_command(tmp_path_factory.mktemp("service"))
    settings = f"""data_dir = "{data}"\nallowed_networks = ["127.0.0.0/8"]\n"""
    (command.home / "autorag.toml").write_text(settings, encoding="utf-8")
    with serving(command) as process:
        yield process


def test_a_job_tunes_it_and_it_runs_with_what_was_found(
    service: Serving, data: Path, tmp_path: Path
) -> None:
    key = register(service.url, service.key, "passages", space=SPACE, objective=OBJECTIVE)
    given = {"AUTORAG_URL": service.url, "AUTORAG_KEY": key, "XDG_STATE_HOME": str(tmp_path)}
    with (
        running(tmp_path, "vector_store/app.py", "--docs", data / "docs", **given) as app,
        service.client() as http,
    ):
        workload = {"docs": "docs", "evaluator": app.url}
        assert http.put("/v1/apps/passages/workload", json=workload).status_code == 200
        arguments = {"trials": 5, "strategy": "random", "objective": "min context_tokens"}
        order = {"kind": "tune", "app": "passages", "arguments": arguments}
        job = http.post("/admin/v1/jobs", json=order).json()
        ended = ("done", "dead")
        until(lambda: http.get(f"/admin/v1/jobs/{job['id']}").json()["state"] in ended)
        job = http.get(f"/admin/v1/jobs/{job['id']}").json()
        assert job["state"] == "done", job
        assert job["result"]["revision"] == 2, job["result"]
        found = http.get("/v1/apps/passages/revisions").json()["revisions"][0]
        assert found["origin"] == "tune"
        until(lambda: app.get("/settings")["prompt.passages"] < DEFAULTS["prompt.passages"])
        now = app.get("/settings")
        assert {k: v for k, v in found["config"].items() if now.get(k) != v}.keys() <= {
            "passage.words",
            "passage.title",
        }
        until(lambda: http.get("/v1/apps/passages").json()["documents"]["version"] == 1)
