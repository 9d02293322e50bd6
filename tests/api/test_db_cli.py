"""``autorag db`` as its users meet it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from autorag.telemetry import Observation, Source
from store.answers import Answer, AnswerRepository
from store.apps import AppRepository
from store.engine import open_database, open_telemetry, sqlite_url
from store.jobs import JobRepository
from store.rollups import read_rollups
from store.telemetry import TelemetryStore
from store.writer import BatchWriter
from tests.api.command import Command
from tests.api.serving import bare_command
from tests.fakes import ManualClock
from tests.store.backends import start_postgres
from tests.store.registered import new_app

SUBCOMMANDS = ("upgrade", "backup", "restore", "prune", "stats")
LONG_AGO = 1_700_000_000


@pytest.fixture
def autorag(tmp_path: Path) -> Command:
    return bare_command(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with an app, and one old observation."""
    if request.param == "sqlite":
        yield filled(sqlite_url(tmp_path / "deep" / "shop.db"))
    else:
        with start_postgres().database() as url:
            yield filled(url)


def filled(url: str) -> str:
    control, telemetry = open_database(url), open_telemetry(url)
    clock = ManualClock(LONG_AGO)
    AppRepository(control, clock).add(new_app("shop"))
    row = Source("shop"), Observation(LONG_AGO, "query", "retrieve", "duration_ms", 12.5, "ms")
    with BatchWriter(telemetry) as writer:
        TelemetryStore(telemetry, writer, clock).add_observations(b"1" * 16, [row]).result(10)
    control.dispose()
    telemetry.dispose()
    return url


def histograms(url: str) -> int:
    engine = open_telemetry(url)
    found = read_rollups(engine, "shop")
    engine.dispose()
    return len(found)


def apps(url: str) -> list[str]:
    engine = open_database(url)
    found = [app.name for app in AppRepository(engine, ManualClock()).all()]
    engine.dispose()
    return found


@pytest.mark.parametrize("arguments", [(), *((name,) for name in SUBCOMMANDS)])
def test_there_is_help(autorag: Command, arguments: tuple[str, ...]) -> None:
    ended = autorag.run_installed("db", *arguments, "--help")
    assert ended.code == 0
    assert " ".join(("Usage: autorag db", *arguments)) in ended.out


def test_upgrading_makes_both_databases_in_the_home(autorag: Command) -> None:
    row = autorag.run_installed("db", "upgrade", "--json").json()
    assert [d["database"].rpartition("/")[2] for d in row["databases"]] == [
        "autorag.db",
        "autorag-telemetry.db",
    ]
    assert len({d["revision"] for d in row["databases"]}) == 1
    assert autorag.run("db", "upgrade", "--json").json() == row


def test_the_environment_names_the_database(
    autorag: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "AUTORAG_DB", sqlite_url(tmp_path / "named.db"))
    assert autorag.run("db", "upgrade").code == 0
    assert (tmp_path / "named.db").is_file()


def test_stats_tell_how_many_rows_there_are(autorag: Command, url: str) -> None:
    row = autorag.run("db", "stats", "--db", url, "--json").json()
    rows = {name: n for d in row["databases"] for name, n in d["rows"].items()}
    assert (rows["apps"], rows["observations"], rows["rollups"]) == (1, 1, 0)
    assert row["databases"][-1]["oldest"] == LONG_AGO
    shown = autorag.run("db", "stats", "--db", url)
    assert shown.code == 0
    assert "observations" in shown.out
    assert "2023-11-14 22:13:20 UTC" in shown.out


def test_pruning_turns_old_telemetry_into_histograms(autorag: Command, url: str) -> None:
    row = autorag.run("db", "prune", "--days", 100_000, "--db", url, "--json")
    assert row.json()["traces"] == 0
    row = autorag.run("db", "prune", "--db", url, "--json")
    # the histogram itself is older than histograms are kept
    assert (row.json()["traces"], row.json()["observations"]) == (1, 1)
    assert (row.json()["days"], row.json()["complete"]) == (30, True)
    assert histograms(url) == 0


def test_how_long_histograms_are_kept_is_a_setting(
    autorag: Command, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "AUTORAG_ROLLUP_DAYS", str(20_000))
    ended = autorag.run("db", "prune", "--days", 7, "--db", url)
    assert ended.code == 0
    assert "1 traces older than 7 days with 1 observations became histograms" in ended.out
    assert histograms(url) == 1


