"""Inserting many rows: plain tuples straight to the driver.

SQLAlchemy's own way of executing many dictionaries costs more time a row than SQLite takes to
write it. Statements are still built and compiled by SQLAlchemy, once for each dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Row = tuple[Any, ...]
Conflict = Callable[[Any, str], Any]
"""What to do about rows that are there: completes an insert for a dialect."""


def insert_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    columns: tuple[str, ...],
    conflict: Conflict,
) -> None:
    """Insert rows whose values are those of ``columns``, which are in the table's order."""
    if rows:
        statement = _compiled(connection.dialect.name, table, columns, conflict)
        connection.exec_driver_sql(statement, list(rows))


def ignore(insertion: Any, _: str) -> Any:
    """Rows that are there stay as they are."""
    return insertion.on_conflict_do_nothing()


def refuse(insertion: Any, _: str) -> Any:
    """A row that is there already is an error."""
    return insertion


@cache
def _compiled(dialect: str, table: Table, columns: tuple[str, ...], conflict: Conflict) -> str:
    if dialect == "sqlite":
        insertion: Any = sqlite.insert(table)
        speaks: Any = sqlite.dialect()
    else:
        insertion = postgresql.insert(table)
        speaks = postgresql.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    return str(conflict(insertion, dialect).compile(dialect=speaks, column_keys=list(columns)))
