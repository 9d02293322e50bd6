"""A portable archive of everything that is remembered, and its way back.

The archive is a zip: each table as lines of JSON, a row a line, and ``manifest.json`` with the
schema's revision and the columns, number of rows and SHA-256 of each table. Values are JSON's own
but for bytes (base64), columns of JSON (their text) and floats that are not finite (their names),
so that what was written from SQLite can be restored into PostgreSQL and the other way round. It is
read and written row by row. It holds hashes of keys, and only its owner can read it.

A backup is one state of each database and keeps nobody from writing. It is restored while nothing
else uses the database, which is to be empty, and then brought to the schema of today; each database
is restored all or nothing. The two files of SQLite are replaced one after the other: after a kill
between the two, restoring again makes them one whole.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    cast,
    func,
    select,
)
from sqlalchemy.types import TypeEngine

from autorag.errors import ConflictError, InputError
from autorag.ports import Clock
from store import bulk, migrations
from store.engine import reading, store_errors
from store.layout import Place, columns_there, places
from store.tables import metadata

FORMAT, VERSION = "autorag archive", 1
MANIFEST = "manifest.json"
COMPRESSION = 3
ROWS = 5_000
"""Rows in memory at once."""

_KINDS: dict[str, type[TypeEngine[Any]]] = {
    "json": JSON,
    "bytes": LargeBinary,
    "boolean": Boolean,
    "float": Float,
    "integer": Integer,
    "text": String,
}
"""What columns hold; the first that a column's type is of."""

Progress = Callable[[str, int], None]
"""Told of a table and how many of its rows are done."""


@dataclass(frozen=True, slots=True)
class TableEntry:
    """One table in an archive. ``columns`` are pairs of a name and a kind."""

    name: str
    columns: tuple[tuple[str, str], ...]
    rows: int
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.name}.jsonl"


@dataclass(frozen=True, slots=True)
class ArchiveManifest:
    """What is in an archive.

    Attributes:
        revision: of the schema that it was written from.
        made_at: seconds since the epoch.
    """

    format: str
    version: int
    revision: str
    made_at: int
    tables: tuple[TableEntry, ...]

    @property
    def rows(self) -> dict[str, int]:
        """Table → how many."""
        return {entry.name: entry.rows for entry in self.tables}


def backup(
    url: str, path: Path, clock: Clock, progress: Progress = lambda *_: None
) -> ArchiveManifest:
    """Write an archive, in place of what is at ``path``.

    Raises:
        InputError: no database is at ``url``, or the file cannot be written.
        StoreError: a database cannot be read.
    """
    with (
        store_errors("the backup failed"),
        places(url, existing=True) as found,
        ExitStack() as stack,
    ):
        states = [(p, stack.enter_context(reading(p.engine))) for p in found]
        revision = _revision(states)
        with _draft(path) as file, _zip(file) as archive:
            tables = tuple(
                entry
                for place, connection in states
                for table in place.tables
                if (entry := _write(archive, connection, table, progress)) is not None
            )
            manifest = ArchiveManifest(FORMAT, VERSION, revision, int(clock.time()), tables)
            archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def restore(
    path: Path, url: str, *, force: bool = False, progress: Progress = lambda *_: None
) -> ArchiveManifest:
    """Make a database what an archive says, after the whole archive was checked. A file keeps
    nothing of what was in it; in PostgreSQL, tables of others stay.

    Args:
        force: also when the database has rows; they are deleted.

    Raises:
        InputError: not an archive, a damaged one, or one of a newer AutoRAG.
        ConflictError: the database has rows, or it is PostgreSQL and a newer AutoRAG made its
            tables: nobody can tell which of them are ours.
        StoreError: the database cannot be written; it is as it was.
    """
    with _opened(path) as archive:
        manifest = _checked(archive, path)
        with store_errors("the restore failed"), places(url) as found, ExitStack() as stack:
            states = [(p, stack.enter_context(p.engine.begin())) for p in found]
            replaced = [_replaced(place, connection) for place, connection in states]
            if not force:
                for (place, connection), tables in zip(states, replaced, strict=True):
                    _check_empty(place, connection, tables)
            for (place, connection), tables in zip(states, replaced, strict=True):
                tables.drop_all(connection)
                migrations.upgrade_within(connection, manifest.revision)
                mine = {t.name for t in place.tables}
                for entry in (e for e in manifest.tables if e.name in mine):
                    _insert(archive, entry, connection, progress)
                migrations.upgrade_within(connection)
                _count_on(place, connection)
    return manifest


def _revision(states: Sequence[tuple[Place, Connection]]) -> str:
    found = {p.name: migrations.current(connection) for p, connection in states}
    first, *others = dict.fromkeys(found.values())
    if first is None or others:
        shown = ", ".join(f"{name} at {revision}" for name, revision in found.items())
        raise ConflictError(
            f"the schema of the databases differs ({shown}): autorag db upgrade", key="db"
        )
    migrations.check_known(first)
    return first


@contextmanager
def _draft(path: Path) -> Iterator[IO[bytes]]:
    """A file beside, which only its owner can read, and which takes its place once it is whole."""
    draft = path.with_name(path.name + ".draft")
    try:
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", key="file", value=str(path)) from error
    try:
        with open(opened, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _zip(file: IO[bytes]) -> zipfile.ZipFile:
    return zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION)


