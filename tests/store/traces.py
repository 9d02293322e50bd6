"""Spans to be stored, and a telemetry store to put them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeVar

from sqlalchemy import Engine, Table, select

from autorag.telemetry import Observation, Source, Span
from collectors.otlp.settle import settle
from store.engine import open_telemetry, reading
from store.telemetry import DueTrace, Settled, TelemetryStore
from store.writer import BatchWriter
from tests.fakes import ManualClock

T = TypeVar("T")

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000
ME = Source("_unassigned", "shop", "3", "2026-11-24", "one", "host-a", "abcd")
OTHER = Source("_unassigned", "shop", "3", "2026-11-24", "two", "host-b")


def trace_id(name: object) -> bytes:
    return blake2b(repr(name).encode(), digest_size=16).digest()


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def a_span(trace: bytes, number: int, parent: int | None, kind: str, **changed: Any) -> Span:
    """Span ``number`` (from 1) of a trace, named after its kind; without a parent it is the
    entry."""
    span = Span(
        trace,
        span_id(number),
        None if parent is None else span_id(parent),
        parent is None,
        f"the {kind}",
        kind,
        1.0,
        START_NS + number * MS,
        (100 - number) * MS,
        False,
        {},
    )
    return span._replace(**changed)


def a_trace(name: object = "a trace") -> list[Span]:
    """A request that retrieves, embedding its question, and generates; parents first."""
    trace = trace_id(name)
    return [
        a_span(trace, 1, None, "chain", facts={"query": "abc", "query_chars": 12}),
        a_span(trace, 2, 1, "retrieve", facts={"documents": 3, "ids": ["a", "ä", None]}),
        a_span(trace, 3, 2, "embed", facts={"texts": 1}, confidence=0.6),
        a_span(trace, 4, 1, "generate", facts={"prompt_tokens": 400}, error=True),
        a_span(trace, 5, 4, "evaluation", facts={"evaluations": [["faithful", 0.75, None]]}),
    ]


@dataclass
class Stored:
    """A telemetry store, the time it goes by, and a look at its rows."""

    run: Callable[[Callable[[TelemetryStore], T]], T]
    """Lends the store to a function; what it wrote is on disk afterwards."""

    look: Callable[[Callable[[Engine], T]], T]
    clock: ManualClock = field(default_factory=ManualClock)

    def add(self, spans: Sequence[Span], source: Source = ME) -> None:
        self.run(lambda store: store.add([(source, spans)])).result(10)

    def due(self, idle_s: float = 10.0, limit: int = 200) -> list[DueTrace]:
        return self.run(lambda store: store.due(idle_s, limit))

    def settle(self, due: Sequence[DueTrace]) -> None:
        """Record what the settling pass makes of these."""
        settled = [_settled(d) for d in due]
        self.run(lambda store: store.settle(settled)).result(10)

    def settle_due(self) -> None:
        """Settle all, those without an entry too."""
        while due := self.due(idle_s=0.0):
            self.settle(due)

    def observations(self) -> list[Observation]:
        """Observations of :data:`ME`'s app."""
        return [o for _, o in self.run(lambda store: store.observations(ME.app))]

    def rows(self, table: Table) -> list[Mapping[str, Any]]:
        """Every row of a table, by name of its columns, in the order of its key."""

        def read(engine: Engine) -> list[Mapping[str, Any]]:
            ordered = select(table).order_by(*table.primary_key)
            with reading(engine) as connection:
                return [dict(row) for row in connection.execute(ordered).mappings()]

        return self.look(read)


def _settled(due: DueTrace) -> Settled:
    entry = max(due.spans, key=lambda s: (s.entry, -s.start_ns))
    return Settled(
        due.id,
        due.version,
        due.source_ids[entry.span_id],
        settle(due.trace_id, due.spans, cut=due.cut),
    )


@contextmanager
def kept_open(url: str) -> Iterator[Stored]:
    """A store that stays open."""
    engine, clock = open_telemetry(url), ManualClock()
    with BatchWriter(engine) as writer:
        store = TelemetryStore(engine, writer, clock)
        yield Stored(lambda use: use(store), lambda use: use(engine), clock)
    engine.dispose()


@contextmanager
def reopened(url: str) -> Iterator[Stored]:
    """A store that is opened anew whenever it is used."""
    clock = ManualClock()

    def look(use: Callable[[Engine], T]) -> T:
        engine = open_telemetry(url)
        try:
            return use(engine)
        finally:
            engine.dispose()

    def run(use: Callable[[TelemetryStore], T]) -> T:
        def written(engine: Engine) -> T:
            with BatchWriter(engine) as writer:
                return use(TelemetryStore(engine, writer, clock))

        return look(written)

    yield Stored(run, look, clock)
