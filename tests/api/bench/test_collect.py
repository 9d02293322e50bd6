"""``autorag bench collect`` to its end, killed on the way, and over a table that is there."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars
import pytest

from api.wiring import make_space
from autorag.documents import document_to_json
from autorag.space import Config
from autorag.table.design import judged_as
from autorag.table.files import KEY, one_row_each, read_machines, read_table
from autorag.table.schema import HALVES, PSEUDO, QUALITY, SCHEMA
from tests.api.command import Command, Ended, write_lines
from tests.autorag.pipeline.corpus import documents

DOCUMENTS, QUERIES = 12, 10
CONFIGS = 33
"""Of the index part: flat and HNSW; cells want more chunks than there are."""

MOST_S = 600.0

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Collecting:
    """The command on a suite, in a home."""

    autorag: Command
    folder: Path
    suite: str = "suite"

    @property
    def table(self) -> Path:
        return self.folder / "table"

    def arguments(self, *more: object) -> tuple[object, ...]:
        suite = self.folder.parent / f"{self.suite}.toml"
        return ("bench", "collect", "--suite", suite, "--table", self.table, *more)

    def run(self, *more: object) -> Ended:
        with self.autorag.start(*self.arguments("--json", *more)) as process:
            out, err = process.communicate(timeout=MOST_S)
        return Ended(process.returncode, out, err)

    def killed(self, when: int, *more: object) -> int:
        """Kill it once so many files of rows are there; how many there were then."""
        with self.autorag.start(*self.arguments(*more)) as process:
            until = time.monotonic() + MOST_S
            while len(self.row_files()) < when and time.monotonic() < until:
                assert process.poll() is None, "it ended before it was killed"
                time.sleep(0.02)
            process.kill()
            process.communicate()
        return len(self.row_files())

    def row_files(self) -> dict[Path, tuple[int, bytes]]:
        """Every file of rows, when it was written and what is in it."""
        files = (self.autorag.home / "bench" / "rows").rglob("*.json")
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in files}

    def frame(self) -> polars.DataFrame:
        return read_table(self.table)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small corpora, one without queries, and suites of them."""
    place = tmp_path_factory.mktemp("collecting")
    some = documents()
    _corpus(place / "tea", some[:DOCUMENTS], queries=True)
    _corpus(place / "notes", some[DOCUMENTS : 2 * DOCUMENTS + 3], queries=False)
    tea = f'tea = {{ docs = "{place}/tea", family = "home", parts = ["PART"] }}'
    notes = f'notes = {{ docs = "{place}/notes", corpus = "n", family = "home", documents = 12, '
    lines = f'[workloads]\n{tea}\n{notes}queries = 10, parts = ["PART"] }}\n'
    (place / "suite.toml").write_text(lines.replace("PART", "index"))
    (place / "whole.toml").write_text(f"[workloads]\n{tea}\n".replace("PART", "quality"))
    return place


def _corpus(folder: Path, some: Sequence[Any], *, queries: bool) -> None:
    folder.mkdir()
    write_lines(folder / "corpus.jsonl", map(document_to_json, some))
    if queries:
        asked = enumerate(some[:QUERIES])
        rows = [{"id": f"q{i}", "question": f"{d.title}?", "relevant": [d.id]} for i, d in asked]
        write_lines(folder / "queries.jsonl", rows)


