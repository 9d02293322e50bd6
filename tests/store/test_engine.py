"""Opening databases: what is switched on, what happens under contention, what is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError

from autorag.errors import InputError, StoreError
from store.engine import open_database, sqlite_url
from store.repositories import SqlTrialLog, StudyRepository
from tests.fakes import ManualClock
from tests.store.processes import run_together

TRIALS = 30

WRITER = """
from autorag.ports import SystemClock
from store.engine import open_database
from store.repositories import SqlTrialLog
from tests.store.measured import CONFIG, a_measurement
folder, me, url, study, count = sys.argv[1:]
log = SqlTrialLog(open_database(url), SystemClock(), int(study), f"split{me}")
meet(folder, me)
for number in range(int(count)):
    log.trials()
    log.start(number, CONFIG)
    log.finish(number, a_measurement("a", "b"), 0.1)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "deep" / "er" / "autorag.db")


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 30_000)],
)
def test_every_connection_is_prepared(url: str, pragma: str, value: object) -> None:
    engine = open_database(url)
    raw = [engine.raw_connection() for _ in range(2)]
    found = [c.cursor().execute(f"PRAGMA {pragma}").fetchone()[0] for c in raw]
    for connection in raw:
        connection.close()
    engine.dispose()
    assert found == [value, value]


def test_a_transaction_takes_the_write_lock_when_it_begins(url: str) -> None:
    engine = open_database(url)
    other = sqlite3.connect(make_url(url).database or "", timeout=0)
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()
    engine.dispose()


def test_the_rows_of_a_query_need_their_trial(url: str) -> None:
    engine = open_database(url)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO trial_queries (trial_id, query, position, metrics, stage_ms, "
                "chunk_ids, scores) VALUES (7, 'q', 0, '{}', '{}', x'', x'')"
            )
        )
    engine.dispose()


def test_processes_that_write_at_once_wait_for_each_other(url: str, tmp_path: Path) -> None:
    engine = open_database(url)
    study = StudyRepository(engine, ManualClock()).open({"hash": "w"}, {}).id
    said = run_together(WRITER, tmp_path, 2, url, str(study), str(TRIALS))
    assert said == ["", ""]
    for split in ("split0", "split1"):
        trials = SqlTrialLog(engine, ManualClock(), study, split).trials()
        assert [t.number for t in trials if t.state == "finished"] == list(range(TRIALS))
    engine.dispose()


@pytest.mark.parametrize("url", ["not a url", "", "trials.db", "nosuchdatabase://host/name"])
def test_what_is_no_database_url_is_an_input_error(url: str) -> None:
    with pytest.raises(InputError) as caught:
        open_database(url)
    assert caught.value.key == "db"
    assert repr(url) in str(caught.value)


def test_a_url_option_that_the_driver_refuses_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises((InputError, StoreError), match="timeout"):
        open_database(sqlite_url(tmp_path / "a.db") + "?timeout=soon")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open"):
        open_database(sqlite_url(tmp_path))


def test_a_path_below_a_file_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot open"):
        open_database(sqlite_url(tmp_path / "file" / "autorag.db"))


def test_another_file_is_not_taken_for_a_database(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear reader, this is no database. " * 100)
    before = letter.read_bytes()
    with pytest.raises(StoreError, match="not a database"):
        open_database(sqlite_url(letter))
    assert letter.read_bytes() == before


def test_a_password_is_not_shown() -> None:
    with pytest.raises((InputError, StoreError)) as caught:
        open_database("nosuchdatabase://user:secret@host/name")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["a b.db", "ä.db", "100%41.db", "what?.db", "a#b.db", "x=1&y.db"])
def test_the_url_of_a_file_opens_that_file(tmp_path: Path, name: str) -> None:
    open_database(sqlite_url(tmp_path / name)).dispose()
    assert [p.name for p in tmp_path.iterdir()] == [name]
