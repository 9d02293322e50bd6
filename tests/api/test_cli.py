"""The command line as its users meet it: one JSON object, exit codes, messages that name things."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from autorag.metrics import METRICS
from tests.api.command import DOCUMENTS, QUERIES, Command, Ended, write_lines, write_workload
from tests.store.freeze import ASSETS

OBJECTIVE = "max ndcg_at_10 subject to latency_p95_ms <= 1000"
TUNE = ("tune", "--trials", 2, "--objective", OBJECTIVE, "--budget", "60s")
CHEAP = ("--set", "retrieve.mode=lexical")
HEAVY = ("numpy", "torch", "faiss", "onnxruntime", "sqlalchemy", "transformers", "sklearn")


def test_the_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, api.cli.main; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [(), ("tune",), ("measure",), ("doctor",)])
def test_there_is_help(used_autorag: Command, arguments: tuple[str, ...]) -> None:
    ended = used_autorag.run_installed(*arguments, "--help")
    assert ended.code == 0
    assert " ".join(("Usage: autorag", *arguments)) in ended.out


# -- measure -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(used_autorag: Command, docs: Path) -> dict[str, Any]:
    return used_autorag.run_installed("measure", "--docs", docs, "--json").json()


def test_measuring_prints_one_object(measured: dict[str, Any]) -> None:
    assert {"config", "measured", "stages", "reused", "workload"} <= measured.keys()
    assert measured["config"]["embed.model"] == "minilm-int8"
    assert measured["measured"].keys() <= METRICS.keys()
    assert measured["measured"]["ndcg_at_10"] > 0.5
    assert measured["measured"]["latency_p95_ms"] > 0
    assert set(measured["stages"]["embed"]) == {"p50_ms", "p95_ms"}


def test_measuring_tells_of_the_workload(measured: dict[str, Any]) -> None:
    workload = measured["workload"]
    assert (workload["documents"], workload["queries"]) == (DOCUMENTS, QUERIES)
    assert workload["query_source"] == "labelled"


def test_what_was_built_is_reused_and_deterministic(
    used_autorag: Command, docs: Path, measured: dict[str, Any]
) -> None:
    again = used_autorag.run("measure", "--docs", docs, "--json").json()
    assert {"chunk", "embed", "index"} <= set(again["reused"])
    for name in ("ndcg_at_10", "context_tokens", "memory_mb"):
        assert again["measured"][name] == measured["measured"][name]


def test_knobs_can_be_set(used_autorag: Command, docs: Path) -> None:
    row = used_autorag.run(
        "measure", "--docs", docs, *CHEAP, "--set", "retrieve.k=3", "--max-queries", 5, "--json"
    ).json()
    assert (row["config"]["retrieve.mode"], row["config"]["retrieve.k"]) == ("lexical", 3)
    assert row["config"]["generate.contexts"] == 3
    assert "embed.model" not in row["config"]
    assert row["workload"]["queries_asked"] == 5


def test_without_json_there_is_a_table(used_autorag: Command, docs: Path) -> None:
    ended = used_autorag.run_installed("measure", "--docs", docs, *CHEAP)
    assert ended.code == 0
    assert "ndcg_at_10" in ended.out
    assert "{" not in ended.out


# -- tune --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports") / "new" / "report.html"


@pytest.fixture(scope="module")
def tuned(used_autorag: Command, docs: Path, report: Path) -> dict[str, Any]:
    return used_autorag.run_installed(*TUNE, "--docs", docs, "--report", report, "--json").json()


def test_tuning_prints_the_object_of_the_contract(tuned: dict[str, Any]) -> None:
    wanted = "recommended default difference pareto trials pruned seconds reused workload"
    assert set(wanted.split()) <= tuned.keys()
    assert set(tuned["recommended"]) == {"config", "predicted", "measured"}
    assert set(tuned["default"]) == {"config", "measured"}
    assert isinstance(tuned["reused"], dict)
    assert (tuned["trials"], tuned["pruned"]) == (2, 0)
    assert tuned["seconds"] > 0


def test_tuning_compares_on_queries_the_search_never_saw(tuned: dict[str, Any]) -> None:
    gap = tuned["difference"]["ndcg_at_10"]
    assert set(gap) == {"value", "low", "high", "distinguishable"}
    assert gap["low"] <= gap["value"] <= gap["high"]
    assert sum(tuned["queries"].values()) == QUERIES
    assert tuned["recommended"]["measured"].keys() <= METRICS.keys()
    assert set(tuned["recommended"]["predicted"]["ndcg_at_10"]) == {"value", "low", "high"}


def test_the_report_is_written(tuned: dict[str, Any], report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "ndcg_at_10" in page
    assert [p.name for p in report.parent.iterdir()] == ["report.html"]


def test_a_recommended_config_can_be_measured(
    used_autorag: Command, docs: Path, tuned: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(tuned["recommended"]))
    row = used_autorag.run("measure", "--docs", docs, "--config", path, "--json").json()
    assert row["config"] == tuned["recommended"]["config"]


def test_without_queries_the_result_says_so(used_autorag: Command, tmp_path: Path) -> None:
    folder = write_workload(tmp_path)
    (folder / "queries.jsonl").unlink()
    row = used_autorag.run(*TUNE, "--docs", folder, "--json", "--trials", 1).json()
    assert row["workload"]["query_source"] == "pseudo"


def test_a_database_can_be_named(used_autorag: Command, docs: Path, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "studies.db"
    ended = used_autorag.run(*TUNE, "--docs", docs, "--trials", 1, "--db", f"sqlite:///{path}")
    assert ended.code == 0, ended.err
    assert path.is_file()
    assert "recommended config" in ended.out


# -- doctor ------------------------------------------------------------------------------------


def test_the_doctor_prints_one_object(used_autorag: Command) -> None:
    row = used_autorag.run_installed("doctor", "--json").json()
    assert row["ok"] is True
    names = {c["name"] for c in row["checks"]}
    assert {"python", "home", "database", "artifact store"} <= names


def test_the_doctor_tells_what_is_counted_here_and_why_the_rest_is_not(
    used_autorag: Command,
) -> None:
    row = used_autorag.run("doctor", "--json").json()
    found = row["capabilities"]
    assert found["wall_s"] is None
    (counted,) = (c["detail"] for c in row["checks"] if c["name"] == "counters")
    refused_because = [c["detail"] for c in row["checks"] if c["name"] == "not counted"]
    for metric, why in found.items():
        if why is None:
            assert metric in counted
        else:
            assert any(metric in detail and why in detail for detail in refused_because)


def test_the_doctor_fails_when_something_needed_is_amiss(
    used_autorag: Command, tmp_path: Path
) -> None:
    ended = used_autorag.run_installed("doctor", "--json", "--db", f"sqlite:///{tmp_path}")
    assert ended.code == 1
    row = json.loads(ended.out)
    assert [c["name"] for c in row["checks"] if c["required"] and not c["ok"]] == ["database"]


def test_the_doctor_tells_of_another_schema_and_leaves_it(
    used_autorag: Command, tmp_path: Path
) -> None:
    path = Path(shutil.copyfile(ASSETS / "0002.db", tmp_path / "old.db"))
    row = used_autorag.run("doctor", "--json", "--db", f"sqlite:///{path}").json()
    (told,) = (c["detail"] for c in row["checks"] if c["name"] == "database")
    assert "schema 0002" in told
    assert "autorag db upgrade" in told
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)


def test_the_doctor_fails_on_a_schema_of_the_future(used_autorag: Command, tmp_path: Path) -> None:
    path = Path(shutil.copyfile(ASSETS / "0002.db", tmp_path / "new.db"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    ended = used_autorag.run("doctor", "--json", "--db", f"sqlite:///{path}")
    assert ended.code == 1
    assert "newer version" in ended.out


def test_the_doctor_tells_what_is_set_but_no_secret(
    used_autorag: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a-secret-admin-key-of-the-doctor"
    monkeypatch.setenv("AUTORAG_ADMIN_KEY", secret)
    monkeypatch.setenv("AUTORAG_WORKERS", "3")
    ended = used_autorag.run("doctor", "--json")
    (told,) = (c["detail"] for c in ended.json()["checks"] if c["name"] == "configuration")
    assert "AUTORAG_WORKERS=3" in told
    assert "AUTORAG_ADMIN_KEY" in told
    assert secret not in ended.out


# -- bad input ---------------------------------------------------------------------------------


def refused(command: Command, named: str, *arguments: object) -> None:
    """The command exits with 2, prints nothing, and names the thing without a traceback."""
    assert_refused(command.run(*arguments, "--json"), named)


def assert_refused(ended: Ended, named: str) -> None:
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert named in ended.err
    assert "Traceback" not in ended.err


@pytest.fixture
def broken(docs: Path, tmp_path: Path) -> Path:
    """A copy of the documents, to be damaged."""
    return Path(shutil.copytree(docs, tmp_path / "broken"))


def append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@pytest.mark.parametrize("command", ["measure", "tune"])
def test_documents_that_are_not_there(used_autorag: Command, command: str) -> None:
    ended = used_autorag.run_installed(command, "--docs", "no-such-docs", "--json")
    assert_refused(ended, "no-such-docs")


def test_a_folder_without_documents(used_autorag: Command, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    refused(used_autorag, str(tmp_path), "measure", "--docs", tmp_path)


def test_a_malformed_line(used_autorag: Command, broken: Path) -> None:
    append(broken / "corpus.jsonl", '{"id": "x", "text":')
    refused(used_autorag, f"corpus.jsonl:{DOCUMENTS + 1}", "measure", "--docs", broken)


def test_a_duplicate_document_id(used_autorag: Command, broken: Path) -> None:
    append(broken / "corpus.jsonl", '{"id": "tea", "text": "More on tea."}')
    refused(used_autorag, "'tea'", "measure", "--docs", broken)


def test_gold_that_does_not_exist(used_autorag: Command, broken: Path) -> None:
    append(broken / "queries.jsonl", '{"id": "x", "question": "?x", "relevant": ["atlantis"]}')
    refused(used_autorag, "'atlantis'", "tune", "--docs", broken)


def test_queries_that_are_not_there(used_autorag: Command, docs: Path) -> None:
    refused(used_autorag, "none.jsonl", "tune", "--docs", docs, "--queries", "none.jsonl")


@pytest.mark.parametrize(
    ("pair", "named"),
    [
        ("index.kinds=flat", "index.kinds"),
        ("index.kind=btree", "'btree'"),
        ("chunk.tokens=99999", "99999"),
        ("retrieve.nprobe=4", "retrieve.nprobe"),
        ("retrieve.k", "'retrieve.k'"),
    ],
)
def test_a_knob_that_cannot_be_set(used_autorag: Command, pair: str, named: str) -> None:
    refused(used_autorag, named, "measure", "--docs", "no-such-docs", "--set", pair)


@pytest.mark.parametrize(
    ("content", "named"),
    [(None, "config.json"), ("{oops", "config.json"), ('{"index.kinds": 1}', "index.kinds")],
)
def test_a_config_that_cannot_be_used(
    used_autorag: Command, tmp_path: Path, content: str | None, named: str
) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    refused(used_autorag, named, "measure", "--docs", "no-such-docs", "--config", path)


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--objective", "best quality please", "'best quality please'"),
        ("--objective", "max ndgc_at_10", "'ndgc_at_10'"),
        ("--objective", "max ndcg_at_10 subject to speed <= 3", "'speed'"),
        ("--budget", "soon", "'soon'"),
        ("--strategy", "lucky", "'lucky'"),
        ("--trials", "0", "--trials"),
        ("--db", "not a url", "'not a url'"),
    ],
)
def test_an_option_is_checked_before_documents_are_read(
    used_autorag: Command, option: str, value: str, named: str
) -> None:
    refused(used_autorag, named, "tune", "--docs", "no-such-docs", option, value)


def test_a_report_that_cannot_be_written_is_named_before_documents_are_read(
    used_autorag: Command, tmp_path: Path
) -> None:
    refused(used_autorag, str(tmp_path), "tune", "--docs", "no-such-docs", "--report", tmp_path)


def test_a_setting_that_cannot_be_used(
    used_autorag: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTORAG_ARTIFACTS_GB", "lots")
    refused(used_autorag, "AUTORAG_ARTIFACTS_GB", "doctor")


def test_work_that_fails_exits_with_one(used_autorag: Command, docs: Path, tmp_path: Path) -> None:
    rows = [{"id": f"q{i}", "question": f"Tea {i}?", "relevant": ["tea"]} for i in range(4)]
    path = write_lines(tmp_path / "queries.jsonl", rows)
    ended = used_autorag.run_installed("tune", "--docs", docs, "--queries", path, "--json")
    assert (ended.code, ended.out) == (1, "")
    assert "gold" in ended.err
    assert "Traceback" not in ended.err


def test_a_home_that_cannot_be_used_is_named(docs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = Command(tmp_path / "file", tmp_path).run_installed("measure", "--docs", docs, "--json")
    assert (ended.code in (1, 2), ended.out) == (True, "")
    assert str(tmp_path / "file") in ended.err
    assert "Traceback" not in ended.err
