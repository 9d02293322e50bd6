"""What is old becomes histograms, once; what is disowned goes; a kill loses and doubles nothing."""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Table, delete, event, func, insert, select

from autorag.errors import StoreError
from autorag.histogram import Histogram
from autorag.telemetry import Observation, Source
from store import tables
from store.deleting import DAY_S, Pruned
from store.engine import open_telemetry, reading, sqlite_url
from store.pace import TARGET_S, Pace
from store.retention import DELETED, NEVER_SETTLES_DAYS, disown, prune
from store.rollups import HOUR_S, RollupKey, read_rollups
from tests.fakes import ManualClock
from tests.store.backends import Backend
from tests.store.traces import ME, OTHER, Stored, a_trace, kept_open, reopened, trace_id

START = 1_800_000_000 // HOUR_S * HOUR_S
DAYS, ROLLUP_DAYS = 30, 400
SHOP, SHOP_2 = Source("shop", revision="1"), Source("shop", revision="2", instance="two")
BOOKS = Source("books")
SMALL = 7
"""Rows of a chunk."""


@pytest.fixture
def stored(backend: Backend) -> Iterator[Stored]:
    with (reopened if backend.kind == "reopened" else kept_open)(backend.url) as stored:
        stored.clock.now = START
        yield stored


def measured(value: float, at: int = START, **changed: Any) -> Observation:
    made = Observation(at, "query", "retrieve", "duration_ms", value, "ms")
    return made._replace(**changed)


def add(stored: Stored, name: object, *rows: tuple[Source, Observation]) -> None:
    """A batch of observations."""
    added = stored.run(lambda store: store.add_observations(trace_id(name), rows)).result(10)
    assert added


def empty(engine: Engine, *emptied: Table) -> None:
    """Delete all rows of tables."""
    with engine.begin() as connection:
        for table in emptied:
            connection.execute(delete(table))


def small_pace(stored: Stored) -> Pace:
    """So small that little needs many chunks."""
    return Pace(stored.clock, SMALL, 1, SMALL, sleep=lambda _: None)


def pruned(stored: Stored, **given: Any) -> Pruned:
    given = {"days": DAYS, "rollup_days": ROLLUP_DAYS, "pace": small_pace(stored), **given}
    return stored.look(lambda engine: prune(engine, stored.clock, **given))


def rolled_up(stored: Stored, app: str = "shop") -> dict[RollupKey, Histogram]:
    return stored.look(lambda engine: read_rollups(engine, app))


def totals(engine: Engine, app: str) -> Counter[tuple[str, str, str, str]]:
    """Revision, phase, stage and metric → how many values there are, raw and in histograms."""
    o, s = tables.observations.c, tables.sources.c
    query = (
        select(s.revision, o.phase, o.stage, o.metric, func.count())
        .join(tables.sources, s.id == o.source_id)
        .where(s.app == app)
        .group_by(s.revision, o.phase, o.stage, o.metric)
    )
    found: Counter[tuple[str, str, str, str]] = Counter()
    with reading(engine) as connection:
        for revision, phase, stage, metric, count in connection.execute(query):
            found[revision or "", phase or "", stage, metric] += count
    for key, histogram in read_rollups(engine, app).items():
        found[key.revision, key.phase, key.stage, key.metric] += histogram.count
    return found


def weighted_sum(engine: Engine, app: str) -> float:
    """Of all values, raw and in histograms."""
    o, s = tables.observations.c, tables.sources.c
    query = select(o.value, o.weight).join(tables.sources, s.id == o.source_id).where(s.app == app)
    with reading(engine) as connection:
        raw = [value * weight for value, weight in connection.execute(query)]
    return math.fsum([*raw, *(h.total for h in read_rollups(engine, app).values())])


