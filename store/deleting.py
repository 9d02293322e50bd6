"""Deleting what is no longer kept, beside a running service: chunk by chunk (:mod:`store.pace`).

Every chunk is one transaction. A prune that is killed or told to stop has done whole chunks, and
the next one goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sqlalchemy import ColumnElement, Engine, Table, bindparam, delete, select, true

from autorag.ports import Clock
from store.engine import reading
from store.pace import Chunks, Pace

DAY_S = 86_400

FIRST_ROWS, LEAST_ROWS, MOST_ROWS = 1_000, 200, 50_000
FIRST_PAGES, LEAST_PAGES, MOST_PAGES = 200, 20, 10_000


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune did: rows deleted, by their tables, and

    Attributes:
        expected: traces to delete when it began.
        longest_lock_s: so long it kept others from writing.
        complete: nothing is left to do; False when it was stopped.
    """

    traces: int = 0
    spans: int = 0
    observations: int = 0
    rollups: int = 0
    telemetry_sources: int = 0
    trial_queries: int = 0
    trials: int = 0
    studies: int = 0
    acks: int = 0
    jobs: int = 0
    answers: int = 0
    expected: int = 0
    longest_lock_s: float = 0.0
    complete: bool = False


Progress = Callable[[Pruned], None]


class Stopped(Exception):
    """Nothing more is to be done."""


def row_pace(clock: Clock) -> Pace:
    """The pace of deleting rows."""
    return Pace(clock, FIRST_ROWS, LEAST_ROWS, MOST_ROWS)


@dataclass
class Deleting:
    """Deleting at work on one database.

    Attributes:
        progress: told after every chunk.
        cancelled: asked before every chunk; once it says so, ``Stopped`` is raised.
        done: what was done so far.
    """

    engine: Engine
    chunks: Chunks
    pace: Pace
    progress: Progress = lambda _: None
    cancelled: Callable[[], bool] = lambda: False
    done: Pruned = field(default_factory=Pruned)

    def rows(
        self,
        table: Table,
        which: ColumnElement[bool],
        still: ColumnElement[bool] | None = None,
    ) -> None:
        """Delete rows of a table.

        Args:
            which: those.
            still: what is asked again of each, when nobody else can change it any more; nothing if
                left out.
        """
        key = list(table.primary_key)
        one = delete(table).where(*(c == bindparam(f"of_{c.name}") for c in key))
        one = one.where(true() if still is None else still)
        columns = [c.label(f"of_{c.name}") for c in key]
        while True:
            with reading(self.engine) as connection:
                page = select(*columns).where(which).limit(self.pace.size)
                found = [dict(row) for row in connection.execute(page).mappings()]
            if not found:
                return
            self.go_on()
            with self.chunks.locked(self.pace) as connection:
                gone = connection.execute(one, found).rowcount
            self.count(**{table.name: gone})

    def vacuum(self) -> None:
        """Give the pages that became free back to the file system, where the database does not do
        that by itself."""
        if self.chunks.pragma("auto_vacuum") != 2:
            return
        pace = Pace(self.pace.clock, FIRST_PAGES, LEAST_PAGES, MOST_PAGES, self.pace.sleep)
        left, free = None, self.chunks.pragma("freelist_count")
        while free and free != left:
            self.go_on()
            self.chunks.script(f"PRAGMA incremental_vacuum({pace.size})", pace)
            self.pace.held_s.append(pace.held_s[-1])
            self.count()
            left, free = free, self.chunks.pragma("freelist_count")

    def go_on(self) -> None:
        """
        Raises:
            Stopped: it was cancelled.
        """
        if self.cancelled():
            raise Stopped

    def count(self, **more: int) -> None:
        """Take note of a chunk."""
        added = {name: getattr(self.done, name) + n for name, n in more.items()}
        longest = max(self.done.longest_lock_s, self.pace.held_s[-1])
        self.done = replace(self.done, longest_lock_s=longest, **added)
        self.progress(self.done)
