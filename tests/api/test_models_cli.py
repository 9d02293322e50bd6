"""``autorag models`` as an operator meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.command import Command
from tests.api.serving import bare_command
from tests.api.sets import keep


@pytest.fixture
def autorag(tmp_path: Path) -> Command:
    """The command with an empty home."""
    return bare_command(tmp_path)


def states(autorag: Command) -> dict[int, str]:
    listed = autorag.run("models", "list", "--json").json()["models"]
    return {row["version"]: row["state"] for row in listed}


def test_a_set_is_promoted_asked_and_rolled_back(autorag: Command) -> None:
    assert states(autorag) == {0: "production"}
    version = keep(autorag.home)
    autorag.run_installed("models", "promote", version, "--json").json()
    assert states(autorag) == {version: "production", 0: "archived"}
    report = autorag.run_installed("models", "report")
    assert report.code == 0, report.err
    assert f"version {version}, production" in report.out
    assert "latency_p95_ms" in report.out
    assert "left-out corpora, order" in report.out
    autorag.run_installed("models", "rollback", "--json").json()
    assert states(autorag) == {version: "archived", 0: "production"}


def test_what_ships_is_reported_corpus_by_corpus(autorag: Command) -> None:
    row = autorag.run("models", "report", "--json").json()
    assert (row["version"], row["state"]) == (0, "production")
    errors = row["about"]["accuracy"]["errors"]
    assert set(errors["latency_p50_ms"]) >= {"xquad_en", "cosqa_code"}


def test_without_json_there_is_a_table(autorag: Command) -> None:
    ended = autorag.run_installed("models", "list")
    assert ended.code == 0, ended.err
    assert "production" in ended.out


@pytest.mark.parametrize("asked", [("promote", 9), ("report", 9), ("rollback",)])
def test_what_is_not_there_is_named(autorag: Command, asked: tuple[object, ...]) -> None:
    ended = autorag.run("models", *asked)
    assert (ended.code, ended.out) != (0, "")
    assert ended.out == ""
    assert "9" in ended.err or "there is none before it" in ended.err


def test_a_worse_set_is_refused(autorag: Command) -> None:
    version = keep(autorag.home, better=False)
    ended = autorag.run("models", "promote", version)
    assert ended.code != 0
    assert "is worse" in ended.err
    assert states(autorag)[version] == "candidate"