class TestPrune:
    """What a prune does on every kind of database."""

    def test_without_telemetry_there_is_nothing_to_do(self, stored: Stored) -> None:
        done = pruned(stored)
        assert (done.traces, done.rollups, done.expected, done.complete) == (0, 0, 0, True)

    def test_what_is_younger_stays(self, stored: Stored) -> None:
        stored.add(a_trace())
        stored.settle_due()
        add(stored, "batch", (SHOP, measured(1.0)))
        stored.clock.advance(DAYS * DAY_S)
        held = [tables.traces, tables.spans, tables.observations, tables.sources]
        before = [stored.rows(t) for t in held]
        assert pruned(stored).traces == 0
        assert [stored.rows(t) for t in held] == before
        assert rolled_up(stored) == {}

    def test_what_is_older_becomes_histograms(self, stored: Stored) -> None:
        stored.add(a_trace())
        stored.settle_due()
        observed = stored.observations()
        stored.clock.advance(DAYS * DAY_S + 1)
        done = pruned(stored)
        assert (done.traces, done.spans) == (1, len(a_trace()))
        assert (done.observations, done.expected, done.complete) == (len(observed), 1, True)
        for table in (tables.traces, tables.spans, tables.observations):
            assert stored.rows(table) == []
        kept = {(k.stage, k.metric): h for k, h in rolled_up(stored, ME.app).items()}
        assert {name: (h.count, h.total) for name, h in kept.items()} == {
            (o.stage, o.metric): (1, o.value) for o in observed
        }

    def test_histograms_are_of_app_revision_phase_stage_metric_and_hour(
        self, stored: Stored
    ) -> None:
        rows = [
            (SHOP, measured(1.0)),
            (SHOP, measured(2.0, START + HOUR_S - 1)),
            (SHOP, measured(3.0, START + HOUR_S)),
            (SHOP_2, measured(4.0)),
            (BOOKS, measured(5.0)),
            (SHOP, measured(6.0, phase="build")),
            (SHOP, measured(7.0, phase=None)),
            (SHOP, measured(8.0, stage="rerank")),
            (SHOP, measured(9.0, metric="self_ms")),
        ]
        for number, row in enumerate(rows):
            add(stored, number, row)
        stored.clock.advance(DAYS * DAY_S + 1)
        pruned(stored)
        base = RollupKey("shop", START, "1", "query", "retrieve", "duration_ms")
        assert rolled_up(stored) == {
            base: Histogram.of(np.array([1.0, 2.0])),
            base._replace(hour=START + HOUR_S): Histogram.of(np.array([3.0])),
            base._replace(revision="2"): Histogram.of(np.array([4.0])),
            base._replace(phase="build"): Histogram.of(np.array([6.0])),
            base._replace(phase=""): Histogram.of(np.array([7.0])),
            base._replace(stage="rerank"): Histogram.of(np.array([8.0])),
            base._replace(metric="self_ms"): Histogram.of(np.array([9.0])),
        }
        books = base._replace(app="books", revision="")
        assert rolled_up(stored, "books") == {books: Histogram.of(np.array([5.0]))}

    def test_later_prunes_add_to_histograms(self, stored: Stored) -> None:
        values = [1.0, 10.0, 100.0]
        for number, value in enumerate(values):
            add(stored, number, (SHOP, measured(value, weight=2.0)))
            stored.clock.advance(DAY_S)
        for _ in values:
            pruned(stored, days=1)
            stored.clock.advance(DAY_S)
        (histogram,) = rolled_up(stored).values()
        assert histogram == Histogram.of(np.array(values), np.full(3, 2.0))

    def test_values_without_weight_or_end_are_in_no_histogram(self, stored: Stored) -> None:
        for number, bad in enumerate(
            [measured(math.inf), measured(1.0, weight=0.0), measured(2.0, weight=-1.0)]
        ):
            add(stored, number, (SHOP, bad))
        add(stored, "good", (SHOP, measured(3.0)))
        stored.clock.advance(DAYS * DAY_S + 1)
        assert pruned(stored).observations == 4
        assert [h.count for h in rolled_up(stored).values()] == [1]

    def test_a_batch_larger_than_a_chunk_goes_piece_by_piece(self, stored: Stored) -> None:
        values = [float(n) for n in range(5 * SMALL)]
        add(stored, "large", *((SHOP, measured(v)) for v in values))
        stored.clock.advance(DAYS * DAY_S + 1)
        steps: list[Pruned] = []
        done = pruned(stored, progress=steps.append)
        assert (done.traces, done.observations) == (1, len(values))
        seen = [s.observations for s in steps]
        assert max(b - a for a, b in zip([0, *seen], seen, strict=False)) <= SMALL
        (histogram,) = rolled_up(stored).values()
        assert histogram == Histogram.of(np.array(values))

    def test_a_trace_larger_than_a_chunk_goes_piece_by_piece(self, stored: Stored) -> None:
        (entry, *_) = a_trace()
        more = [entry._replace(span_id=n.to_bytes(8, "big"), entry=False) for n in range(2, 40)]
        stored.add([entry, *more])
        stored.settle_due()
        observed = stored.observations()
        stored.clock.advance(DAYS * DAY_S + 1)
        steps: list[Pruned] = []
        done = pruned(stored, progress=steps.append)
        assert (done.traces, done.spans, done.observations) == (1, 39, len(observed))
        seen = [s.spans for s in steps]
        assert max(b - a for a, b in zip([0, *seen], seen, strict=False)) <= SMALL
        assert sum(h.count for h in rolled_up(stored, ME.app).values()) == len(observed)

    def test_old_histograms_are_deleted(self, stored: Stored) -> None:
        hours = 3 * SMALL
        for number in range(hours):
            add(stored, number, (SHOP, measured(1.0, START + number * HOUR_S)))
        stored.clock.advance(DAYS * DAY_S + 1)
        pruned(stored)
        assert len(rolled_up(stored)) == hours
        stored.clock.now = START + ROLLUP_DAYS * DAY_S + 2 * HOUR_S
        assert pruned(stored).rollups == 2
        assert min(k.hour for k in rolled_up(stored)) == START + 2 * HOUR_S
        stored.clock.advance(ROLLUP_DAYS * DAY_S)
        assert pruned(stored).rollups == hours - 2
        assert rolled_up(stored) == {}

    def test_it_stops_when_it_is_told_to_and_goes_on_later(self, stored: Stored) -> None:
        for number in range(5 * SMALL):
            add(stored, number, (SHOP, measured(1.0)))
        stored.clock.advance(DAYS * DAY_S + 1)
        steps: list[Pruned] = []
        first = pruned(stored, progress=steps.append, cancelled=lambda: len(steps) == 2)
        assert not first.complete
        assert first == steps[-1]
        assert 0 < first.observations < first.expected == 5 * SMALL
        second = pruned(stored)
        assert second.complete
        assert first.observations + second.observations == 5 * SMALL
        (histogram,) = rolled_up(stored).values()
        assert histogram.count == 5 * SMALL

    def test_a_trace_that_gets_news_meanwhile_stays(self, stored: Stored) -> None:
        for name in "ab":
            add(stored, name, (SHOP, measured(1.0)))
        *early, late = a_trace()
        stored.add(early)
        stored.settle_due()
        stored.clock.advance(DAYS * DAY_S + 1)

        def comes(_: Pruned) -> None:
            if len(stored.rows(tables.traces)) == 2:
                stored.add([late])

        pruned(stored, progress=comes, pace=Pace(stored.clock, 1, 1, 1, sleep=lambda _: None))
        (row,) = stored.rows(tables.traces)
        assert row["trace_id"] == late.trace_id

    def test_what_has_not_settled_waits_until_it_has(self, stored: Stored) -> None:
        stored.add(a_trace())
        stored.clock.advance((DAYS + NEVER_SETTLES_DAYS) * DAY_S)
        assert pruned(stored).traces == 0
        stored.settle_due()
        observed = stored.observations()
        assert pruned(stored).observations == len(observed) > 0
        assert sum(h.count for h in rolled_up(stored, ME.app).values()) == len(observed)

    def test_what_never_settles_goes_in_the_end(self, stored: Stored) -> None:
        stored.add(a_trace())
        stored.clock.advance((DAYS + NEVER_SETTLES_DAYS) * DAY_S + 1)
        assert pruned(stored).spans == len(a_trace())
        assert stored.rows(tables.traces) == []

    def test_who_sent_nothing_that_is_kept_is_forgotten(self, stored: Stored) -> None:
        senders = [Source("shop", instance=str(n)) for n in range(3 * SMALL)]
        for number, sender in enumerate(senders):
            add(stored, number, (sender, measured(1.0)))
        stored.clock.advance(DAYS * DAY_S)
        add(stored, "again", (senders[0], measured(1.0)))
        add(stored, "first", (BOOKS, measured(1.0)))
        stored.clock.advance(1)
        assert pruned(stored).telemetry_sources == len(senders) - 1
        assert stored.run(lambda store: store.sources()) == [senders[0], BOOKS]

    def test_who_was_heard_of_lately_is_kept(self, stored: Stored) -> None:
        add(stored, "a", (SHOP, measured(1.0)))
        stored.clock.advance(DAYS * DAY_S)
        stored.look(lambda engine: empty(engine, tables.observations, tables.traces))
        assert pruned(stored).telemetry_sources == 0
        stored.clock.advance(1)
        assert pruned(stored).telemetry_sources == 1

    @pytest.mark.parametrize("waits_s", [0, 2 * HOUR_S])
    def test_who_sent_spans_of_anothers_trace_is_kept_until_it_settles(
        self, stored: Stored, waits_s: int
    ) -> None:
        add(stored, "a", (SHOP, measured(1.0)))
        stored.clock.advance(DAYS * DAY_S + 1)
        entry, *others = a_trace()
        stored.add(others, BOOKS)
        stored.add([entry], SHOP)
        stored.clock.advance(waits_s)
        pruned(stored)
        stored.settle_due()
        found = stored.run(lambda store: store.observations("shop"))
        assert {id_ for id_, _ in found} == {entry.trace_id}

    def test_pages_that_became_free_are_given_back(self, tmp_path: Path) -> None:
        path = tmp_path / "a-telemetry.db"
        with kept_open(sqlite_url(tmp_path / "a.db")) as stored:
            rows = [(SHOP, measured(float(n))) for n in range(20_000)]
            add(stored, "many", *rows)
            stored.look(lambda engine: engine.dispose())
            before = path.stat().st_size
            stored.clock.advance(10 * DAY_S**2)
            pruned(stored, pace=Pace(stored.clock, 5_000, 1, 5_000, sleep=lambda _: None))
            stored.look(lambda engine: engine.dispose())
            assert path.stat().st_size < before / 5

    def test_a_database_that_fails_is_a_store_error(self, stored: Stored) -> None:
        add(stored, "a", (SHOP, measured(1.0)))
        stored.clock.advance(DAYS * DAY_S + 1)

        def spoil(engine: Engine) -> None:
            with engine.begin() as connection:
                connection.execute(delete(tables.rollups))
                connection.exec_driver_sql("ALTER TABLE rollups RENAME TO gone")

        stored.look(spoil)
        with pytest.raises(StoreError, match="telemetry could not be pruned"):
            pruned(stored)
        assert len(stored.rows(tables.observations)) == 1


