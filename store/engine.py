"""Opening a database.

SQLite runs in WAL and takes the write lock when a transaction begins (``BEGIN IMMEDIATE``), because
upgrading a read lock fails under contention whatever the busy timeout; :func:`reading` begins one
that never writes and never waits. What was acknowledged survives a killed process. With
``synchronous=FULL`` it also survives a power loss; telemetry runs with ``NORMAL`` and may lose its
last moments then.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from autorag.errors import InputError, StoreError

Synchronous = Literal["FULL", "NORMAL"]

BUSY_TIMEOUT_MS = 30_000
RETRY_S = 0.02

CHECKPOINT_PAGES = 8_000
"""Pages that the write-ahead log may reach before they are copied into the database: a page that is
written many times meanwhile is copied once."""

CACHE_KB = 32_000
"""Of each connection; filled as needed."""
_READS = "autorag_reads"
_PASSWORD = re.compile(r":[^:@/]+@")


def open_database(url: str, *, synchronous: Synchronous = "FULL") -> Engine:
    """Connect, creating the file and bringing the schema up to date.

    Raises:
        InputError: not a database URL.
        StoreError: the database cannot be opened.
    """
    from store.migrations import upgrade

    parsed = check_url(url)
    try:
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, hide_parameters=True)
        if parsed.get_backend_name() == "sqlite":
            event.listen(engine, "connect", partial(_prepare_sqlite, synchronous))
            event.listen(engine, "begin", _begin)
        upgrade(engine)
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(f"cannot open {parsed.render_as_string()}: {error}") from error
    return engine


def open_telemetry(url: str) -> Engine:
    """The database of telemetry that goes with the one at ``url``: with SQLite a file beside it,
    ``autorag.db`` → ``autorag-telemetry.db``; else the same database.

    Raises:
        InputError, StoreError: see :func:`open_database`.
    """
    parsed = check_url(url)
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise InputError(f"--db {url!r}: telemetry needs a file", key="db", value=url)
        path = Path(parsed.database)
        parsed = parsed.set(database=str(path.with_name(f"{path.stem}-telemetry.db")))
        url = parsed.render_as_string()
    return open_database(url, synchronous="NORMAL")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: one state of the database throughout."""
    with engine.connect().execution_options(**{_READS: True}) as connection, connection.begin():
        yield connection


def check_url(url: str) -> URL:
    """The parsed URL.

    Raises:
        InputError: not a URL of a database that can be used here.
    """
    try:
        parsed = make_url(url)
        parsed.get_dialect()
        create_engine(parsed).dispose()
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
        shown = _PASSWORD.sub(":***@", url)
        raise InputError(f"--db {shown!r}: {error}", key="db", value=shown) from error
    return parsed


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turn errors of the database into ``StoreError``."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"{doing}: {error}") from error


def _prepare_sqlite(synchronous: Synchronous, connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _into_wal(connection)
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
    connection.execute("PRAGMA foreign_keys=ON")


def _into_wal(connection: Any) -> None:
    """Switch to WAL, and a new file to giving back pages step by step, which is heeded before its
    first table only. The busy timeout does not cover this when several processes open a new file
    at once, so it is tried again for as long."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1e3
    while True:
        try:
            if connection.execute("PRAGMA page_count").fetchone() == (0,):
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(RETRY_S)


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
