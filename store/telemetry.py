"""What apps told: spans, the traces that they belong to, and the observations they settle into.

Contract: adding the same span again changes nothing. A trace is *due* while spans were added since
it settled last, once an entry span was seen or nothing more has come for a while; settling it again
replaces its observations, so their order of arrival never shows. Observations that were measured
without spans come in batches, each of them once. Writing goes through the batching writer: what its
future returned from is on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, astuple, dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, bindparam, delete, func, insert, select
from sqlalchemy import update as update_rows

from autorag.hashing import address
from autorag.ports import Clock
from autorag.telemetry import Observation, Source, Span, Trace
from store import bulk, retention
from store.engine import reading, store_errors
from store.tables import observations, sources, spans, traces
from store.writer import BatchWriter

MAX_TRACE_SPANS = 10_000
"""Spans of one trace that are read; what a runaway loop sent beyond is left out."""

NS = 1_000_000_000

READ_ROWS = 5_000
LOOKED_UP = 500

MOST_READ_SPANS = 50_000
"""Spans in memory at once, but for the trace that they end with; other traces wait."""

Batch = Sequence[tuple[Source, Sequence[Span]]]
"""Spans by who sent them."""


@dataclass(frozen=True, slots=True)
class DueTrace:
    """A trace to settle. ``cut``: it has more spans than are read."""

    id: int
    trace_id: bytes
    version: int
    spans: Sequence[Span]
    source_ids: Mapping[bytes, int]
    cut: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What to record of a trace, as of the version that it was read at."""

    id: int
    version: int
    source_id: int
    trace: Trace


@dataclass(frozen=True, slots=True)
class Summary:
    """What has arrived: traces ever, when the last spans came, and from which services."""

    traces: int
    last_seen_at: int | None
    services: Sequence[str]


def summary(engine: Engine) -> Summary:
    """A look at what has arrived, without reading through it."""
    newest = select(traces.c.id, traces.c.last_seen_at).order_by(traces.c.id.desc()).limit(1)
    named = select(sources.c.service).where(sources.c.service.is_not(None)).distinct()
    with store_errors("telemetry could not be read"), reading(engine) as connection:
        last = connection.execute(newest).first()
        services = connection.scalars(named.order_by(sources.c.service)).all()
    return Summary(last.id if last else 0, last.last_seen_at if last else None, services)