class TestDisown:
    """What forgetting an app does on every kind of database."""

    def forget(self, stored: Stored, app: str) -> None:
        stored.look(lambda engine: disown(engine, app, stored.clock))

    def test_what_was_disowned_is_not_found_and_goes_with_the_next_prune(
        self, stored: Stored
    ) -> None:
        for name, source in (("a", SHOP), ("b", SHOP_2), ("c", BOOKS)):
            add(stored, name, (source, measured(1.0)))
        self.forget(stored, "shop")
        assert stored.run(lambda store: store.observations("shop")) == []
        assert len(stored.run(lambda store: store.observations("books"))) == 1
        done = pruned(stored)
        assert (done.traces, done.observations) == (2, 2)
        assert rolled_up(stored, "shop") == rolled_up(stored, DELETED) == {}
        assert stored.run(lambda store: store.sources()) == [BOOKS]

    def test_histograms_go_at_once(self, stored: Stored) -> None:
        for name, source in (("a", SHOP), ("b", BOOKS)):
            add(stored, name, (source, measured(1.0)))
        stored.clock.advance(DAYS * DAY_S + 1)
        pruned(stored)
        self.forget(stored, "shop")
        assert rolled_up(stored) == {}
        assert len(rolled_up(stored, "books")) == 1

    def test_a_new_app_of_the_same_name_has_telemetry_of_its_own(self, stored: Stored) -> None:
        add(stored, "before", (SHOP, measured(1.0)))
        self.forget(stored, "shop")
        add(stored, "after", (SHOP, measured(2.0)))
        found = stored.run(lambda store: store.observations("shop"))
        assert [o.value for _, o in found] == [2.0]
        pruned(stored)
        assert stored.run(lambda store: store.observations("shop")) == found

    def test_forgetting_again_changes_nothing(self, stored: Stored) -> None:
        add(stored, "a", (SHOP, measured(1.0)))
        self.forget(stored, "shop")
        before = stored.rows(tables.sources)
        self.forget(stored, "shop")
        self.forget(stored, "nobody")
        assert stored.rows(tables.sources) == before

    def test_many_senders_are_renamed_few_at_a_time(self, stored: Stored) -> None:
        senders = [Source("shop", instance=str(n)) for n in range(3 * SMALL)]
        add(stored, "a", *((sender, measured(1.0)) for sender in senders))
        pace = small_pace(stored)
        stored.look(lambda engine: disown(engine, "shop", stored.clock, pace=pace))
        assert len(pace.held_s) == 3
        assert stored.run(lambda store: store.observations("shop")) == []
        assert pruned(stored).telemetry_sources == len(senders)

    def test_two_apps_of_one_name_may_be_forgotten(self, stored: Stored) -> None:
        for name in "ab":
            add(stored, name, (SHOP, measured(1.0)))
            self.forget(stored, "shop")
        assert pruned(stored).traces == 2
        assert stored.rows(tables.sources) == []

    def test_spans_that_wait_to_be_settled_go_too(self, stored: Stored) -> None:
        stored.add(a_trace(), SHOP)
        due = stored.due()
        self.forget(stored, "shop")
        assert pruned(stored).spans == len(a_trace())
        stored.settle(due)
        assert stored.rows(tables.observations) == []