@pytest.fixture
def collecting(place: Path, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Collecting:
    """The suite in a home of its own."""
    return _in_a_new_home(place, models, tmp_path_factory)


def _in_a_new_home(
    place: Path, models: Path, factory: pytest.TempPathFactory, suite: str = "suite"
) -> Collecting:
    folder = Path(factory.mktemp("run", numbered=True))
    new = place / folder.name
    return Collecting(Command.in_home(new / "home", models), new, suite)


@pytest.fixture(scope="module")
def undisturbed(
    place: Path, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Collecting, dict[str, Any]]:
    """A collection that nothing disturbed, and what it printed."""
    collecting = _in_a_new_home(place, models, tmp_path_factory)
    return collecting, collecting.run("--repeats", 1).json()


def judged(frame: polars.DataFrame) -> polars.DataFrame:
    """What is deterministic in a table: all but times, costs and counters."""
    columns = sorted(c for c in QUALITY if not c.startswith("build."))
    same = ("corpus", "query_source", "workload_hash", "documents", "memory_mb", "index_mb")
    return frame.select(*KEY, *same, *columns)


# -- what is collected -----------------------------------------------------------------------------


def test_it_prints_what_is_there(undisturbed: tuple[Collecting, dict[str, Any]]) -> None:
    collecting, told = undisturbed
    assert (told["rows"], told["workloads"], told["configs"]) == (2 * CONFIGS, 2, CONFIGS)
    assert 0 < told["hours"] < 0.5
    assert told["noise"] == {}
    shown = collecting.autorag.run("bench", "show", "--table", collecting.table, "--json").json()
    assert shown == told


def test_every_row_is_whole(undisturbed: tuple[Collecting, dict[str, Any]]) -> None:
    frame = undisturbed[0].frame()
    assert one_row_each(frame)
    assert frame["schema"].unique().to_list() == [SCHEMA]
    needed = ["measured_at", "latency_p95_ms", "query_s", "start_s", "memory_mb", "index_mb"]
    needed += ["ndcg_at_10", "ndcg_at_10.a", "ndcg_at_10.b", "ann_recall_at_10", "chunks"]
    needed += ["build.chunk_s", "build.embed_s", "build.index_s", "work.distances"]
    needed += ["feature.documents", "counter.wall_s", "hardware"]
    assert frame.select(needed).null_count().sum_horizontal().item() == 0
    assert frame["build.rerank_s"].null_count() == len(frame)
    assert [*read_machines(undisturbed[0].table)] == frame["hardware"].unique().to_list()


def test_the_workloads_are_those_of_the_suite(
    undisturbed: tuple[Collecting, dict[str, Any]],
) -> None:
    columns = ("workload", "corpus", "query_source", "documents", "queries", "timed_queries")
    found = undisturbed[0].frame().select(*columns).unique().sort("workload").rows()
    assert found == [
        ("notes", "n", "pseudo", 12, 10, 10),
        ("tea", "tea", "labelled", DOCUMENTS, QUERIES, QUERIES),
    ]


# -- killed, and run again -------------------------------------------------------------------------


def test_a_killed_collection_loses_nothing_and_measures_nothing_twice(
    collecting: Collecting, undisturbed: tuple[Collecting, dict[str, Any]]
) -> None:
    whole = undisturbed[0]
    kept: dict[Path, tuple[int, bytes]] = {}
    for when in (0, 1, 3):
        assert collecting.killed(when, "--repeats", 1) < len(whole.row_files())
        found = collecting.row_files()
        assert kept.items() <= found.items()
        kept = found
    ended = collecting.run("--repeats", 1).json()
    assert kept.items() <= collecting.row_files().items()
    assert len(collecting.row_files()) == len(whole.row_files()) == 4
    assert one_row_each(collecting.frame())
    assert ended["rows"] == undisturbed[1]["rows"]
    assert judged(collecting.frame()).equals(judged(whole.frame()))


# -- over a table that is there --------------------------------------------------------------------


@pytest.fixture
def elsewhere(
    collecting: Collecting, undisturbed: tuple[Collecting, dict[str, Any]]
) -> Iterator[Collecting]:
    """Another home, with the table that was collected in the first."""
    shutil.copytree(undisturbed[0].table, collecting.table)
    yield collecting
    assert one_row_each(collecting.frame())


def test_a_complete_table_is_left_as_it_is(
    elsewhere: Collecting, undisturbed: tuple[Collecting, dict[str, Any]]
) -> None:
    files = [p.stat().st_mtime_ns for p in sorted(elsewhere.table.iterdir())]
    assert elsewhere.run("--repeats", 1).json() == undisturbed[1]
    assert elsewhere.row_files() == {}
    assert [p.stat().st_mtime_ns for p in sorted(elsewhere.table.iterdir())] == files


def test_another_machine_adds_the_repeat_that_the_first_did_not_take(
    elsewhere: Collecting, undisturbed: tuple[Collecting, dict[str, Any]]
) -> None:
    before = undisturbed[0].frame()
    told = elsewhere.run("--repeats", 2, "--workload", "tea").json()
    assert [p.name.split("-")[1:3] for p in elsewhere.row_files()] == [["timing", "1"]]
    assert told["rows"] == 3 * CONFIGS
    assert told["noise"]["latency_p50_ms"]["pairs"] == CONFIGS
    first, second = (elsewhere.frame().filter(repeat=n) for n in (0, 1))
    assert first.equals(before)
    mine = judged(before.filter(workload="tea")).drop("repeat")
    assert judged(second).drop("repeat").equals(mine)
    assert (second["measured_at"] > max(before["measured_at"].to_list())).all()


def test_other_documents_are_measured_anew(
    place: Path, collecting: Collecting, undisturbed: tuple[Collecting, dict[str, Any]]
) -> None:
    """Rows of what was there before go: they are of another workload."""
    shutil.copytree(undisturbed[0].table, collecting.table)
    changed = place / "changed.toml"
    lines = (place / "suite.toml").read_text().replace("documents = 12", "documents = 11")
    changed.write_text(lines)
    other = Collecting(collecting.autorag, collecting.folder, "changed")
    told = other.run("--repeats", 0, "--workload", "notes").json()
    assert told["rows"] == 2 * CONFIGS
    notes = other.frame().filter(workload="notes")
    assert notes["documents"].to_list() == [11] * CONFIGS
    assert notes["measured_at"].null_count() == notes["hardware"].null_count() == CONFIGS
    before = undisturbed[0].frame()
    assert not set(notes["workload_hash"]) & set(before["workload_hash"])
    assert other.frame().filter(workload="tea").equals(before.filter(workload="tea"))


# -- what is wrong ---------------------------------------------------------------------------------


def refused(ended: Ended, named: str) -> None:
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert named in ended.err
    assert "Traceback" not in ended.err


def test_a_workload_that_is_not_in_the_suite_is_named(collecting: Collecting) -> None:
    refused(collecting.run("--workload", "coffee"), "--workload coffee: not in the suite")


def test_documents_that_are_not_there_are_named_before_anything_is_measured(
    place: Path, collecting: Collecting
) -> None:
    lines = (place / "suite.toml").read_text() + 'later = { docs = "$NOWHERE/x", family = "f" }\n'
    (place / "unset.toml").write_text(lines)
    (place / "gone.toml").write_text(lines.replace("$NOWHERE", str(place)))
    for suite, named in (
        ("unset", "later: docs = '$NOWHERE/x': $NOWHERE is not set"),
        ("gone", "no such file or folder"),
    ):
        refused(Collecting(collecting.autorag, collecting.folder, suite).run(), named)
    assert collecting.row_files() == {}


def test_a_table_that_is_not_there_cannot_be_shown(used_autorag: Command, tmp_path: Path) -> None:
    refused(
        used_autorag.run_installed("bench", "show", "--table", tmp_path, "--json"), str(tmp_path)
    )


# -- the whole quality part ------------------------------------------------------------------------


def test_the_whole_quality_part_survives_kills(
    place: Path, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole, killed = (_in_a_new_home(place, models, tmp_path_factory, "whole") for _ in range(2))
    whole.run("--repeats", 0).json()
    kept: dict[Path, tuple[int, bytes]] = {}
    for when in (2, 5, 9):
        killed.killed(when, "--repeats", 1)
        assert kept.items() <= killed.row_files().items()
        kept = killed.row_files()
    killed.run("--repeats", 1).json()
    assert kept.items() <= killed.row_files().items()
    untimed, timed = whole.frame(), killed.frame()
    assert one_row_each(timed)
    assert timed["measured_at"].null_count() == 0
    columns = sorted(c for c in QUALITY if not c.startswith("build."))
    wanted = {row["config"]: row for row in untimed.select("config", *columns).rows(named=True)}
    space = make_space()
    assert len(timed) > len(untimed) > 300
    for row in timed.select("config", *columns).rows(named=True):
        chosen = Config(tuple(json.loads(row["config"]).items()))
        assert row | {"config": ""} == wanted[judged_as(chosen, space).canonical] | {"config": ""}
        assert all(row[f"{p}ndcg_at_10.{h}"] is not None for p in ("", PSEUDO) for h in HALVES)
    assert sorted(os.listdir(killed.table)) == ["machines", "tea.parquet"]
