"""Opening databases: what is switched on, what happens under contention, what is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, insert, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, OperationalError

from autorag.errors import InputError, StoreError
from store import engine as engine_module
from store.engine import open_database, open_telemetry, reading, sqlite_url, store_errors
from store.repositories import SqlTrialLog, StudyRepository
from store.tables import hosts
from tests.fakes import ManualClock
from tests.store.backends import Postgres
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


def test_the_log_becomes_small_again_after_a_peak(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "LARGEST_LOG", 100_000)
    engine = open_database(url)
    log = Path(f"{make_url(url).database}-wal")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE large (x BLOB)")
        connection.exec_driver_sql("INSERT INTO large VALUES (zeroblob(3000000))")
    assert log.stat().st_size > 3_000_000
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO large VALUES (1)")
    assert log.stat().st_size <= 100_000
    engine.dispose()


def test_telemetry_lives_in_a_file_beside_that_waits_for_no_disk(url: str) -> None:
    engine = open_telemetry(url)
    with engine.connect() as connection:
        found = {
            pragma: connection.scalar(text(f"PRAGMA {pragma}"))
            for pragma in ("journal_mode", "synchronous", "foreign_keys")
        }
    engine.dispose()
    assert found == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}
    folder = Path(make_url(url).database or "").parent
    assert [p.name for p in folder.iterdir()] == ["autorag-telemetry.db"]


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("a.b.db", "a.b-telemetry.db"),
        ("data", "data-telemetry.db"),
        ("100%41 ä?.sqlite", "100%41 ä?-telemetry.db"),
    ],
)
def test_the_file_of_telemetry_is_named_after_the_other(
    tmp_path: Path, name: str, beside: str
) -> None:
    open_telemetry(sqlite_url(tmp_path / name)).dispose()
    assert [p.name for p in tmp_path.iterdir()] == [beside]


def test_options_of_the_url_hold_for_telemetry_too(url: str) -> None:
    engine = open_telemetry(f"{url}?timeout=7")
    engine.dispose()
    assert dict(engine.url.query) == {"timeout": "7"}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_telemetry_needs_a_file(url: str) -> None:
    with pytest.raises(InputError, match="needs a file") as caught:
        open_telemetry(url)
    assert (caught.value.key, caught.value.value) == ("db", url)


@pytest.fixture
def locked(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A database that somebody keeps locked for writing; who waits for it fails soon."""
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT_MS", 50)
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO hosts (fingerprint, profile, capabilities, recorded_at) "
                "VALUES ('locked', '{}', '{}', 1)"
            )
        )
        yield engine
    engine.dispose()


COUNT = text("SELECT count(*) FROM hosts")


def test_reading_never_waits_for_a_writer(locked: Engine) -> None:
    with pytest.raises(OperationalError, match="locked"), locked.begin():
        pass
    with reading(locked) as connection:
        assert connection.scalar(COUNT) == 0


def test_a_writer_never_waits_for_reading(url: str) -> None:
    engine = open_database(url)
    with reading(engine) as connection:
        connection.scalar(COUNT)
        with engine.begin() as writing:
            writing.execute(text("DELETE FROM hosts"))
    engine.dispose()


def test_reading_sees_one_state_throughout(url: str) -> None:
    engine = open_database(url)
    new = text("INSERT INTO hosts VALUES ('new', '{}', '{}', 1)")
    with reading(engine) as connection:
        before = connection.scalar(COUNT)
        with engine.begin() as other:
            other.execute(new)
        assert connection.scalar(COUNT) == before == 0
    with reading(engine) as connection:
        assert connection.scalar(COUNT) == 1
    engine.dispose()


def test_a_connection_that_read_takes_the_lock_when_it_writes_next(url: str) -> None:
    engine = open_database(url)
    with reading(engine) as connection:
        connection.scalar(COUNT)
    other = sqlite3.connect(make_url(url).database or "", timeout=0)
    with engine.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    engine.dispose()


@pytest.mark.parametrize("many", [False, True])
def test_values_are_not_in_the_messages_of_errors(url: str, many: bool) -> None:
    engine = open_database(url)
    row = {"fingerprint": "a question of somebody", "profile": None}
    sql = text("INSERT INTO hosts (fingerprint, profile) VALUES (:fingerprint, :profile)")
    with (
        pytest.raises(StoreError, match="it failed") as caught,
        store_errors("it failed"),
        engine.begin() as connection,
    ):
        connection.execute(sql, [row, row] if many else row)
    engine.dispose()
    assert "question" not in str(caught.value)


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