SOURCES = (SHOP, SHOP_2, BOOKS, ME, OTHER)
rows = st.tuples(
    st.sampled_from(SOURCES),
    st.integers(-200 * HOUR_S, 0),
    st.integers(-1000, 1000).map(float),
    st.integers(1, 5).map(float),
    st.sampled_from(["duration_ms", "errors"]),
)
steps = st.one_of(
    st.tuples(st.just("batch"), st.lists(rows, min_size=1, max_size=12)),
    st.tuples(st.just("trace"), st.sampled_from(SOURCES)),
    st.tuples(st.just("wait"), st.integers(1, 10)),
    st.tuples(st.just("prune"), st.integers(0, 5)),
)


class TestInvariant:
    """However often it is pruned, counts and sums stay, of raw values and histograms together."""

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(steps=st.lists(steps, min_size=1, max_size=10))
    def test_nothing_is_lost_or_counted_twice(
        self, stored: Stored, steps: Sequence[tuple[str, Any]]
    ) -> None:
        self.empty(stored)
        counts: Counter[tuple[str, ...]] = Counter()
        sums: Counter[str] = Counter()
        for number, (what, told) in enumerate(steps):
            if what == "batch":
                made = [
                    (source, measured(value, START + at, weight=weight, metric=metric))
                    for source, at, value, weight, metric in told
                ]
                self.note(counts, sums, made)
                add(stored, number, *made)
            elif what == "trace":
                stored.add(a_trace(number), told)
                stored.settle_due()
                found = stored.run(lambda store, app=told.app: store.observations(app))
                self.note(counts, sums, [(told, o) for id_, o in found if id_ == trace_id(number)])
            elif what == "wait":
                stored.clock.advance(told * DAY_S)
            else:
                pruned(stored, days=told, rollup_days=10_000)
        for app in {s.app for s in SOURCES}:
            here = stored.look(lambda engine, app=app: totals(engine, app))
            assert here == {k[1:]: n for k, n in counts.items() if k[0] == app}
            total = stored.look(lambda engine, app=app: weighted_sum(engine, app))
            assert total == pytest.approx(sums[app])

    def note(
        self,
        counts: Counter[tuple[str, ...]],
        sums: Counter[str],
        made: Sequence[tuple[Source, Observation]],
    ) -> None:
        for source, o in made:
            counts[source.app, source.revision or "", o.phase or "", o.stage, o.metric] += 1
            sums[source.app] += o.value * o.weight

    def empty(self, stored: Stored) -> None:
        kept = (tables.observations, tables.spans, tables.traces, tables.sources, tables.rollups)
        stored.look(lambda engine: empty(engine, *kept))
        stored.clock.now = START


