"""``autorag recommend`` and ``autorag train`` as their users meet them."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.wiring import make_space
from autorag.table.files import read_table, table_hash
from models.accuracy import Accuracy, changes
from models.candidates import Candidates
from models.files import SHIPPED, read_models
from tests.api.command import Command

TABLE = Path(__file__).parents[2] / "benchmarks/table"


def test_a_fresh_install_recommends_at_once(used_autorag: Command, docs: Path) -> None:
    told = used_autorag.run_installed("recommend", "--docs", docs, "--json").json()
    best = told["recommended"]
    assert make_space().valid(best["config"])
    assert told["source"] == "models"
    assert len(told["alternatives"]) == 4
    predicted = best["predicted"]
    assert predicted["latency_p95_ms"]["value"] <= 100
    assert predicted["context_tokens"]["value"] <= 2000
    for name, value in predicted.items():
        exact = name == "ann_recall_at_10" and value["value"] == 1.0
        assert 0 <= value["low"] <= value["value"] <= value["high"], name
        assert exact or value["low"] < value["high"], name
    assert set(best["stages"]) >= {"retrieve"}
    assert all(times["p50_ms"] > 0 for times in best["stages"].values())
    assert best["chance"] >= 0.9
    assert told["workload"]["documents"] == 30


def test_nothing_is_measured(used_autorag: Command, docs: Path) -> None:
    used_autorag.run("recommend", "--docs", docs, "--json").json()
    assert not (used_autorag.home / "autorag.db").exists()


def test_what_is_recommended_can_be_measured(used_autorag: Command, docs: Path) -> None:
    goal = "max ndcg_at_10 subject to latency_p95_ms <= 4"
    told = used_autorag.run("recommend", "--docs", docs, "--objective", goal, "--json").json()
    config = [f"{k}={v}" for k, v in told["recommended"]["config"].items()]
    settings = [word for pair in config for word in ("--set", pair)]
    measured = used_autorag.run("measure", "--docs", docs, *settings, "--json").json()
    assert measured["config"] == told["recommended"]["config"]
    memory = told["recommended"]["predicted"]["memory_mb"]["value"]
    assert abs(measured["measured"]["memory_mb"] / memory - 1) < 0.2


def test_landmarks_are_measured_and_told(used_autorag: Command, docs: Path) -> None:
    asked = ("recommend", "--docs", docs, "--objective", "max ndcg_at_10", "--json")
    without, told = (used_autorag.run(*asked, *more).json() for more in ((), ("--landmarks",)))
    marks = told["landmarks"]
    assert "landmarks" not in without
    assert (marks["queries"], marks["query_source"]) == (24, "labelled")
    assert 1 <= len(marks["measured"]) <= 3
    for one in marks["measured"]:
        assert make_space().valid(one["config"])
        settings = [w for k, v in one["config"].items() for w in ("--set", f"{k}={v}")]
        again = used_autorag.run("measure", "--docs", docs, *settings, "--json").json()
        assert one["measured"]["ndcg_at_10"] == pytest.approx(again["measured"]["ndcg_at_10"])
    level = [r["recommended"]["predicted"]["ndcg_at_10"]["value"] for r in (without, told)]
    assert level[0] != level[1]


def test_without_json_there_is_a_table(used_autorag: Command, docs: Path) -> None:
    ended = used_autorag.run_installed("recommend", "--docs", docs)
    assert ended.code == 0, ended.err
    assert "latency_p95_ms" in ended.out
    assert '"retrieve.mode"' in ended.out


def test_an_objective_that_nothing_predicts_is_refused(used_autorag: Command, docs: Path) -> None:
    ended = used_autorag.run_installed("recommend", "--docs", docs, "--objective", "max answer_f1")
    assert (ended.code, ended.out) == (2, "")
    assert "answer_f1 is not predicted" in ended.err


def test_a_file_that_is_no_set_of_models_is_refused(
    used_autorag: Command, docs: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"PK")
    for file in (bad, tmp_path / "none.zip"):
        ended = used_autorag.run("recommend", "--docs", docs, "--models", file)
        assert (ended.code, ended.out) == (2, "")
        assert str(file) in ended.err


def test_the_set_that_ships_is_that_of_the_table(used_autorag: Command, tmp_path: Path) -> None:
    """Anybody can make it again (to the last digits, which are a machine's own)."""
    shipped, about = read_models(SHIPPED)
    assert about["table"] == table_hash(read_table(TABLE))
    again = tmp_path / "again.zip"
    told = used_autorag.run_installed("train", again, "--table", TABLE, "--json").json()
    measured = about["corpora_digests"]
    same = {k: v for k, v in about.items() if k not in ("accuracy", "corpora_digests")}
    assert {k: told[k] for k in same} == same
    errors = (Accuracy.from_json(a["accuracy"]) for a in (about, told))
    assert not any(c.worse for c in changes(*errors))
    made, kept = read_models(again)
    assert kept["corpora_digests"] == measured
    rows = Candidates.of(make_space(), seed=0, drawn=100).rows
    assert made.quality.over(rows).effects == pytest.approx(
        shipped.quality.over(rows).effects, abs=0.02
    )


def test_nothing_is_trained_where_nothing_was_measured_beside_the_table(
    used_autorag: Command,
) -> None:
    told = used_autorag.run("train", "--json").json()
    assert (told["version"], told["made"], told["state"]) == (0, False, "production")


def test_a_table_that_is_not_there_is_refused(used_autorag: Command, tmp_path: Path) -> None:
    ended = used_autorag.run_installed("train", tmp_path / "out.zip", "--table", tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert str(tmp_path) in ended.err
    assert not (tmp_path / "out.zip").exists()


def test_where_nothing_can_be_written_is_refused_at_once(
    used_autorag: Command, tmp_path: Path
) -> None:
    for out in (tmp_path, tmp_path / "nowhere" / "out.zip"):
        ended = used_autorag.run("train", out, "--table", TABLE)
        assert (ended.code, ended.out) == (2, "")
        assert str(out) in ended.err