def _write(
    archive: zipfile.ZipFile, connection: Connection, table: Table, progress: Progress
) -> TableEntry | None:
    there = columns_there(connection, table)
    if not there:
        return None
    columns = [c for c in table.columns if c.name in there]
    kinds = [_kind(c) for c in columns]
    shown = [cast(c, Text) if k == "json" else c for c, k in zip(columns, kinds, strict=True)]
    floats = [i for i, kind in enumerate(kinds) if kind == "float"]
    query = select(*shown).order_by(*table.primary_key)
    rows, digest, encoder = 0, hashlib.sha256(), msgspec.json.Encoder()
    with (
        archive.open(f"{table.name}.jsonl", "w", force_zip64=True) as file,
        connection.execution_options(yield_per=ROWS).execute(query) as result,
    ):
        for part in result.partitions():
            lines = b"".join(encoder.encode(_row(row, floats)) + b"\n" for row in part)
            file.write(lines)
            digest.update(lines)
            rows += len(part)
            progress(table.name, rows)
    named = tuple((str(c.name), kind) for c, kind in zip(columns, kinds, strict=True))
    return TableEntry(str(table.name), named, rows, digest.hexdigest())


def _row(row: Any, floats: Sequence[int]) -> list[Any]:
    values = list(row)
    for i in floats:
        if values[i] is not None and not math.isfinite(values[i]):
            values[i] = str(values[i])
    return values


def _kind(column: Column[Any]) -> str:
    return next(kind for kind, type_ in _KINDS.items() if isinstance(column.type, type_))


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", key="file", value=str(path)) from error
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not an archive", key="file", value=str(path)) from error
    with archive:
        yield archive


def _checked(archive: zipfile.ZipFile, path: Path) -> ArchiveManifest:
    """The manifest of an archive that is whole."""
    try:
        manifest = msgspec.json.decode(archive.read(MANIFEST), type=ArchiveManifest)
        if (manifest.format, manifest.version) != (FORMAT, VERSION):
            raise _Damaged(f"version {manifest.version} of {manifest.format!r} is not read here")
        if manifest.revision not in migrations.known():
            raise _Damaged(f"it was made by a newer AutoRAG (schema {manifest.revision})")
        for entry in manifest.tables:
            _check(archive, entry)
    except (KeyError, msgspec.MsgspecError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: damaged: {error}", key="file", value=str(path)) from error
    except _Damaged as error:
        raise InputError(f"{path}: {error}", key="file", value=str(path)) from error
    return manifest


class _Damaged(Exception):
    """Something in an archive that cannot be restored."""


def _check(archive: zipfile.ZipFile, entry: TableEntry) -> None:
    if entry.name not in metadata.tables or any(k not in _KINDS for _, k in entry.columns):
        raise _Damaged(f"table {entry.name!r} is not known here")
    digest = hashlib.sha256()
    rows = sum(1 for _ in _rows(archive, entry, digest.update))
    if rows != entry.rows or digest.hexdigest() != entry.sha256:
        raise _Damaged(f"damaged: {entry.file} is not as it was written ({rows} rows)")


def _rows(
    archive: zipfile.ZipFile, entry: TableEntry, seen: Callable[[bytes], None] = lambda _: None
) -> Iterator[bulk.Row]:
    """The rows of a table as the database takes them; ``seen`` is told of every line."""
    decoder = msgspec.json.Decoder(list[str | int | float | bool | None])
    made: dict[str, Callable[[Any], Any]] = {"bytes": _bytes, "float": float}
    changed = [(i, made[kind]) for i, (_, kind) in enumerate(entry.columns) if kind in made]
    with archive.open(entry.file) as file:
        for number, line in enumerate(file, 1):
            seen(line)
            try:
                row = decoder.decode(line)
                for i, make in changed:
                    row[i] = None if row[i] is None else make(row[i])
            except (msgspec.MsgspecError, ValueError, TypeError, IndexError) as error:
                raise _Damaged(f"damaged: {entry.file} line {number}: {error}") from error
            if len(row) != len(entry.columns):
                raise _Damaged(f"damaged: {entry.file} line {number}: {len(row)} values")
            yield tuple(row)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _replaced(place: Place, connection: Connection) -> MetaData:
    """The tables that a restore takes the place of: all of a file, else those that are ours."""
    there = MetaData()
    if connection.dialect.name == "sqlite":
        there.reflect(connection)
        return there
    revision = migrations.current(connection)
    if revision is not None and revision not in migrations.known():
        raise ConflictError(
            f"{place.name}: a newer AutoRAG made its tables (schema {revision}): "
            "restore into an empty database",
            key="db",
            value=place.name,
        )
    ours = [*metadata.tables, migrations.TABLE]
    there.reflect(connection, only=lambda name, _: name in ours)
    return there


def _check_empty(place: Place, connection: Connection, tables: MetaData) -> None:
    for table in tables.sorted_tables:
        if table.name == migrations.TABLE:
            continue
        one = select(1).select_from(table).limit(1)
        if connection.scalar(one) is not None:
            raise ConflictError(
                f"{place.name} is not empty: table {table.name!r} has rows; "
                "--force replaces all of it",
                key="db",
                value=place.name,
            )


def _insert(
    archive: zipfile.ZipFile, entry: TableEntry, connection: Connection, progress: Progress
) -> None:
    columns = tuple(name for name, _ in entry.columns)
    # Not the table of today, which may have other columns.
    types = {
        name: BigInteger if kind == "integer" else _KINDS[kind] for name, kind in entry.columns
    }
    table = Table(entry.name, MetaData(), *(Column(n, t) for n, t in types.items()))
    rows, done = _rows(archive, entry), 0
    while part := list(islice(rows, ROWS)):
        bulk.insert_rows(connection, table, part, columns=columns, conflict=bulk.refuse)
        done += len(part)
        progress(entry.name, done)


def _count_on(place: Place, connection: Connection) -> None:
    """Let PostgreSQL number new rows after those that are there; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in place.tables:
        column = table.autoincrement_column
        if column is None:
            continue
        last = connection.scalar(select(func.max(column)))
        if last is not None:
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(select(func.setval(sequence, last)))
