"""Opening a database.

SQLite runs in WAL with ``synchronous=FULL`` (what is acknowledged survives a crash) and takes the
write lock when a transaction begins (``BEGIN IMMEDIATE``), because upgrading a read lock fails
under contention whatever the busy timeout.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from autorag.errors import InputError, StoreError

BUSY_TIMEOUT_MS = 30_000
RETRY_S = 0.02
_PASSWORD = re.compile(r":[^:@/]+@")


def open_database(url: str) -> Engine:
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
        engine = create_engine(parsed)
        if parsed.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_immediate)
        upgrade(engine)
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(f"cannot open {parsed.render_as_string()}: {error}") from error
    return engine


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


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _into_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _into_wal(connection: Any) -> None:
    """Switch to WAL. The busy timeout does not cover this when several processes open a new file
    at once, so it is tried again for as long."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1e3
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(RETRY_S)


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
