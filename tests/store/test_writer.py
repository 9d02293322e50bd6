"""The batching writer: order, batches, failures alone, and nothing told before it is on disk."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

import store.engine
from autorag.errors import BusyError, ConflictError, StoreError
from store.database import Database
from store.engine import open_database, open_telemetry, sqlite_url
from store.writer import BATCH_JOBS, WAITING_JOBS, BatchWriter, Job
from tests.store.backends import Backend, Postgres
from tests.store.registered import new_app

THREADS, JOBS_EACH = 8, 25


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a-telemetry.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = open_telemetry(sqlite_url(path.with_name("a.db")))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE noted (number INTEGER UNIQUE)")
    yield engine
    engine.dispose()


def note(number: int) -> Job:
    """A job that writes a number, and returns it."""

    def job(connection: Connection) -> int:
        connection.exec_driver_sql("INSERT INTO noted VALUES (?)", (number,))
        return number

    return job


def on_disk(path: Path) -> list[int]:
    """The numbers in the order in which they were written, as another process sees them."""
    with closing(sqlite3.connect(path)) as other:
        return [n for (n,) in other.execute("SELECT number FROM noted ORDER BY rowid")]


class Gate:
    """Holds the writer, so that what is handed in meanwhile waits and makes one batch."""

    def __init__(self, writer: BatchWriter) -> None:
        self._reached, self._open = threading.Event(), threading.Event()
        writer.submit(self._hold)
        assert self._reached.wait(10)

    def _hold(self, _: Connection) -> None:
        self._reached.set()
        assert self._open.wait(10)

    def open(self) -> None:
        self._open.set()


def commits_of(engine: Engine) -> list[str]:
    """Grows with every commit."""
    seen: list[str] = []
    event.listen(engine, "commit", lambda _: seen.append("commit"))
    return seen


def failed(future: Future[Any]) -> str:
    error = future.exception(10)
    assert isinstance(error, StoreError)
    return str(error)


def test_jobs_run_in_the_order_in_which_they_were_handed_in(engine: Engine, path: Path) -> None:
    with BatchWriter(engine) as writer:
        told = [writer.submit(note(n)) for n in (3, 1, 2)]
        assert [f.result(10) for f in told] == [3, 1, 2]
    assert on_disk(path) == [3, 1, 2]


def test_what_waits_is_committed_together(engine: Engine, path: Path) -> None:
    seen_within: list[list[int]] = []
    with BatchWriter(engine) as writer:
        gate = Gate(writer)
        for n in range(5):
            writer.submit(note(n))
        last = writer.submit(lambda _: seen_within.append(on_disk(path)))
        commits = commits_of(engine)
        gate.open()
        last.result(10)
    assert seen_within == [[]]
    assert on_disk(path) == [0, 1, 2, 3, 4]
    assert len(commits) == 2  # the gate's and the batch's


def test_a_batch_has_a_size(engine: Engine, path: Path) -> None:
    count = 2 * BATCH_JOBS + 1
    with BatchWriter(engine) as writer:
        gate = Gate(writer)
        commits = commits_of(engine)
        told = [writer.submit(note(n)) for n in range(count)]
        gate.open()
        assert [f.result(10) for f in told] == list(range(count))
    assert on_disk(path) == list(range(count))
    assert len(commits) == 1 + 3


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_job_that_fails_fails_alone(engine: Engine, path: Path, place: int) -> None:
    def breaks(connection: Connection) -> None:
        note(100)(connection)
        raise ValueError("broken job")

    jobs = [note(n) for n in range(5)]
    jobs[place] = breaks
    with BatchWriter(engine) as writer:
        gate = Gate(writer)
        told = [writer.submit(job) for job in jobs]
        gate.open()
        with pytest.raises(ValueError, match="broken job"):
            told[place].result(10)
        others = [n for n in range(5) if n != place]
        assert [told[n].result(10) for n in others] == others
    assert on_disk(path) == others


def test_a_job_runs_once_whatever_becomes_of_others(engine: Engine, path: Path) -> None:
    ran: list[int] = []

    def counted(number: int) -> Job:
        def job(connection: Connection) -> None:
            ran.append(number)
            note(number)(connection)
            if number % 3 == 0:
                raise ConflictError("it is not to be", key="number", value=number)

        return job

    with BatchWriter(engine) as writer:
        gate = Gate(writer)
        commits = commits_of(engine)
        told = [writer.submit(counted(n)) for n in range(9)]
        gate.open()
        errors = [f.exception(10) for f in told]
    assert [type(e) for e in errors] == [ConflictError, type(None), type(None)] * 3
    assert ran == list(range(9))
    assert on_disk(path) == [1, 2, 4, 5, 7, 8]
    assert len(commits) == 2  # the gate's and the batch's


def test_when_the_connection_is_lost_nothing_of_a_batch_is_told_as_done(
    postgres: Postgres,
) -> None:
    def lose(connection: Connection) -> None:
        own = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.execute(text(f"SELECT pg_terminate_backend({own})"))

    with postgres.database() as url:
        engine = open_database(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE noted (number INTEGER UNIQUE)")

        def add(number: int) -> Job:
            statement = text(f"INSERT INTO noted VALUES ({number})")
            return lambda connection: connection.execute(statement).rowcount

        with BatchWriter(engine) as writer:
            gate = Gate(writer)
            told = [writer.submit(job) for job in (add(1), lose, add(2), add(2))]
            gate.open()
            assert all("could not be written" in failed(f) for f in told)
            assert writer.submit(add(1)).result(10) == 1
            gate = Gate(writer)
            first, again, other = (writer.submit(add(n)) for n in (2, 2, 3))
            gate.open()
            assert "duplicate key" in failed(again)
            assert (first.result(10), other.result(10)) == (1, 1)
        engine.dispose()


def test_use_cases_share_a_transaction_and_fail_alone(backend: Backend) -> None:
    with BatchWriter(backend.engine) as writer:
        database = Database(backend.engine, backend.clock, writer)
        gate = Gate(writer)
        told = [
            database.submit(lambda session, name=name: session.apps.add(new_app(name)))
            for name in ("a", "b", "a", "c")
        ]
        gate.open()
        assert [f.result(10).name for f in (told[0], told[1], told[3])] == ["a", "b", "c"]
        assert isinstance(told[2].exception(10), ConflictError)
        with pytest.raises(ConflictError):
            database.write(lambda session: session.apps.add(new_app("a")))
        names = [a.name for a in database.read(lambda session: session.apps.all())]
    assert names == ["a", "b", "c"]


def test_what_the_database_refuses_is_a_store_error_without_its_values(
    engine: Engine, path: Path
) -> None:
    with BatchWriter(engine) as writer:
        gate = Gate(writer)
        first, again, other = (writer.submit(note(n)) for n in (421_337, 421_337, 5))
        gate.open()
        said = failed(again)
        assert (first.result(10), other.result(10)) == (421_337, 5)
    assert "the database could not be written" in said
    assert "421337" not in said
    assert on_disk(path) == [421_337, 5]


def test_a_result_is_told_only_when_others_see_it_on_disk(engine: Engine, path: Path) -> None:
    seen: list[list[int]] = []
    with BatchWriter(engine) as writer:
        gate = Gate(writer)
        for n in range(3):
            writer.submit(note(n)).add_done_callback(lambda _: seen.append(on_disk(path)))
        gate.open()
    assert seen == [[0, 1, 2]] * 3


def test_closing_finishes_what_waits(engine: Engine, path: Path) -> None:
    count = BATCH_JOBS + 5
    with BatchWriter(engine) as writer:
        gate = Gate(writer)
        told = [writer.submit(note(n)) for n in range(count)]
        gate.open()
    assert all(f.done() for f in told)
    assert on_disk(path) == list(range(count))


def test_a_closed_writer_takes_nothing(engine: Engine) -> None:
    with BatchWriter(engine) as writer:
        pass
    with pytest.raises(StoreError, match="closed"):
        writer.submit(note(1))


def test_jobs_beyond_a_number_are_refused_and_the_others_done(engine: Engine, path: Path) -> None:
    with BatchWriter(engine) as writer:
        gate = Gate(writer)
        told = [writer.submit(note(n)) for n in range(WAITING_JOBS)]
        with pytest.raises(BusyError):
            writer.submit(note(WAITING_JOBS))
        gate.open()
        assert told[-1].result(10) == WAITING_JOBS - 1
        assert writer.submit(note(-1)).result(10) == -1
    assert on_disk(path) == [*range(WAITING_JOBS), -1]


def test_a_cancelled_job_is_left_out(engine: Engine, path: Path) -> None:
    with BatchWriter(engine) as writer:
        gate = Gate(writer)
        kept, cancelled, also_kept = (writer.submit(note(n)) for n in range(3))
        assert cancelled.cancel()
        gate.open()
        assert (kept.result(10), also_kept.result(10)) == (0, 2)
        with pytest.raises(CancelledError):
            cancelled.result(10)
    assert on_disk(path) == [0, 2]


def test_many_threads_may_hand_in_jobs(engine: Engine, path: Path) -> None:
    with BatchWriter(engine) as writer, ThreadPoolExecutor(THREADS) as threads:

        def work(me: int) -> list[int]:
            mine = range(me * JOBS_EACH, (me + 1) * JOBS_EACH)
            return [writer.submit(note(n)).result(10) for n in mine]

        told = list(threads.map(work, range(THREADS)))
    assert sorted(n for mine in told for n in mine) == list(range(THREADS * JOBS_EACH))
    written = on_disk(path)
    assert sorted(written) == list(range(THREADS * JOBS_EACH))
    for mine in told:
        assert [n for n in written if n in set(mine)] == mine


def test_a_database_that_is_kept_locked_is_waited_for_once_a_batch(
    path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.engine, "BUSY_TIMEOUT_MS", 50)
    engine.dispose()  # so that new connections wait so long
    tries: list[str] = []
    handed_in = threading.Event()

    def connect(_: Connection) -> None:
        tries.append("connected")
        assert handed_in.wait(10)

    event.listen(engine, "engine_connect", connect)
    with BatchWriter(engine) as writer, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        first = writer.submit(note(0))
        while not tries:
            time.sleep(0.001)
        batch = [writer.submit(note(n)) for n in range(1, 6)]
        handed_in.set()
        assert all("locked" in failed(f) for f in [first, *batch])
        assert len(tries) == 2
        other.rollback()
        assert writer.submit(note(9)).result(10) == 9
    assert on_disk(path) == [9]
