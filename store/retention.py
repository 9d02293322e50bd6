"""Keeping telemetry small: what is old becomes hourly histograms, and those go in their turn.

Each chunk (:mod:`store.pace`) deletes some traces with their spans and observations, and adds the
observations to histograms, in one transaction: a prune that is killed loses nothing and counts
nothing twice, and the next one goes on. How old a trace is goes by when its last spans came, on
our clock; which hour an observation belongs to, by its own time.

An app is forgotten in two steps: :func:`disown` makes its telemetry nobody's at once, and the next
prune deletes that, whatever its age and without histograms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Engine,
    Row,
    Table,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from autorag.hashing import address
from autorag.ports import Clock
from store.engine import reading, store_errors
from store.pace import Chunks, Pace
from store.rollups import MEASURED, roll_up
from store.tables import observations, rollups, sources, spans, traces

DELETED = "_deleted"
"""The app of telemetry that was disowned."""

DAY_S = 86_400

FIRST_ROWS, LEAST_ROWS, MOST_ROWS = 1_000, 200, 50_000
FIRST_PAGES, LEAST_PAGES, MOST_PAGES = 200, 20, 10_000

CHUNK_TRACES = 500
ROUND_TRACES = 100_000
"""Traces whose numbers are in memory at once."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune did.

    Attributes:
        traces, spans, observations: deleted.
        rollups: histograms deleted.
        expected: traces to delete when it began.
        longest_lock_s: so long it kept others from writing.
        complete: nothing is left to do; False when it was stopped.
    """

    traces: int = 0
    spans: int = 0
    observations: int = 0
    rollups: int = 0
    expected: int = 0
    longest_lock_s: float = 0.0
    complete: bool = False


def row_pace(clock: Clock) -> Pace:
    """The pace of deleting rows."""
    return Pace(clock, FIRST_ROWS, LEAST_ROWS, MOST_ROWS)


def prune(
    engine: Engine,
    clock: Clock,
    *,
    days: float,
    rollup_days: float,
    progress: Callable[[Pruned], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    pace: Pace | None = None,
) -> Pruned:
    """Turn telemetry older than ``days`` into histograms, and delete histograms older than
    ``rollup_days`` and everything that was disowned.

    Args:
        progress: told after every chunk.
        cancelled: asked before every chunk; once it says so, nothing more is done.

    Raises:
        StoreError: the database failed; what was done until then stays done.
    """
    now = int(clock.time())
    with store_errors("telemetry could not be pruned"), Chunks.on(engine) as chunks:
        work = _Pruning(engine, chunks, pace or row_pace(clock), progress, cancelled)
        try:
            work.traces(now - int(days * DAY_S))
            work.rollups(rollups.c.hour < now - int(rollup_days * DAY_S))
            work.sources()
            work.vacuum()
        except _Cancelled:
            return work.done
        return replace(work.done, complete=True)


def disown(engine: Engine, app: str, clock: Clock) -> None:
    """Make the telemetry of an app nobody's: it is not found under its name any more, nor mixed
    with that of a new app of the same name. Doing it again changes nothing.

    Raises:
        StoreError: the database failed; it can be done again.
    """
    renamed = update(sources).where(sources.c.id == bindparam("of"))
    renamed = renamed.values(app=DELETED, identity=bindparam("new_identity"))
    with store_errors("telemetry could not be disowned"), Chunks.on(engine) as chunks:
        with engine.begin() as connection:
            ids = connection.scalars(select(sources.c.id).where(sources.c.app == app)).all()
            rows = [{"of": id_, "new_identity": address([DELETED, id_])} for id_ in ids]
            if rows:
                connection.execute(renamed, rows)
        _Pruning(engine, chunks, row_pace(clock)).rollups(rollups.c.app == app)


class _Cancelled(Exception):
    """Nothing more is to be done."""


@dataclass
class _Pruning:
    """One prune at work."""

    engine: Engine
    chunks: Chunks
    pace: Pace
    progress: Callable[[Pruned], None] = lambda _: None
    cancelled: Callable[[], bool] = lambda: False
    done: Pruned = field(default_factory=Pruned)

    def traces(self, before: int) -> None:
        """Delete what is older, or disowned."""
        nobodys = select(sources.c.id).where(sources.c.app == DELETED)
        old = or_(traces.c.last_seen_at < before, traces.c.source_id.in_(nobodys))
        with reading(self.engine) as connection:
            expected = connection.scalar(select(func.count()).select_from(traces).where(old))
        self.done = replace(self.done, expected=expected or 0)
        after = -1
        while found := self._round(old, after):
            after = found[-1][0]
            # By source, so that the traces of a chunk share their histograms.
            ids = [id_ for id_, _ in sorted(found, key=lambda row: (row[1], row[0]))]
            for i in range(0, len(ids), CHUNK_TRACES):
                for some in self._fitting(ids[i : i + CHUNK_TRACES], old):
                    self._delete_traces(some, old)

    def rollups(self, which: ColumnElement[bool]) -> None:
        """Delete histograms."""
        key = list(rollups.primary_key)
        one = delete(rollups).where(*(c == bindparam(f"of_{c.name}") for c in key))
        columns = [c.label(f"of_{c.name}") for c in key]
        while True:
            with reading(self.engine) as connection:
                page = select(*columns).where(which).limit(self.pace.size)
                rows = [dict(row) for row in connection.execute(page).mappings()]
            if not rows:
                return
            self._go_on()
            with self.chunks.locked(self.pace) as connection:
                connection.execute(one, rows)
            self._count(rollups=len(rows))

    def sources(self) -> None:
        """Delete who sent what was disowned and is gone."""
        used = select(traces.c.id).where(traces.c.source_id == sources.c.id).exists()
        with self.chunks.locked(self.pace) as connection:
            connection.execute(delete(sources).where(sources.c.app == DELETED, ~used))

    def vacuum(self) -> None:
        """Give the pages that became free back to the file system, where the database does not do
        that by itself."""
        if self.chunks.pragma("auto_vacuum") != 2:
            return
        pace = Pace(self.pace.clock, FIRST_PAGES, LEAST_PAGES, MOST_PAGES, self.pace.sleep)
        left, free = None, self.chunks.pragma("freelist_count")
        while free and free != left:
            self._go_on()
            self.chunks.script(f"PRAGMA incremental_vacuum({pace.size})", pace)
            self.pace.held_s.append(pace.held_s[-1])
            self._count()
            left, free = free, self.chunks.pragma("freelist_count")

    def _round(self, old: ColumnElement[bool], after: int) -> Sequence[Row[int, int]]:
        query = select(traces.c.id, traces.c.source_id).where(traces.c.id > after, old)
        with reading(self.engine) as connection:
            return connection.execute(query.order_by(traces.c.id).limit(ROUND_TRACES)).all()

    def _fitting(self, ids: Sequence[int], old: ColumnElement[bool]) -> Iterator[list[int]]:
        """Traces with about as many rows as the pace allows. Of one that has more alone, most are
        deleted before."""
        has_spans, has_observations = self._rows_of(spans, ids), self._rows_of(observations, ids)
        some: list[int] = []
        rows = 0
        for id_ in ids:
            mine = 1 + has_spans.get(id_, 0) + has_observations.get(id_, 0)
            if some and rows + mine > self.pace.size:
                yield some
                some, rows = [], 0
            if mine > self.pace.size:
                self._trim(id_, old, batch=id_ not in has_spans)
            some.append(id_)
            rows += mine
        if some:
            yield some

    def _rows_of(self, table: Table, ids: Sequence[int]) -> dict[int, int]:
        """How many rows traces have in a table, those that have any."""
        query = select(table.c.trace, func.count()).where(table.c.trace.in_(ids))
        with reading(self.engine) as connection:
            return dict(connection.execute(query.group_by(table.c.trace)).all())

    def _delete_traces(self, ids: Sequence[int], old: ColumnElement[bool]) -> None:
        self._go_on()
        with self.chunks.locked(self.pace) as connection:
            still = connection.scalars(select(traces.c.id).where(traces.c.id.in_(ids), old)).all()
            mine = delete(observations).where(observations.c.trace.in_(still))
            rows = connection.execute(mine.returning(*MEASURED)).all()
            roll_up(connection, rows, besides=DELETED)
            gone = connection.execute(delete(spans).where(spans.c.trace.in_(still))).rowcount
            connection.execute(delete(traces).where(traces.c.id.in_(still)))
        self._count(traces=len(still), spans=gone, observations=len(rows))

    def _trim(self, id_: int, old: ColumnElement[bool], *, batch: bool) -> None:
        """Delete the rows of a large trace piece by piece: its spans, or the observations of a
        batch, which are never made again. (Those of a trace would be when a late span comes.)"""
        table, number = (observations, observations.c.number) if batch else (spans, spans.c.span_id)
        while True:
            some = select(number).where(table.c.trace == id_).order_by(number).limit(self.pace.size)
            self._go_on()
            with self.chunks.locked(self.pace) as connection:
                if connection.scalar(select(traces.c.id).where(traces.c.id == id_, old)) is None:
                    return
                one = delete(table).where(table.c.trace == id_, number.in_(some))
                rows: Sequence[Any] = connection.execute(
                    one.returning(*(MEASURED if batch else [number]))
                ).all()
                if batch:
                    roll_up(connection, rows, besides=DELETED)
            self._count(**{table.name: len(rows)})
            if not rows:
                return

    def _go_on(self) -> None:
        if self.cancelled():
            raise _Cancelled

    def _count(self, **more: int) -> None:
        added = {name: getattr(self.done, name) + n for name, n in more.items()}
        longest = max(self.done.longest_lock_s, self.pace.held_s[-1])
        self.done = replace(self.done, longest_lock_s=longest, **added)
        self.progress(self.done)
