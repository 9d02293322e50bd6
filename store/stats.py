"""What is in the databases, and how much room it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from store import migrations
from store.engine import reading, sqlite_path, store_errors
from store.layout import Place, columns_there, places
from store.tables import traces


@dataclass(frozen=True, slots=True)
class DatabaseStats:
    """One database.

    Attributes:
        database: its URL, without a password.
        revision: of its schema, None when it has none.
        rows: table → how many.
        bytes: on disk, of the file or of all tables with their indexes.
        free_bytes: of these, what new rows will fill first; None where that is not known.
        wal_bytes: of the write-ahead log beside a file, None where there is none.
        oldest, newest: when the last spans of traces came, in seconds since the epoch; None
            without traces.
    """

    database: str
    revision: str | None
    rows: Mapping[str, int]
    bytes: int
    free_bytes: int | None
    wal_bytes: int | None
    oldest: int | None
    newest: int | None


def database_stats(url: str) -> list[DatabaseStats]:
    """The databases of an installation.

    Raises:
        InputError: no database is at ``url``.
        StoreError: a database cannot be read.
    """
    with store_errors("the database could not be read"), places(url, existing=True) as found:
        return [_of(place) for place in found]


def _of(place: Place) -> DatabaseStats:
    path = sqlite_path(place.engine)
    with reading(place.engine) as connection:
        there = [t for t in place.tables if columns_there(connection, t)]
        rows = {
            t.name: connection.scalar(select(func.count()).select_from(t)) or 0
            for t in sorted(there, key=lambda t: t.name)
        }
        seen = traces.c.last_seen_at
        oldest, newest = None, None
        if traces in there:
            oldest, newest = connection.execute(select(func.min(seen), func.max(seen))).one()
        size, free = _sizes(connection, list(rows))
        revision = migrations.current(connection)
    wal = None if path is None else _size(path.with_name(f"{path.name}-wal"))
    return DatabaseStats(place.name, revision, rows, size, free, wal, oldest, newest)


def _sizes(connection: Connection, tables: list[str]) -> tuple[int, int | None]:
    """Bytes, and free bytes among them."""
    if connection.dialect.name == "sqlite":
        pages, size, free = (
            connection.scalar(text(f"PRAGMA {name}")) or 0
            for name in ("page_count", "page_size", "freelist_count")
        )
        return pages * size, free * size
    each = (func.pg_total_relation_size(func.to_regclass(name)) for name in tables)
    return sum(connection.scalar(select(size)) or 0 for size in each), None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
