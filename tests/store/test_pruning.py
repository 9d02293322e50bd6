"""One prune of both databases."""

from __future__ import annotations

from typing import Any

import pytest

from autorag.telemetry import UNASSIGNED, Observation, Source
from store.answers import KEPT_S, Answer, AnswerRepository
from store.apps import AppRepository
from store.deleting import DAY_S, Pruned
from store.engine import open_telemetry
from store.pruning import prune_all
from store.rollups import read_rollups
from tests.store.backends import Backend
from tests.store.registered import register
from tests.store.traces import Stored, kept_open, trace_id

SHOP, NOBODYS, LATE = Source("shop"), Source(UNASSIGNED), Source("gone")


def told(stored: Stored, *sources: Source) -> None:
    """An observation of each."""
    at = int(stored.clock.now)
    for source in sources:
        row = (source, Observation(at, "query", "retrieve", "duration_ms", 1.0, "ms"))
        name = trace_id((source.app, at))
        assert stored.run(lambda s, name=name, row=row: s.add_observations(name, [row])).result(10)


def pruned(backend: Backend, **given: Any) -> Pruned:
    return prune_all(backend.url, backend.clock, **{"days": 30, "rollup_days": 400, **given})


def test_both_databases_are_pruned(backend: Backend) -> None:
    register(backend)
    AnswerRepository(backend.engine, backend.clock).add("me", "k", Answer("r", 200, {}, b""))
    with kept_open(backend.url) as stored:
        stored.clock.now = backend.clock.now
        told(stored, SHOP)
    backend.clock.advance(KEPT_S + 1)
    first = pruned(backend)
    assert (first.answers, first.traces, first.complete) == (1, 0, True)
    backend.clock.advance(30 * DAY_S)
    second = pruned(backend)
    assert (second.answers, second.traces, second.telemetry_sources) == (0, 1, 1)
    engine = open_telemetry(backend.url)
    assert len(read_rollups(engine, "shop")) == 1
    engine.dispose()


def test_what_came_for_an_app_that_was_deleted_goes(backend: Backend) -> None:
    register(backend)
    app = register(backend, "gone")
    with kept_open(backend.url) as stored:
        told(stored, LATE)
        stored.clock.advance(31 * DAY_S)
        backend.clock.now = stored.clock.now
        assert pruned(backend).traces == 1
        assert len(stored.look(lambda engine: read_rollups(engine, "gone"))) == 1
        AppRepository(backend.engine, backend.clock).delete(app.id)
        told(stored, SHOP, NOBODYS, LATE)
        done = pruned(backend)
        assert (done.traces, done.telemetry_sources, done.rollups) == (1, 1, 0)
        assert stored.run(lambda store: store.sources()) == [SHOP, NOBODYS]
        assert stored.look(lambda engine: read_rollups(engine, "gone")) == {}


@pytest.mark.parametrize("chunks", [0, 1])
def test_it_stops_when_it_is_told_to(backend: Backend, chunks: int) -> None:
    register(backend)
    with kept_open(backend.url) as stored:
        told(stored, SHOP)
        stored.clock.advance(31 * DAY_S)
    backend.clock.now = stored.clock.now
    steps: list[Pruned] = []
    done = pruned(backend, progress=steps.append, cancelled=lambda: len(steps) >= chunks)
    assert (done.traces, done.complete) == (chunks, False)
    assert pruned(backend).complete
