"""Long work beside a running service: a little at a time under the lock, and others go first.

Writers of one database wait for each other. Work that deletes millions of rows is cut into chunks,
each a transaction that is as large as keeps the lock for :data:`TARGET_S`; after each it sleeps as
long as it held the lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine

from autorag.ports import Clock
from store.engine import CHECKPOINT_PAGES

TARGET_S = 0.015
"""So long a chunk is to keep the lock: the slowest of thousands keep it three times as long."""

MOST_GROWTH = 1.5
CHECKPOINT_CHUNKS = 20


@dataclass
class Pace:
    """How much is done at a time.

    Attributes:
        size: of the next chunk, in whatever it is counted in.
        held_s: how long each chunk kept the lock.
    """

    clock: Clock
    size: int
    least: int
    most: int
    sleep: Callable[[float], None] = time.sleep
    held_s: list[float] = field(default_factory=list)

    def held(self, seconds: float) -> None:
        """Take note of a chunk, adapt the size of the next, and let others go first."""
        self.held_s.append(seconds)
        change = min(max(TARGET_S / max(seconds, 1e-6), 1 / MOST_GROWTH**2), MOST_GROWTH)
        self.size = min(max(int(self.size * change), self.least), self.most)
        self.sleep(seconds)


class Chunks:
    """A connection of its own for such work. SQLite would copy its log into the database within a
    commit, unseen how long; here that is done between chunks, when the lock is free."""

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self._sqlite = engine.dialect.name == "sqlite"
        self._connection = connection
        self._done = 0

    @classmethod
    @contextmanager
    def on(cls, engine: Engine) -> Iterator[Chunks]:
        with engine.connect() as connection:
            chunks = cls(engine, connection)
            chunks.pragma("wal_autocheckpoint=0")
            try:
                yield chunks
            finally:
                chunks.pragma("wal_checkpoint(PASSIVE)")
                chunks.pragma(f"wal_autocheckpoint={CHECKPOINT_PAGES}")

    @contextmanager
    def locked(self, pace: Pace) -> Iterator[Connection]:
        """A transaction, which is a chunk."""
        with self._connection.begin():
            started = pace.clock.monotonic()
            yield self._connection
        self._ended(pace, started)

    def script(self, statement: str, pace: Pace) -> None:
        """A statement of SQLite that is a chunk and has to be run as a script."""
        started = pace.clock.monotonic()
        self._raw.executescript(statement)
        self._ended(pace, started)

    def pragma(self, name: str) -> int | None:
        """What SQLite says to a pragma, None where it says nothing; no other database is asked."""
        if not self._sqlite:
            return None
        row = self._raw.execute(f"PRAGMA {name}").fetchone()
        return None if row is None else int(row[0])

    @property
    def _raw(self) -> Any:
        return self._connection.connection.dbapi_connection

    def _ended(self, pace: Pace, started: float) -> None:
        seconds = pace.clock.monotonic() - started
        self._done += 1
        if self._done % CHECKPOINT_CHUNKS == 0:
            self.pragma("wal_checkpoint(PASSIVE)")
        pace.held(seconds)
