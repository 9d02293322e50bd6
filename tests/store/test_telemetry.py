"""The contract of the telemetry store, which every back end keeps; and how SQL is made for each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Table, delete, event

from autorag.errors import StoreError
from autorag.telemetry import Observation, Source, Span, Trace
from collectors.otlp.settle import settle
from store import bulk, tables, telemetry
from store.engine import sqlite_url
from store.telemetry import Settled
from tests.store.backends import KINDS, new_sqlite_telemetry, start_postgres
from tests.store.traces import (
    ME,
    OTHER,
    Stored,
    a_span,
    a_trace,
    kept_open,
    reopened,
    span_id,
    trace_id,
)

IDLE_S = 10.0


@pytest.fixture(params=KINDS)
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Stored]]:
    """Makes empty stores."""
    numbers = itertools.count()
    with ExitStack() as stack:

        def make() -> Stored:
            if request.param == "postgresql":
                url = stack.enter_context(start_postgres().database())
            else:
                url = new_sqlite_telemetry(tmp_path / f"{next(numbers)}.db")
            opened = reopened if request.param == "reopened" else kept_open
            return stack.enter_context(opened(url))

        yield make


@pytest.fixture
def stored(new_store: Callable[[], Stored]) -> Stored:
    return new_store()


def observed(spans: Sequence[Span]) -> Sequence[Observation]:
    """What whole traces settle into."""
    return settle(spans[0].trace_id, spans, cut=False).observations


@st.composite
def deliveries(draw: st.DrawFn, spans: Sequence[Span]) -> list[list[Span]]:
    """The spans in any order and any number of requests, some of them again."""
    again = draw(st.lists(st.sampled_from(spans), max_size=3))
    order = draw(st.permutations([*spans, *again]))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=4)))
    edges = [0, *cuts, len(order)]
    return [order[a:b] for a, b in itertools.pairwise(edges) if b > a]


class TestTelemetryStore:
    """What every telemetry store does."""

    def test_it_is_empty_at_first(self, stored: Stored) -> None:
        assert (stored.due(), stored.observations()) == ([], [])
        assert stored.run(lambda store: store.sources()) == []

    def test_a_span_is_kept_as_it_came(self, stored: Stored) -> None:
        spans = a_trace()
        stored.add(spans)
        (due,) = stored.due()
        assert (due.trace_id, due.cut) == (spans[0].trace_id, False)
        assert sorted(due.spans, key=lambda s: s.span_id) == spans

    def test_values_stand_in_their_columns(self, stored: Stored) -> None:
        spans = a_trace()
        stored.add(spans)
        stored.settle_due()
        (trace,) = stored.rows(tables.traces)
        for row, span in zip(stored.rows(tables.spans), spans, strict=True):
            named = {**span._asdict(), "facts": row["facts"], "source_id": row["source_id"]}
            assert named.pop("trace_id") == trace["trace_id"]
            assert row == {**named, "trace": trace["id"]}
        rows = stored.rows(tables.observations)
        found = stored.observations()
        assert [{n: r[n] for n in Observation._fields} for r in rows] == [
            o._asdict() for o in found
        ]
        assert [r["number"] for r in rows] == list(range(len(found)))

    def test_what_a_settled_trace_is_stands_in_its_row(self, stored: Stored) -> None:
        entry, *_ = spans = a_trace()
        stored.add(spans)
        stored.settle_due()
        (row,) = stored.rows(tables.traces)
        assert (row["start_ns"], row["duration_ns"]) == (entry.start_ns, entry.duration_ns)
        assert (row["phase"], row["query"], row["weight"]) == ("query", "abc", 1.0)
        assert (row["error"], row["complete"]) == (False, True)
        assert row["settled"] == row["version"]

    def test_a_trace_settles_into_its_observations(self, stored: Stored) -> None:
        stored.add(a_trace())
        stored.settle_due()
        values = {(o.stage, o.metric): o.value for o in stored.observations()}
        assert values["retrieve", "duration_ms"] == 98.0
        assert values["retrieve", "documents"] == 3.0
        assert values["generate", "prompt_tokens"] == 400.0
        assert values["generate", "quality.faithful"] == 0.75
        assert values["request", "spans"] == 5.0

    def test_adding_the_same_again_changes_nothing(self, stored: Stored) -> None:
        stored.add(a_trace())
        before = [stored.rows(t) for t in (tables.spans, tables.sources)]
        stored.clock.advance(100)
        stored.add(a_trace())
        stored.add(a_trace()[::-1])
        assert [stored.rows(t) for t in (tables.spans, tables.sources)] == before
        stored.settle_due()
        assert stored.observations() == observed(a_trace())

    def test_the_same_span_twice_in_a_request_is_there_once(self, stored: Stored) -> None:
        stored.add([*a_trace(), *a_trace()])
        assert len(stored.rows(tables.spans)) == len(a_trace())

    @given(data=st.data())
    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_the_way_in_which_spans_come_never_shows(
        self, new_store: Callable[[], Stored], data: st.DataObject
    ) -> None:
        spans = a_trace()
        stored = new_store()
        for some in data.draw(deliveries(spans)):
            stored.add(some)
            if data.draw(st.booleans(), label="settle now"):
                stored.settle_due()
        stored.settle_due()
        expected = settle(spans[0].trace_id, spans, cut=False)
        assert stored.observations() == expected.observations
        (row,) = stored.rows(tables.traces)
        assert (row["settled"], row["last_seen_at"]) == (row["version"], stored.clock.now)
        named = {n: row[n] for n in Trace.__dataclass_fields__ if n != "observations"}
        assert Trace(**named, observations=expected.observations) == expected

    def test_a_late_span_replaces_what_was_observed(self, stored: Stored) -> None:
        *early, late = a_trace()[:4]
        stored.add(early)
        stored.settle_due()
        assert "generate" not in {o.stage for o in stored.observations()}
        stored.add([late])
        stored.settle_due()
        assert stored.observations() == observed(a_trace()[:4])

    def test_fewer_observations_leave_none_of_the_earlier(self, stored: Stored) -> None:
        stored.add(a_trace())
        (due,) = stored.due()
        stored.settle([due])
        nothing = Trace(due.trace_id, 1, None, None, None, False, False, 1.0, ())
        settled = Settled(due.id, due.version, 1, nothing)
        stored.run(lambda store: store.settle([settled])).result(10)
        assert stored.rows(tables.observations) == []

    def test_with_its_entry_a_trace_is_due_at_once(self, stored: Stored) -> None:
        stored.add(a_trace())
        assert [d.trace_id for d in stored.due(IDLE_S)] == [trace_id("a trace")]

    def test_without_its_entry_a_trace_is_due_after_a_while(self, stored: Stored) -> None:
        _, *children = a_trace()
        stored.add(children[:2])
        stored.clock.advance(IDLE_S - 1)
        assert stored.due(IDLE_S) == []
        stored.add(children[2:])
        stored.clock.advance(IDLE_S - 1)
        assert stored.due(IDLE_S) == []
        stored.clock.advance(1)
        (due,) = stored.due(IDLE_S)
        assert len(due.spans) == len(children)

    def test_an_entry_that_comes_later_makes_a_trace_due(self, stored: Stored) -> None:
        entry, *children = a_trace()
        stored.add(children)
        assert stored.due(IDLE_S) == []
        stored.add([entry])
        assert len(stored.due(IDLE_S)) == 1

    def test_an_entry_that_was_seen_is_remembered(self, stored: Stored) -> None:
        entry, *children = a_trace()
        stored.add([entry])
        stored.settle_due()
        stored.add(children)
        assert len(stored.due(IDLE_S)) == 1

    def test_a_settled_trace_is_not_due(self, stored: Stored) -> None:
        stored.add(a_trace())
        stored.settle(stored.due())
        stored.clock.advance(1000)
        assert stored.due() == []

    def test_a_span_that_comes_while_its_trace_settles_is_not_forgotten(
        self, stored: Stored
    ) -> None:
        *early, late = a_trace()
        stored.add(early)
        due = stored.due()
        stored.add([late])
        stored.settle(due)
        (again,) = stored.due()
        assert len(again.spans) == len(a_trace())
        stored.settle([again])
        assert stored.due() == []

    def test_those_that_waited_longest_come_first(self, stored: Stored) -> None:
        for name in "cab":
            stored.add(a_trace(name))
            stored.clock.advance(1)
        stored.add(a_trace("c"))
        found = [d.trace_id for d in stored.due(limit=2)]
        assert found == [trace_id("a"), trace_id("b")]

    def test_of_a_trace_without_end_so_many_spans_are_read(
        self, stored: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telemetry, "MAX_TRACE_SPANS", 5)
        spans = a_trace()
        stored.add([*spans, a_span(spans[0].trace_id, 6, 1, "embed")])
        stored.add(a_trace("another"))
        by_id = {d.trace_id: d for d in stored.due()}
        cut, whole = by_id[spans[0].trace_id], by_id[trace_id("another")]
        assert (cut.cut, len(cut.spans)) == (True, 5)
        assert (whole.cut, len(whole.spans)) == (False, 5)
        stored.settle_due()
        complete = {r["trace_id"]: r["complete"] for r in stored.rows(tables.traces)}
        assert complete == {cut.trace_id: False, whole.trace_id: True}

    def test_which_spans_are_left_out_does_not_hang_on_their_order(
        self, new_store: Callable[[], Stored], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telemetry, "MAX_TRACE_SPANS", 3)
        read = []
        for spans in (a_trace(), a_trace()[::-1]):
            stored = new_store()
            for span in spans:
                stored.add([span])
            (due,) = stored.due()
            read.append(due.spans)
        assert read[0] == read[1]

    def test_only_so_many_spans_are_read_at_once_and_the_others_later(
        self, stored: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telemetry, "MOST_READ_SPANS", 2 * len(a_trace()))
        names = range(7)
        for name in names:
            stored.add(a_trace(name))
        first = stored.due()
        assert len(first) == 2
        assert all(len(d.spans) == len(a_trace()) for d in first)
        stored.settle_due()
        observed = {id_ for id_, _ in stored.run(lambda store: store.observations(ME.app))}
        assert observed == {trace_id(name) for name in names}

    def test_a_request_is_stored_whole_or_not_at_all(self, stored: Stored) -> None:
        stored.add(a_trace("before"))
        before = [stored.rows(t) for t in (tables.spans, tables.traces, tables.sources)]
        bad: Any = a_span(trace_id("bad"), 1, None, "chain", name=None)
        added = stored.run(lambda store: store.add([(OTHER, a_trace()), (ME, [bad])]))
        error = added.exception(10)
        assert isinstance(error, StoreError)
        assert "the chain" not in str(error)
        assert [stored.rows(t) for t in (tables.spans, tables.traces, tables.sources)] == before

    def test_sources_are_told_apart_and_kept_once(self, stored: Stored) -> None:
        entry, *children = a_trace()
        added = [(ME, [entry]), (OTHER, children), (ME, a_trace("b"))]
        stored.run(lambda store: store.add(added)).result(10)
        stored.add(children, OTHER)
        assert sorted(stored.run(lambda store: store.sources()), key=str) == [ME, OTHER]
        by_id = {d.trace_id: d for d in stored.due()}
        mine, theirs = (r["id"] for r in stored.rows(tables.sources))
        assert by_id[entry.trace_id].source_ids == {
            entry.span_id: mine,
            **{c.span_id: theirs for c in children},
        }

    def test_observations_belong_to_the_source_that_they_are_settled_for(
        self, stored: Stored
    ) -> None:
        entry, *children = a_trace()
        stored.add(children, OTHER)
        stored.add([entry], ME)
        stored.settle_due()
        mine = next(r["id"] for r in stored.rows(tables.sources) if r["instance"] == "one")
        assert {r["source_id"] for r in stored.rows(tables.observations)} == {mine}
        (trace,) = stored.rows(tables.traces)
        assert trace["source_id"] == mine

    def test_observations_are_those_of_the_app_oldest_first(self, stored: Stored) -> None:
        hour = 3_600_000_000_000
        late = [s._replace(start_ns=s.start_ns + hour) for s in a_trace("late")]
        stored.add(late)
        stored.add(a_trace("early"))
        stored.add(a_trace("elsewhere"), Source("another app"))
        stored.settle_due()
        found = stored.run(lambda store: store.observations(ME.app))
        assert [id_ for id_, _ in itertools.groupby(i for i, _ in found)] == [
            trace_id("early"),
            trace_id("late"),
        ]
        elsewhere = stored.run(lambda store: store.observations("another app"))
        assert {id_ for id_, _ in elsewhere} == {trace_id("elsewhere")}
        assert stored.run(lambda store: store.observations("nobody")) == []

    def test_unknown_is_none(self, stored: Stored) -> None:
        unknown = Source("_unassigned")
        spans = [a_span(trace_id("u"), 1, 7, "chain", duration_ns=None)]
        stored.add(spans, unknown)
        assert stored.run(lambda store: store.sources()) == [unknown]
        stored.settle_due()
        (row,) = stored.rows(tables.traces)
        assert (row["duration_ns"], row["phase"], row["query"]) == (None, None, None)

    def test_a_trace_that_was_deleted_while_it_settled_leaves_nothing(self, stored: Stored) -> None:
        stored.add(a_trace("gone"))
        due = stored.due()

        def forget(engine: Engine) -> None:
            with engine.begin() as connection:
                for table in (tables.spans, tables.traces):
                    connection.execute(delete(table))

        stored.look(forget)
        stored.add(a_trace("new"))
        stored.settle(due)
        assert stored.rows(tables.observations) == []
        (row,) = stored.rows(tables.traces)
        assert row["settled"] == 0

    def test_numbers_at_their_ends_are_kept(self, stored: Stored) -> None:
        largest = 2**63 - 1
        span = a_span(trace_id("n"), 2**64 - 1, None, "chain", start_ns=largest)
        stored.add([span._replace(duration_ns=largest)])
        (due,) = stored.due()
        assert (due.spans[0].start_ns, due.spans[0].duration_ns) == (largest, largest)
        assert due.spans[0].span_id == span_id(2**64 - 1)


BATCH, ANOTHER = trace_id("a batch"), trace_id("another batch")


def observation(at: int, value: float, **changed: Any) -> Observation:
    made = Observation(at, "query", "retrieve", "duration_ms", value, "ms", 1.0, 1.0)
    return made._replace(**changed)


class TestBatches:
    """What every telemetry store does with observations that come without spans."""

    def add(self, stored: Stored, batch: bytes, *rows: tuple[Source, Observation]) -> bool:
        return stored.run(lambda store: store.add_observations(batch, rows)).result(10)

    def test_a_batch_reads_back(self, stored: Stored) -> None:
        first = observation(100, 1.5, weight=4.0)
        second = observation(99, -2.0, phase=None, stage="request", metric="errors", unit="")
        assert self.add(stored, BATCH, (ME, first), (OTHER, second))
        found = stored.run(lambda store: store.observations(ME.app))
        assert found == [(BATCH, second), (BATCH, first)]
        assert stored.run(lambda store: store.sources()) == [ME, OTHER]

    def test_a_batch_is_there_once(self, stored: Stored) -> None:
        assert self.add(stored, BATCH, (ME, observation(100, 1.5)))
        before = [stored.rows(t) for t in (tables.traces, tables.sources, tables.observations)]
        stored.clock.advance(60)
        assert not self.add(stored, BATCH, (ME, observation(100, 1.5)))
        assert not self.add(stored, BATCH, (Source("another"), observation(7, 7)))
        after = [stored.rows(t) for t in (tables.traces, tables.sources, tables.observations)]
        assert after == before

    def test_batches_do_not_mix(self, stored: Stored) -> None:
        for batch in (BATCH, ANOTHER):
            assert self.add(stored, batch, (ME, observation(1, 1)))
        found = stored.run(lambda store: store.observations(ME.app))
        assert {id_ for id_, _ in found} == {BATCH, ANOTHER}

    def test_an_empty_batch_adds_nothing(self, stored: Stored) -> None:
        assert not self.add(stored, BATCH)
        assert stored.rows(tables.traces) == []

    def test_a_batch_has_settled(self, stored: Stored) -> None:
        self.add(stored, BATCH, (ME, observation(100, 1.5)), (ME, observation(90, 1.5)))
        stored.clock.advance(1000)
        assert stored.due() == []
        (trace,) = stored.rows(tables.traces)
        assert trace["start_ns"] == 90_000_000_000

    def test_it_is_stored_whole_or_not_at_all(self, stored: Stored) -> None:
        bad: Any = observation(1, 1.0, stage=None)
        added = stored.run(
            lambda store: store.add_observations(BATCH, [(ME, observation(1, 1.0)), (ME, bad)])
        )
        assert isinstance(added.exception(10), StoreError)
        assert self.add(stored, BATCH, (ME, observation(1, 1.0)))
        assert len(stored.observations()) == 1


BULK: list[tuple[Table, tuple[str, ...], bulk.Conflict]] = [
    (tables.spans, telemetry._SPAN, bulk.ignore),
    (tables.traces, telemetry._TOUCHED, telemetry._touch),
    (tables.observations, telemetry._OBSERVATION, bulk.refuse),
]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize(("table", "columns", "conflict"), BULK, ids=lambda x: str(x)[:12])
def test_rows_have_the_order_of_the_columns_that_the_statement_names(
    dialect: str, table: Table, columns: tuple[str, ...], conflict: bulk.Conflict
) -> None:
    sql = bulk._compiled(dialect, table, columns, conflict)
    match = re.fullmatch(r"INSERT INTO (\w+) \(([^)]+)\) VALUES \((.+?)\)( ON CONFLICT .+)?", sql)
    assert match is not None, sql
    assert match[1] == table.name
    assert tuple(match[2].split(", ")) == columns
    sign = "?" if dialect == "sqlite" else "%s"
    assert [v.partition("::")[0] for v in match[3].split(", ")] == [sign] * len(columns)


def test_every_column_that_must_be_known_is_inserted() -> None:
    for table, columns, _ in BULK:
        must = {c.name for c in table.columns if not c.nullable}
        if table is tables.traces:
            must.remove("id")  # the database numbers them
        assert must <= set(columns)


def test_what_happens_on_conflict_is_said_in_each_dialect() -> None:
    ignored = bulk._compiled("postgresql", tables.spans, telemetry._SPAN, bulk.ignore)
    assert ignored.endswith("ON CONFLICT DO NOTHING")
    touched = {
        d: bulk._compiled(d, tables.traces, telemetry._TOUCHED, telemetry._touch)
        for d in ("sqlite", "postgresql")
    }
    for sql in touched.values():
        assert "ON CONFLICT (trace_id) DO UPDATE SET version = (traces.version + exc" in sql
    assert "max(traces.last_seen_at, excluded.last_seen_at)" in touched["sqlite"]
    assert "greatest(traces.last_seen_at, excluded.last_seen_at)" in touched["postgresql"]
    assert "(traces.entered OR excluded.entered)" in touched["postgresql"]


def test_looking_for_what_is_due_reads_no_settled_trace(tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []
    with kept_open(sqlite_url(tmp_path / "a.db")) as stored:
        engine: Engine = stored.look(lambda engine: engine)

        def before(*arguments: Any) -> None:
            asked.append((arguments[2], arguments[3]))

        event.listen(engine, "before_cursor_execute", before)
        stored.due()
        event.remove(engine, "before_cursor_execute", before)
        (due,) = ((sql, values) for sql, values in asked if "FROM traces" in sql)
        with engine.connect() as connection:
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {due[0]}", due[1]).all())
    assert "ix_traces_unsettled" in plan
    assert "TEMP B-TREE" not in plan
