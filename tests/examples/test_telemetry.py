"""What the real apps measure themselves is what arrives at the real service.

Durations are compared question by question. The span of a stage holds the app's own stopwatch, so
it is never shorter; how much longer it is, is what the instrumentation takes (at most 5 % or 1 ms)
and any pause of the scheduler between the two clocks, so the question with the least difference
tells. The app's stopwatch of the whole question holds the root span.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from store.engine import sqlite_url
from store.tables import observations, sources, traces
from tests.api.serving import Serving, bare_command, serving
from tests.examples.running import APPS, run_app, telemetry_to

QUESTIONS = 4
SLEW = 1 + 500e-6
"""Spans tell the time of day, which may run so much faster or slower than the app's stopwatch while
the system's clock is being set right."""
STAGES = {
    "langchain": {"retrieve", "rerank", "generate"},
    "langchain-openllmetry": {"retrieve", "rerank", "generate"},
    "llamaindex": {"embed", "retrieve", "rerank", "generate"},
    "haystack": {"embed", "retrieve", "rerank", "generate"},
}
"""Stages that each instrumentation has spans for."""

BY_NAME = {("langchain", "rerank"), ("langchain-openllmetry", "rerank")}
"""Stages that only the name of a chain tells of."""

Observed = dict[str, dict[tuple[str, str], float]]
"""trace id → (stage, metric) → value."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(bare_command(tmp_path_factory.mktemp("telemetry"))) as running:
        yield running


@pytest.fixture(scope="module", params=APPS)
def told(request: pytest.FixtureRequest, service: Serving) -> tuple[str, list[Any], Observed]:
    """What an app printed about itself, and what arrived of the same traces."""
    app = request.param
    environment = {
        **telemetry_to(service.url, service.key, service__name=app, autorag__revision="7"),
        "OTEL_BSP_SCHEDULE_DELAY": "60000",  # spans are sent at the end, not while it measures
    }
    printed = run_app(app, environment=environment)
    assert len(printed) == QUESTIONS
    return app, printed, _arrived(service, [p["trace_id"] for p in printed])


def _arrived(service: Serving, trace_ids: list[str]) -> Observed:
    engine = create_engine(sqlite_url(service.home / "autorag-telemetry.db"))
    wanted = [bytes.fromhex(t) for t in trace_ids]
    until = time.monotonic() + 30
    settled = select(traces.c.trace_id).where(
        traces.c.trace_id.in_(wanted), traces.c.settled == traces.c.version
    )
    joined = observations.join(traces, traces.c.id == observations.c.trace)
    query = (
        select(traces.c.trace_id, observations)
        .select_from(joined)
        .where(traces.c.trace_id.in_(wanted))
    )
    found: Observed = defaultdict(dict)
    with engine.connect() as connection:
        while len(connection.execute(settled).all()) < len(wanted):
            assert time.monotonic() < until, "the traces did not settle"
            connection.rollback()
            time.sleep(0.2)
        for row in connection.execute(query):
            found[row.trace_id.hex()][row.stage, row.metric] = row.value
            found[row.trace_id.hex()][row.stage, "confidence"] = row.confidence
    engine.dispose()
    return found


def _nearest(own: list[float], theirs: list[float], least_ms: float) -> bool:
    """Whether the question whose two clocks are nearest has them within 5 % or ``least_ms``."""
    inner, outer = min(zip(own, theirs, strict=True), key=lambda pair: abs(pair[0] - pair[1]))
    return outer == pytest.approx(inner, rel=0.05, abs=least_ms)


def test_the_stages_are_those_that_the_app_has_spans_for(
    told: tuple[str, list[Any], Observed],
) -> None:
    app, printed, arrived = told
    for answer in printed:
        seen = {stage for stage, _ in arrived[answer["trace_id"]]}
        assert seen == STAGES[app] | {"request"}


def test_durations_are_those_that_the_app_measured(told: tuple[str, list[Any], Observed]) -> None:
    app, printed, arrived = told
    for stage in STAGES[app]:
        own = [p["stages"][stage] for p in printed]
        theirs = [arrived[p["trace_id"]][stage, "duration_ms"] for p in printed]
        assert all(inner <= outer * SLEW for inner, outer in zip(own, theirs, strict=True)), stage
        assert _nearest(own, theirs, 1.0), stage


def test_the_whole_is_what_the_app_measured(told: tuple[str, list[Any], Observed]) -> None:
    _, printed, arrived = told
    own = [p["stages"]["total"] for p in printed]
    theirs = [arrived[p["trace_id"]]["request", "duration_ms"] for p in printed]
    assert all(inner <= outer * SLEW for inner, outer in zip(theirs, own, strict=True))
    assert _nearest(own, theirs, 1.0)


def test_counts_are_those_that_the_app_counted(told: tuple[str, list[Any], Observed]) -> None:
    _, printed, arrived = told
    for answer in printed:
        values, counts = arrived[answer["trace_id"]], answer["counts"]
        assert values["retrieve", "documents"] == counts["documents"]
        assert values["rerank", "documents"] == counts["reranked"]
        assert values["generate", "prompt_tokens"] == counts["prompt_tokens"]
        assert values["generate", "completion_tokens"] == counts["completion_tokens"]
        assert {values[s, "calls"] for s in ("retrieve", "rerank", "generate")} == {1}


def test_what_only_a_name_tells_is_less_sure(told: tuple[str, list[Any], Observed]) -> None:
    app, printed, arrived = told
    for answer in printed:
        values = arrived[answer["trace_id"]]
        for stage in STAGES[app]:
            assert (values[stage, "confidence"] < 1) == ((app, stage) in BY_NAME)


def test_the_first_token_is_told_where_the_instrumentation_tells_it(
    told: tuple[str, list[Any], Observed],
) -> None:
    app, printed, arrived = told
    told_ms = [arrived[p["trace_id"]].get(("generate", "ttft_ms")) for p in printed]
    if app != "llamaindex":
        assert told_ms == [None] * QUESTIONS
        return
    own = [p["first_token_ms"] for p in printed]
    assert None not in told_ms
    assert _nearest(own, told_ms, 2.0)


def test_who_sent_it_is_known(told: tuple[str, list[Any], Observed], service: Serving) -> None:
    app, _, _ = told
    engine = create_engine(sqlite_url(service.home / "autorag-telemetry.db"))
    with engine.connect() as connection:
        rows = connection.execute(select(sources).where(sources.c.service == app)).all()
    engine.dispose()
    assert {(r.app, r.revision) for r in rows} == {("_unassigned", "7")}
    assert all(r.instance for r in rows)