class TelemetryStore:
    """Spans in, observations out. Safe for many threads."""

    def __init__(self, engine: Engine, writer: BatchWriter, clock: Clock) -> None:
        self._engine = engine
        self._writer = writer
        self._clock = clock

    def disown(self, app: str) -> None:
        """Make an app's telemetry nobody's; see :func:`store.retention.disown`."""
        retention.disown(self._engine, app, self._clock)

    @property
    def waiting(self) -> int:
        """Writes that wait, about."""
        return self._writer.waiting

    def add(self, batch: Batch) -> Future[None]:
        """Add spans, all of them or none.

        Raises:
            BusyError: the database cannot keep up.
        """
        return self._writer.submit(lambda connection: self._add(connection, batch))

    def due(self, idle_s: float, limit: int) -> list[DueTrace]:
        """Traces to settle, those that waited longest first.

        Args:
            idle_s: seconds without news after which a trace without an entry span settles.
        """
        query = (
            select(traces.c.id, traces.c.trace_id, traces.c.version)
            .where(traces.c.settled < traces.c.version)
            .where(traces.c.entered | (traces.c.last_seen_at <= int(self._clock.time() - idle_s)))
            .order_by(traces.c.last_seen_at)
            .limit(limit)
        )
        with store_errors("telemetry could not be read"), reading(self._engine) as connection:
            due = connection.execute(query).all()
            found = _spans_of(connection, [row.id for row in due]) if due else {}
        return [_due(row, found[row.id]) for row in due if row.id in found]

    def settle(self, settled: Sequence[Settled]) -> Future[None]:
        """Record settled traces in place of what was recorded of them before."""
        return self._writer.submit(lambda connection: _settle(connection, settled))

    def add_observations(
        self, batch: bytes, rows: Sequence[tuple[Source, Observation]]
    ) -> Future[bool]:
        """Add a batch of observations that no spans tell of, all of them or none.

        Args:
            batch: bytes that it is known by; not 16 of them, so that no trace has its id.

        Returns:
            whether it was added: False when this batch was there already.

        Raises:
            BusyError: the database cannot keep up.
        """
        return self._writer.submit(lambda connection: self._add_batch(connection, batch, rows))

    def check(self) -> Future[None]:
        """Done when spans can be written and read."""

        def look(connection: Connection) -> None:
            connection.execute(select(spans.c.span_id).limit(1)).first()

        return self._writer.submit(look)

    def observations(self, app: str) -> list[tuple[bytes, Observation]]:
        """Observations of an app with their traces, oldest first."""
        columns = (observations.c[name] for name in Observation._fields)
        query = (
            select(traces.c.trace_id, *columns)
            .join(traces, traces.c.id == observations.c.trace)
            .join(sources, sources.c.id == observations.c.source_id)
            .where(sources.c.app == app)
            .order_by(observations.c.at, observations.c.trace, observations.c.number)
        )
        with store_errors("telemetry could not be read"), reading(self._engine) as connection:
            return [(id_, Observation(*row)) for id_, *row in connection.execute(query)]

    def sources(self) -> list[Source]:
        """Everyone who ever sent anything."""
        names = list(Source.__dataclass_fields__)
        with store_errors("telemetry could not be read"), reading(self._engine) as connection:
            found = connection.execute(select(*(sources.c[n] for n in names)))
            return [Source(*row) for row in found]

    def _add(self, connection: Connection, batch: Batch) -> None:
        now = int(self._clock.time())
        seen: dict[bytes, tuple[int, bool]] = {}
        numbered = [(_source_id(connection, source, now), some) for source, some in batch]
        for source_id, some in numbered:
            for span in some:
                first, entered = seen.get(span.trace_id, (source_id, False))
                seen[span.trace_id] = first, entered or span.entry
        touched = [(id_, source, 1, entered, now, 0) for id_, (source, entered) in seen.items()]
        bulk.insert_rows(connection, traces, touched, columns=_TOUCHED, conflict=_touch)
        ids = _trace_ids(connection, list(seen))
        rows = [_span_row(ids, span, source) for source, some in numbered for span in some]
        bulk.insert_rows(connection, spans, rows, columns=_SPAN, conflict=bulk.ignore)

    def _add_batch(
        self, connection: Connection, batch: bytes, rows: Sequence[tuple[Source, Observation]]
    ) -> bool:
        """The batch stands as a trace without spans that has settled."""
        if not rows or _trace_ids(connection, [batch]):
            return False
        now = int(self._clock.time())
        numbers = {s: _source_id(connection, s, now) for s in dict.fromkeys(s for s, _ in rows)}
        trace = {
            "trace_id": batch,
            "source_id": numbers[rows[0][0]],
            "version": 1,
            "settled": 1,
            "entered": True,
            "last_seen_at": now,
            "start_ns": min(o.at for _, o in rows) * NS,
        }
        connection.execute(insert(traces), trace)
        (id_,) = _trace_ids(connection, [batch]).values()
        made = [(id_, number, numbers[s], *o) for number, (s, o) in enumerate(rows)]
        bulk.insert_rows(connection, observations, made, columns=_OBSERVATION, conflict=bulk.refuse)
        return True


_SPAN = ("trace", *Span._fields[1:], "source_id")
_FACTS = Span._fields.index("facts")
_TOUCHED = ("trace_id", "source_id", "version", "entered", "last_seen_at", "settled")


def _source_id(connection: Connection, source: Source, now: int) -> int:
    """The number of a source, given to it when it is new."""
    identity = address(astuple(source))
    number = select(sources.c.id).where(sources.c.identity == identity)
    known: int | None = connection.scalar(number)
    if known is None:
        row = {**asdict(source), "identity": identity, "first_seen_at": now}
        connection.execute(insert(sources), row)
        known = connection.scalars(number).one()
    return known


