"""Keeping telemetry small: what is old becomes hourly histograms, and those go in their turn.

Each chunk deletes some traces with their spans and observations, and adds the observations to
histograms, in one transaction: a prune that is killed loses nothing and counts nothing twice. How
old a trace is goes by when its last spans came, on our clock; which hour an observation belongs to,
by its own time. A trace waits until it has settled, as its spans are in no histogram; one that
still has not :data:`NEVER_SETTLES_DAYS` later never will.

An app is forgotten in two steps: :func:`disown` makes its telemetry nobody's, and the next prune
deletes that, whatever its age and without histograms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Engine,
    Row,
    Table,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    union,
    update,
)

from autorag.hashing import address
from autorag.ports import Clock
from store.deleting import DAY_S, Deleting, Progress, Pruned, Stopped, row_pace
from store.engine import reading, store_errors
from store.pace import Chunks, Pace
from store.rollups import MEASURED, roll_up
from store.tables import observations, rollups, sources, spans, traces

DELETED = "_deleted"
"""The app of telemetry that was disowned."""

NEVER_SETTLES_DAYS = 7

CHUNK_TRACES = CHUNK_SOURCES = 500
ROUND_TRACES = 100_000
"""Traces whose numbers are in memory at once."""

MEANWHILE_S = 3_600
"""Longer ago than what a chunk may not know of yet."""


def prune(
    engine: Engine,
    clock: Clock,
    *,
    days: float,
    rollup_days: float,
    progress: Progress = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    pace: Pace | None = None,
) -> Pruned:
    """Turn telemetry older than ``days`` into histograms, and delete histograms older than
    ``rollup_days``, everything that was disowned, and senders of whom nothing is left.

    Args:
        progress: told after every chunk.
        cancelled: asked before every chunk; once it says so, nothing more is done.

    Raises:
        StoreError: the database failed; what was done until then stays done.
    """
    now = int(clock.time())
    before = now - int(days * DAY_S)
    with store_errors("telemetry could not be pruned"), Chunks.on(engine) as chunks:
        work = _Pruning(engine, chunks, pace or row_pace(clock), progress, cancelled)
        try:
            work.traces(before)
            work.rows(rollups, rollups.c.hour < now - int(rollup_days * DAY_S))
            work.sources(before, now)
            work.vacuum()
        except Stopped:
            return work.done
        return replace(work.done, complete=True)


def disown(engine: Engine, app: str, clock: Clock, *, pace: Pace | None = None) -> None:
    """Make the telemetry of an app nobody's: it is not found under its name any more, nor mixed
    with that of a new app of the same name. Doing it again changes nothing.

    Raises:
        StoreError: the database failed; it can be done again.
    """
    with store_errors("telemetry could not be disowned"), Chunks.on(engine) as chunks:
        work = _Pruning(engine, chunks, pace or row_pace(clock))
        work.disown(app)
        work.rows(rollups, rollups.c.app == app)


def apps_told_of(engine: Engine) -> set[str]:
    """Every app that there is telemetry of."""
    with store_errors("telemetry could not be read"), reading(engine) as connection:
        names = union(select(sources.c.app), select(rollups.c.app))
        return set(connection.scalars(names))


class _Pruning(Deleting):
    """A prune of telemetry at work."""

    def traces(self, before: int) -> None:
        """Delete what is older and has settled, or is disowned."""
        c = traces.c
        nobodys = select(sources.c.id).where(sources.c.app == DELETED)
        settles = before - NEVER_SETTLES_DAYS * DAY_S
        old = or_(
            and_(c.last_seen_at < before, c.settled >= c.version),
            c.last_seen_at < settles,
            c.source_id.in_(nobodys),
        )
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

    def disown(self, app: str) -> None:
        """Make who sent something for an app nobody's."""
        c = sources.c
        renamed = update(sources).where(c.id == bindparam("of"))
        renamed = renamed.values(app=DELETED, identity=bindparam("new_identity"))
        mine = select(c.id).where(c.app == app)
        while True:
            with reading(self.engine) as connection:
                ids = connection.scalars(mine.limit(self.pace.size)).all()
            if not ids:
                return
            with self.chunks.locked(self.pace) as connection:
                connection.execute(
                    renamed, [{"of": id_, "new_identity": address([DELETED, id_])} for id_ in ids]
                )

    def sources(self, before: int, now: int) -> None:
        """Delete who sent what is gone, and was first heard of before this or disowned."""
        c = sources.c
        old = or_(c.app == DELETED, c.first_seen_at < before)
        page = select(c.id).where(old, _unused(0)).limit(CHUNK_SOURCES)
        while True:
            with reading(self.engine) as connection:
                ids = connection.scalars(page).all()
            if not ids:
                return
            self.go_on()
            with self.chunks.locked(self.pace) as connection:
                mine = delete(sources).where(c.id.in_(ids), _unused(now - MEANWHILE_S))
                gone = connection.execute(mine).rowcount
            self.count(telemetry_sources=gone)

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
        self.go_on()
        with self.chunks.locked(self.pace) as connection:
            still = connection.scalars(select(traces.c.id).where(traces.c.id.in_(ids), old)).all()
            mine = delete(observations).where(observations.c.trace.in_(still))
            rows = connection.execute(mine.returning(*MEASURED)).all()
            roll_up(connection, rows, besides=DELETED)
            gone = connection.execute(delete(spans).where(spans.c.trace.in_(still))).rowcount
            connection.execute(delete(traces).where(traces.c.id.in_(still)))
        self.count(traces=len(still), spans=gone, observations=len(rows))

    def _trim(self, id_: int, old: ColumnElement[bool], *, batch: bool) -> None:
        """Delete the rows of a large trace piece by piece: its spans, or the observations of a
        batch, which are never made again. (Those of a trace would be when a late span comes.)"""
        table, number = (observations, observations.c.number) if batch else (spans, spans.c.span_id)
        while True:
            some = select(number).where(table.c.trace == id_).order_by(number).limit(self.pace.size)
            self.go_on()
            with self.chunks.locked(self.pace) as connection:
                if connection.scalar(select(traces.c.id).where(traces.c.id == id_, old)) is None:
                    return
                one = delete(table).where(table.c.trace == id_, number.in_(some))
                rows: Sequence[Any] = connection.execute(
                    one.returning(*(MEASURED if batch else [number]))
                ).all()
                if batch:
                    roll_up(connection, rows, besides=DELETED)
            self.count(**{table.name: len(rows)})
            if not rows:
                return


def _unused(since: int) -> ColumnElement[bool]:
    """Of a source: nothing is left of what it sent. Among traces that wait to be settled, which may
    have spans of several sources, only those that had news since then are looked at."""
    sent = (
        select(t.c.source_id).where(t.c.source_id == sources.c.id).exists()
        for t in (traces, observations)
    )
    waits = (traces.c.settled < traces.c.version, traces.c.last_seen_at >= since)
    waiting = select(spans.c.source_id).join(traces, traces.c.id == spans.c.trace).where(*waits)
    return and_(*(~found for found in sent), sources.c.id.not_in(waiting))
