"""Opening a database.

SQLite runs in WAL with ``synchronous=FULL`` (what is acknowledged survives a crash) and takes the
write lock when a transaction begins (``BEGIN IMMEDIATE``), because upgrading a read lock fails
under contention whatever the busy timeout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from autorag.errors import InputError, StoreError

BUSY_TIMEOUT_MS = 30_000


def open_database(url: str) -> Engine:
    """Connect, creating the file and bringing the schema up to date.

    Raises:
        InputError: not a database URL.
        StoreError: the database cannot be opened.
    """
    from store.migrations import upgrade

    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError(f"--db {url!r}: {error}", key="db", value=url) from error
    try:
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed)
        if parsed.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_immediate)
        upgrade(engine)
    except (SQLAlchemyError, OSError, ModuleNotFoundError) as error:
        raise StoreError(f"cannot open {parsed.render_as_string()}: {error}") from error
    return engine


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path}"


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
