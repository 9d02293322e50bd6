"""Which tables live where: with SQLite in two files, else in one database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Table, inspect

from autorag.errors import InputError
from store.engine import check_url, connect, sqlite_path, telemetry_url
from store.tables import metadata, observations, rollups, sources, spans, traces

TELEMETRY = (sources, traces, spans, observations, rollups)
CONTROL = tuple(t for t in metadata.sorted_tables if t not in TELEMETRY)


@dataclass(frozen=True)
class Place:
    """One database, and the tables that are used of it, parents before children."""

    engine: Engine
    tables: tuple[Table, ...]

    @property
    def name(self) -> str:
        """As people are told of it."""
        return self.engine.url.render_as_string()


@contextmanager
def places(url: str, *, existing: bool = False) -> Iterator[list[Place]]:
    """The databases of an installation, with whatever schema they have.

    Args:
        existing: only files that are there; the first must be.

    Raises:
        InputError: not a database URL, or there is no such file.
        StoreError: a folder cannot be made.
    """
    with ExitStack() as stack:
        found: list[Place] = []
        for place_url, tables in _urls(url):
            engine = connect(place_url, synchronous="NORMAL" if found else "FULL")
            stack.callback(engine.dispose)
            path = sqlite_path(engine)
            if existing and path is not None and not path.is_file():
                if not found:
                    raise InputError(f"there is no database at {path}", key="db", value=str(path))
                continue
            found.append(Place(engine, tables))
        yield found


def columns_there(connection: Connection, table: Table) -> set[str]:
    """The columns that a table has in this database; none where it is not there."""
    look = inspect(connection)
    if not look.has_table(table.name):
        return set()
    return {column["name"] for column in look.get_columns(table.name)}


def _urls(url: str) -> list[tuple[str, tuple[Table, ...]]]:
    if check_url(url).get_backend_name() == "sqlite":
        return [(url, CONTROL), (telemetry_url(url), TELEMETRY)]
    return [(url, tuple(metadata.sorted_tables))]