PRUNER = """
import sys
from autorag.ports import SystemClock
from store.engine import open_telemetry
from store.pace import Pace
from store.retention import prune
engine, clock = open_telemetry(sys.argv[1]), SystemClock()
def tell(done):
    sys.stdout.write("a chunk\\n")
    sys.stdout.flush()
prune(engine, clock, days=1, rollup_days=100_000, pace=Pace(clock, 60, 1, 60), progress=tell)
"""
MOST_CHUNKS, WITHIN_S = 12, 0.01
KILLS, BATCHES, BATCH = 6, 300, 20


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_prune_that_is_killed_loses_and_doubles_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        kill_again_and_again(sqlite_url(tmp_path / "a.db"))
    else:
        with request.getfixturevalue("postgres").database() as url:
            kill_again_and_again(url)


def kill_again_and_again(url: str) -> None:
    moments = random.Random(5)
    engine = open_telemetry(url)
    try:
        fill(engine)
        before, total = totals(engine, "shop"), weighted_sum(engine, "shop")
        assert sum(before.values()) == BATCHES * BATCH
        left = [raw_rows(engine)]
        for _ in range(KILLS):
            kill_one(url, moments.randint(1, MOST_CHUNKS), moments.uniform(0, WITHIN_S))
            assert totals(engine, "shop") == before
            assert weighted_sum(engine, "shop") == total
            left.append(raw_rows(engine))
        assert left == sorted(set(left), reverse=True), "a kill came before or after the work"
        prune(engine, ManualClock(time.time()), days=1, rollup_days=100_000)
        assert raw_rows(engine) == 0
        assert totals(engine, "shop") == before
        assert weighted_sum(engine, "shop") == total
    finally:
        engine.dispose()