def _trace_ids(connection: Connection, trace_ids: Sequence[bytes]) -> dict[bytes, int]:
    """The numbers of traces that are there."""
    found: dict[bytes, int] = {}
    for i in range(0, len(trace_ids), LOOKED_UP):
        some = traces.c.trace_id.in_(trace_ids[i : i + LOOKED_UP])
        rows = connection.execute(select(traces.c.trace_id, traces.c.id).where(some))
        found.update((trace_id, id_) for trace_id, id_ in rows)
    return found


def _span_row(ids: Mapping[bytes, int], span: Span, source_id: int) -> bulk.Row:
    facts = msgspec.json.encode(span.facts) if span.facts else None
    return (ids[span.trace_id], *span[1:_FACTS], facts, source_id)


def _touch(insertion: Any, dialect: str) -> Any:
    """Tell traces that are there of new spans."""
    new = insertion.excluded
    latest = func.max if dialect == "sqlite" else func.greatest
    return insertion.on_conflict_do_update(
        index_elements=[traces.c.trace_id],
        set_={
            "version": traces.c.version + new.version,
            "entered": traces.c.entered | new.entered,
            "last_seen_at": latest(traces.c.last_seen_at, new.last_seen_at),
        },
    )


def _spans_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[Row[Any]]]:
    """Rows by trace, one more than :data:`MAX_TRACE_SPANS` at most; of the first traces alone when
    those have :data:`MOST_READ_SPANS`."""
    columns = (spans.c[name] for name in _SPAN)
    query = select(*columns).where(spans.c.trace.in_(ids))
    ordered = query.order_by(spans.c.trace, spans.c.span_id)
    kept: dict[int, list[Row[Any]]] = {}
    read = 0
    with connection.execution_options(yield_per=READ_ROWS).execute(ordered) as result:
        rows = chain.from_iterable(result.partitions())
        for trace, group in groupby(rows, key=itemgetter(0)):
            kept[trace] = [row for i, row in enumerate(group) if i <= MAX_TRACE_SPANS]
            read += len(kept[trace])
            if read >= MOST_READ_SPANS:
                break
    return kept


def _due(trace: Row[Any, Any, Any], rows: Sequence[Row[Any]]) -> DueTrace:
    id_, trace_id, version = tuple(trace)
    cut = len(rows) > MAX_TRACE_SPANS
    read = [(_span(trace_id, row), row[-1]) for row in rows[:MAX_TRACE_SPANS]]
    whose = {span.span_id: source for span, source in read}
    return DueTrace(id_, trace_id, version, [span for span, _ in read], whose, cut)


def _span(trace_id: bytes, row: Row[Any]) -> Span:
    _, *kept, facts, _ = tuple(row)
    return Span._make((trace_id, *kept, msgspec.json.decode(facts) if facts else {}))


_OBSERVATION = ("trace", "number", "source_id", *Observation._fields)
_SETTLED = ("start_ns", "duration_ns", "phase", "query", "error", "complete", "weight")


def _settle(connection: Connection, settled: Sequence[Settled]) -> None:
    """Traces that were deleted meanwhile are left out; their numbers may be given again."""
    known = _trace_ids(connection, [s.trace.trace_id for s in settled])
    settled = [s for s in settled if known.get(s.trace.trace_id) == s.id]
    if not settled:
        return
    ids = [s.id for s in settled]
    connection.execute(delete(observations).where(observations.c.trace.in_(ids)))
    rows = [row for s in settled for row in _observation_rows(s)]
    bulk.insert_rows(connection, observations, rows, columns=_OBSERVATION, conflict=bulk.refuse)
    columns = (*_SETTLED, "source_id", "settled")
    statement = update_rows(traces).where(traces.c.id == bindparam("of"))
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    connection.execute(statement.values(values), [_settled_row(s) for s in settled])


def _settled_row(settled: Settled) -> dict[str, Any]:
    trace = settled.trace
    row = {f"new_{name}": getattr(trace, name) for name in _SETTLED}
    ends = {"new_source_id": settled.source_id, "new_settled": settled.version}
    return {"of": settled.id, **row, **ends}


def _observation_rows(settled: Settled) -> Iterator[bulk.Row]:
    for number, observation in enumerate(settled.trace.observations):
        yield (settled.id, number, settled.source_id, *observation)