def test_pruning_does_what_a_prune_job_does(autorag: Command, url: str) -> None:
    engine, clock = open_database(url), ManualClock(LONG_AGO)
    jobs = JobRepository(engine, clock)
    jobs.cancel(jobs.enqueue("tune", None, {}).id)
    AnswerRepository(engine, clock).add("me", "k", Answer("r", 200, {}, b""))
    engine.dispose()
    row = autorag.run("db", "prune", "--days", 100_000, "--db", url, "--json").json()
    assert (row["jobs"], row["answers"]) == (0, 1)
    ended = autorag.run_installed("db", "prune", "--db", url)
    assert ended.code == 0
    assert "1 jobs, 0 answers" in ended.out


def test_a_database_of_a_newer_version_is_refused(autorag: Command, url: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    refused = [autorag.run("db", name, "--db", url) for name in ("upgrade", "prune")]
    refused += [autorag.run_installed(name, "--db", url) for name in ("serve", "worker")]
    for ended in refused:
        assert (ended.code, ended.out) == (1, ""), ended.err
        assert "schema (9999) was made by a newer AutoRAG" in ended.err
        assert "Traceback" not in ended.err


def test_a_backup_is_restored_elsewhere(autorag: Command, url: str, tmp_path: Path) -> None:
    archive = tmp_path / "shop.zip"
    made = autorag.run_installed("db", "backup", archive, "--db", url, "--json").json()
    assert (made["file"], made["rows"]["apps"]) == (str(archive), 1)
    assert made["bytes"] == archive.stat().st_size
    elsewhere = sqlite_url(tmp_path / "elsewhere.db")
    back = autorag.run_installed("db", "restore", archive, "--db", elsewhere, "--json").json()
    assert back["rows"] == made["rows"]
    assert apps(elsewhere) == ["shop"]


def test_what_is_there_is_replaced_only_by_force(
    autorag: Command, url: str, tmp_path: Path
) -> None:
    archive = tmp_path / "shop.zip"
    other = sqlite_url(tmp_path / "other.db")
    open_telemetry(other).dispose()
    engine = open_database(other)
    AppRepository(engine, ManualClock()).add(new_app("books"))
    engine.dispose()
    assert autorag.run("db", "backup", archive, "--db", other).code == 0
    refused = autorag.run("db", "restore", archive, "--db", url)
    assert (refused.code, refused.out) == (2, "")
    assert "is not empty" in refused.err
    assert "--force" in refused.err
    assert apps(url) == ["shop"]
    forced = autorag.run("db", "restore", archive, "--force", "--db", url)
    assert forced.code == 0
    assert "rows restored" in forced.out
    assert apps(url) == ["books"]


@pytest.mark.parametrize("arguments", [("backup", "a.zip"), ("stats",)])
def test_a_database_that_is_not_there_is_bad_input(
    autorag: Command, arguments: tuple[str, ...]
) -> None:
    ended = autorag.run("db", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert f"no database at {autorag.home / 'autorag.db'}" in ended.err
    assert list(autorag.home.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"Dear reader", "not an archive")]
)
def test_a_file_that_is_no_archive_is_bad_input(
    autorag: Command, tmp_path: Path, content: bytes | None, message: str
) -> None:
    archive = tmp_path / "letter.zip"
    if content is not None:
        archive.write_bytes(content)
    ended = autorag.run("db", "restore", archive)
    assert ended.code == 2
    assert f"{archive}: {message}" in ended.err
    assert "Traceback" not in ended.err


def test_no_database_url_is_bad_input(autorag: Command) -> None:
    for name in ("upgrade", "prune", "stats"):
        ended = autorag.run("db", name, "--db", "nosuch://user:secret@host/db")
        assert ended.code == 2
        assert "nosuch" in ended.err
        assert "secret" not in ended.err


def test_a_server_that_does_not_answer_is_a_failure(autorag: Command) -> None:
    url = "postgresql://user:secret@127.0.0.1:1/none"
    for name in ("upgrade", "prune", "stats"):
        ended = autorag.run("db", name, "--db", url)
        assert ended.code == 1, ended.err
        assert "secret" not in ended.err
        assert "Traceback" not in ended.err


def test_days_must_be_days(autorag: Command) -> None:
    assert autorag.run("db", "prune", "--days", "-1").code == 2
    assert autorag.run("db", "prune", "--days", "soon").code == 2


def test_one_object_is_printed_and_nothing_else(autorag: Command, url: str) -> None:
    ended = autorag.run_installed("db", "stats", "--db", url, "--json")
    assert ended.err == ""
    assert json.loads(ended.out)["databases"][0]["rows"]["apps"] == 1