def kill_one(url: str, chunks: int, later_s: float) -> None:
    """Kill a prune that has done so many chunks, a moment later."""
    command = [sys.executable, "-c", PRUNER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(chunks):
            assert process.stdout.readline() == b"a chunk\n"
        time.sleep(later_s)
        process.send_signal(signal.SIGKILL)


def fill(engine: Engine) -> None:
    """Old batches of whole numbers, whose sums are exact."""
    at = START - 1000 * DAY_S
    with engine.begin() as connection:
        source = {"id": 1, "identity": "1", "app": "shop", "first_seen_at": at}
        connection.execute(insert(tables.sources), source)
        for number in range(1, BATCHES + 1):
            trace = {
                "id": number,
                "trace_id": trace_id(number),
                "source_id": 1,
                "version": 1,
                "settled": 1,
                "entered": True,
                "last_seen_at": at,
            }
            connection.execute(insert(tables.traces), trace)
            rows = [
                {
                    "trace": number,
                    "number": n,
                    "source_id": 1,
                    **measured(float(n * number), at + n * 300)._asdict(),
                }
                for n in range(BATCH)
            ]
            connection.execute(insert(tables.observations), rows)


def raw_rows(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(tables.observations)) or 0


def test_adding_to_histograms_reads_no_others(tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []
    with kept_open(sqlite_url(tmp_path / "a.db")) as stored:
        stored.clock.now = START
        add(stored, "a", (SHOP, measured(1.0)))
        stored.clock.advance(DAYS * DAY_S + 1)
        engine = stored.look(lambda engine: engine)

        def before(*arguments: Any) -> None:
            asked.append((arguments[2], arguments[3]))

        event.listen(engine, "before_cursor_execute", before)
        pruned(stored)
        event.remove(engine, "before_cursor_execute", before)
        (found,) = ((sql, values) for sql, values in asked if "rollups.histogram" in sql)
        with engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {found[0]}", found[1]).all()
    assert "SCAN" not in str(plan)
    assert all(f"{name}=?" in str(plan) for name in ("app", "hour", "revision"))


def test_a_chunk_that_kept_the_lock_too_long_makes_the_next_smaller() -> None:
    slept: list[float] = []
    pace = Pace(ManualClock(), 1_000, 100, 2_000, sleep=slept.append)
    pace.held(2 * TARGET_S)
    assert pace.size == 500
    pace.held(100 * TARGET_S)
    pace.held(100 * TARGET_S)
    assert pace.size == 100
    for _ in range(20):
        pace.held(TARGET_S / 10)
    assert pace.size == 2_000
    assert slept == pace.held_s
    assert slept[:2] == [2 * TARGET_S, 100 * TARGET_S]
