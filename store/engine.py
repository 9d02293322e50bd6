"""Opening a database.

SQLite runs in WAL and takes the write lock when a transaction begins (``BEGIN IMMEDIATE``), because
upgrading a read lock fails under contention whatever the busy timeout; :func:`reading` begins one
that never writes and never waits. What was acknowledged survives a killed process. With
``synchronous=FULL`` it also survives a power loss; telemetry runs with ``NORMAL`` and may lose its
last moments then.

PostgreSQL does the same by other means: a transaction begins with an advisory lock, one for control
and one for telemetry, so that what was read is still true when it is written and the code of the
repositories is one; reading is ``REPEATABLE READ`` and waits for nobody.
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
from sqlalchemy.exc import ArgumentError, DataError, NoSuchModuleError, SQLAlchemyError

from autorag.errors import InputError, StoreError

Synchronous = Literal["FULL", "NORMAL"]

BUSY_TIMEOUT_MS = 30_000
"""So long a transaction waits for others to end."""

RETRY_S = 0.02

CHECKPOINT_PAGES = 8_000
"""Pages that the write-ahead log may reach before they are copied into the database: a page that is
written many times meanwhile is copied once."""

LARGEST_LOG = 64_000_000
"""Bytes that the write-ahead log keeps on disk once it was copied; a long reader or a large
transaction lets it grow beyond."""

CACHE_KB = 32_000
"""Of each connection; filled as needed."""

CONNECT_TIMEOUT_S = 10
IDLE_TIMEOUT_MS = 300_000
"""PostgreSQL ends a transaction whose client has said nothing for so long, so that one that hangs
does not keep the lock."""

CONTROL_LOCK, TELEMETRY_LOCK, MIGRATION_LOCK = (0x6175746F_72616700 + i for i in range(3))
"""Keys of PostgreSQL's advisory locks."""

_READS = "autorag_reads"
_PASSWORD = re.compile(r":[^:@/]+@")


def open_database(url: str, *, synchronous: Synchronous = "FULL") -> Engine:
    """Connect, creating the file and bringing the schema up to date.

    Raises:
        InputError: not a database URL.
        StoreError: the database cannot be opened.
    """
    from store.migrations import upgrade

    engine = connect(url, synchronous=synchronous)
    try:
        upgrade(engine)
    except (SQLAlchemyError, StoreError, OSError) as error:
        engine.dispose()
        raise StoreError(f"cannot open {engine.url.render_as_string()}: {_said(error)}") from error
    return engine


def open_telemetry(url: str) -> Engine:
    """The database of telemetry that goes with the one at ``url``.

    Raises:
        InputError, StoreError: see :func:`open_database`.
    """
    return open_database(telemetry_url(url), synchronous="NORMAL")


def connect(url: str, *, synchronous: Synchronous = "FULL") -> Engine:
    """Connect to a database with whatever schema it has; a file is created when it is used.

    Raises:
        InputError: not a database URL.
        StoreError: the folder of a file cannot be made.
    """
    parsed = check_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, synchronous)
    return _postgresql(parsed, CONTROL_LOCK if synchronous == "FULL" else TELEMETRY_LOCK)


def telemetry_url(url: str) -> str:
    """Where telemetry is: with SQLite in a file beside the database at ``url``, ``autorag.db`` →
    ``autorag-telemetry.db``; else in the same database.

    Raises:
        InputError: not a URL of a database, or of one in memory.
    """
    parsed = check_url(url)
    if parsed.get_backend_name() != "sqlite":
        return url
    if not parsed.database or parsed.database == ":memory:":
        raise InputError(f"--db {url!r}: telemetry needs a file", key="db", value=url)
    path = Path(parsed.database)
    beside = parsed.set(database=str(path.with_name(f"{path.stem}-telemetry.db")))
    return beside.render_as_string(hide_password=False)


def sqlite_path(engine: Engine) -> Path | None:
    """The file of a database, None where it is not one."""
    on_disk = engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:")
    return Path(str(engine.url.database)) if on_disk else None


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: one state of the database throughout."""
    options: dict[str, Any] = {_READS: True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection, connection.begin():
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
    """Turn errors of the database into ``StoreError``, and those about a value that no database
    can hold (a NUL character, half a surrogate pair, a number above 64 bits) into ``InputError``.
    """
    try:
        yield
    except (DataError, UnicodeEncodeError, OverflowError) as error:
        raise InputError(f"{doing}: {_said(error)}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"{doing}: {_said(error)}") from error


def _said(error: Exception) -> str:
    """What the database said, without the statement and its values. (PostgreSQL tells values apart
    from what it says first.)"""
    if isinstance(error, UnicodeEncodeError):
        return f"a text is not Unicode: {error.reason}"
    said = getattr(error, "orig", None) or error
    return getattr(getattr(said, "diag", None), "message_primary", None) or str(said)


def _sqlite(url: URL, synchronous: Synchronous) -> Engine:
    if url.database:
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot open {url.render_as_string()}: {error}") from error
    engine = create_engine(url, hide_parameters=True)
    event.listen(engine, "connect", partial(_prepare_sqlite, synchronous))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL, lock: int) -> Engine:
    arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "autorag"}
    given = {name: value for name, value in arguments.items() if name not in url.query}
    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=given)
    event.listen(engine, "connect", _prepare_postgresql)
    event.listen(engine, "begin", partial(_begin_postgresql, lock))
    return engine


def _prepare_sqlite(synchronous: Synchronous, connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _into_wal(connection)
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={LARGEST_LOG}")
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


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _prepare_postgresql(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}")
    connection.commit()


def _begin_postgresql(lock: int, connection: Connection) -> None:
    if not connection.get_execution_options().get(_READS):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")
