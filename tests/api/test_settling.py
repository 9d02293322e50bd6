"""The settling pass: in rounds, slowly while requests come, whatever one trace does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import api.settling
from api.attribution import Attribution
from api.ingest import Ingest
from api.settling import keep_settling, settle_due
from autorag.errors import StoreError
from autorag.telemetry import Trace
from store.engine import sqlite_url
from store.tables import traces
from store.telemetry import TelemetryStore
from tests.store.traces import Stored, a_trace, kept_open, trace_id

BAD = "a trace that cannot be settled"
NOBODY = Attribution()
"""Nothing is registered."""


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    with kept_open(sqlite_url(tmp_path / "a.db")) as stored:
        yield stored


def observed(stored: Stored) -> set[bytes]:
    """Traces that have observations."""
    return {id_ for id_, _ in stored.run(lambda store: store.observations("_unassigned"))}


def unsettled(stored: Stored) -> int:
    return sum(row["settled"] < row["version"] for row in stored.rows(traces))


def settle_once(stored: Stored, idle_s: float = 10.0) -> int:
    return stored.run(lambda store: settle_due(store, idle_s))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settling :data:`BAD` fails."""
    settle = api.settling.settle

    def failing(id_: bytes, *arguments: Any, **options: Any) -> Trace:
        if id_ == trace_id(BAD):
            raise ZeroDivisionError("of the trace")
        return settle(id_, *arguments, **options)

    monkeypatch.setattr(api.settling, "settle", failing)


def test_what_is_due_settles_once(stored: Stored) -> None:
    assert settle_once(stored) == 0
    for name in range(3):
        stored.add(a_trace(name))
    assert settle_once(stored) == 3
    assert observed(stored) == {trace_id(n) for n in range(3)}
    assert settle_once(stored) == 0


def test_without_its_entry_a_trace_waits(stored: Stored) -> None:
    stored.add(a_trace()[1:])
    assert settle_once(stored, idle_s=5.0) == 0
    stored.clock.advance(5)
    assert settle_once(stored, idle_s=5.0) == 1


def test_a_round_has_a_size(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.settling, "TRACES", 2)
    for name in range(5):
        stored.add(a_trace(name))
    assert [settle_once(stored) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.usefixtures("broken")
def test_a_trace_that_cannot_be_settled_stands_in_nobodys_way(
    stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("before", BAD, "after"):
        stored.add(a_trace(name))
    assert settle_once(stored) == 3
    assert observed(stored) == {trace_id("before"), trace_id("after")}
    assert settle_once(stored) == 0
    (row,) = (r for r in stored.rows(traces) if r["trace_id"] == trace_id(BAD))
    assert (row["complete"], row["error"]) == (False, False)
    assert (row["duration_ns"], row["phase"]) == (None, None)
    assert row["start_ns"] == a_trace()[0].start_ns
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    assert trace_id(BAD).hex() in caplog.text


@pytest.mark.usefixtures("broken")
def test_a_trace_that_cannot_be_settled_is_tried_again_with_its_next_span(stored: Stored) -> None:
    *early, late = a_trace(BAD)
    stored.add(early)
    settle_once(stored)
    stored.add([late])
    assert settle_once(stored) == 1


def while_settling(stored: Stored, use: Callable[[Ingest], Any]) -> None:
    """Settle until the function returns."""

    async def running(store: TelemetryStore) -> None:
        with Ingest(store, NOBODY, "f00d") as ingest:
            settling = asyncio.create_task(keep_settling(store, ingest))
            try:
                await use(ingest)
            finally:
                settling.cancel()

    stored.run(lambda store: asyncio.run(running(store)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def test_many_rounds_settle_one_after_another(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.settling, "TRACES", 2)
    for name in range(7):
        stored.add(a_trace(name))

    async def use(_: Ingest) -> None:
        await until(lambda: unsettled(stored) == 0)

    while_settling(stored, use)
    assert observed(stored) == {trace_id(n) for n in range(7)}


@pytest.mark.parametrize("error", [StoreError("the disk is full"), RuntimeError("unforeseen")])
def test_settling_goes_on_after_a_failure(
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    monkeypatch.setattr(api.settling, "SETTLE_EVERY_S", 0.01)
    failures = iter([error, error])

    def sometimes(store: TelemetryStore) -> int:
        for failure in failures:
            raise failure
        return settle_due(store)

    monkeypatch.setattr(api.settling, "settle_due", sometimes)
    stored.add(a_trace())

    async def use(_: Ingest) -> None:
        await until(lambda: unsettled(stored) == 0)

    while_settling(stored, use)
    assert len(caplog.records) == 2
    assert str(error) in caplog.text


def test_it_goes_slowly_while_requests_are_taken_in(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.settling, "TRACES", 1)
    monkeypatch.setattr(api.settling, "PAUSE_S", 3600.0)
    for name in range(3):
        stored.add(a_trace(name))

    async def use(ingest: Ingest) -> None:
        ingest.enter()
        await until(lambda: unsettled(stored) == 2)
        await asyncio.sleep(0.1)
        assert unsettled(stored) == 2
        ingest.leave()

    while_settling(stored, use)