# -- PostgreSQL --------------------------------------------------------------------------------


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Engine]:
    """A database of PostgreSQL."""
    with postgres.database() as url:
        engine = open_database(url)
        yield engine
        engine.dispose()


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def test_a_url_needs_no_driver(server: Engine) -> None:
    engine = open_database(url_of(server).replace("postgresql+psycopg:", "postgresql:"))
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW application_name")) == "autorag"
    engine.dispose()


def test_a_transaction_keeps_other_writers_waiting_and_no_reader(
    server: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT_MS", 50)
    other = open_database(url_of(server))
    with server.begin() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(OperationalError, match="lock timeout"), other.begin():
            pass
        with reading(other) as looking:
            assert looking.scalar(COUNT) == 0
    with other.begin():
        pass
    other.dispose()


def test_control_and_telemetry_do_not_wait_for_each_other(server: Engine) -> None:
    telemetry = open_telemetry(url_of(server))
    with server.begin(), telemetry.begin() as connection:
        connection.execute(text("DELETE FROM hosts"))
    telemetry.dispose()


def test_reading_postgresql_sees_one_state_and_writes_nothing(server: Engine) -> None:
    new = text("INSERT INTO hosts VALUES ('new', '{}', '{}', 1)")
    with reading(server) as connection:
        assert connection.scalar(COUNT) == 0
        with server.begin() as other:
            other.execute(new)
        assert connection.scalar(COUNT) == 0
    with reading(server) as connection:
        assert connection.scalar(COUNT) == 1
    with pytest.raises(StoreError, match="read-only"), store_errors(""), reading(server) as looking:
        looking.execute(text("DELETE FROM hosts"))


def test_processes_that_write_to_postgresql_at_once_wait_for_each_other(
    server: Engine, tmp_path: Path
) -> None:
    study = StudyRepository(server, ManualClock()).open({"hash": "w"}, {}).id
    assert run_together(WRITER, tmp_path, 2, url_of(server), str(study), "5") == ["", ""]
    for split in ("split0", "split1"):
        trials = SqlTrialLog(server, ManualClock(), study, split).trials()
        assert [t.number for t in trials if t.state == "finished"] == list(range(5))


def test_values_are_not_in_the_messages_of_postgresql(server: Engine) -> None:
    row = {"fingerprint": "a question of somebody", "profile": "{}"}
    sql = text("INSERT INTO hosts VALUES (:fingerprint, :profile, :profile, 1)")
    with (
        pytest.raises(StoreError, match="it failed: duplicate key") as caught,
        store_errors("it failed"),
        server.begin() as connection,
    ):
        connection.execute(sql, [row, row])
    assert "question" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", "NUL"),
        ("a\ud800b", "not Unicode"),
        ("a" * 65, "too long"),
        (2**70, "out of range"),
    ],
)
def test_a_value_that_postgresql_cannot_hold_is_an_input_error(
    server: Engine, value: object, message: str
) -> None:
    column = "recorded_at" if isinstance(value, int) else "fingerprint"
    row = {"fingerprint": "f", "profile": {}, "capabilities": {}, "recorded_at": 1, column: value}
    with (
        pytest.raises(InputError, match=f"it failed: .*{message}"),
        store_errors("it failed"),
        server.begin() as connection,
    ):
        connection.execute(insert(hosts), row)


@pytest.mark.parametrize("value", ["a\ud800b", 2**70])
def test_a_value_that_sqlite_cannot_hold_is_an_input_error(url: str, value: object) -> None:
    engine = open_database(url)
    column = "recorded_at" if isinstance(value, int) else "fingerprint"
    row = {"fingerprint": "f", "profile": {}, "capabilities": {}, "recorded_at": 1, column: value}
    with (
        pytest.raises(InputError, match="it failed"),
        store_errors("it failed"),
        engine.begin() as connection,
    ):
        connection.execute(insert(hosts), row)
    engine.dispose()


def end_connections(server: Engine) -> None:
    """As a server does that is restarted."""
    other = create_engine(server.url)
    with other.begin() as connection:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        mine = "datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(text(f"{end} WHERE {mine}"))
    other.dispose()


def test_a_connection_that_was_lost_is_a_store_error_and_the_next_one_works(
    server: Engine,
) -> None:
    def lose() -> None:
        with store_errors("it failed"), server.begin() as connection:
            end_connections(server)
            connection.execute(COUNT)

    with pytest.raises(StoreError, match="it failed"):
        lose()
    with reading(server) as connection:
        assert connection.scalar(COUNT) == 0


def test_an_idle_connection_that_was_lost_is_not_noticed(server: Engine) -> None:
    with reading(server) as connection:
        connection.scalar(COUNT)
    end_connections(server)
    with server.begin() as connection:
        assert connection.scalar(COUNT) == 0


def test_a_server_that_does_not_answer_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="cannot open") as caught:
        open_database("postgresql://somebody:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)
