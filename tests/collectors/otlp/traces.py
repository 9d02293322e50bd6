"""Spans to settle, and what they settled into."""

from __future__ import annotations

from typing import Any

from autorag.telemetry import Span, Trace
from collectors.otlp.settle import settle
from tests.collectors.otlp.spans import ns, span_id, trace_id

TRACE = trace_id(1)
ONCE = {"calls": 1.0, "errors": 0.0}
"""A stage that was called once."""


def span(
    kind: str,
    start_ms: float = 0,
    ms: float | None = 1,
    id: int = 1,  # noqa: A002
    parent: int | None = None,
    **fields: Any,
) -> Span:
    made = Span(
        TRACE,
        span_id(id),
        span_id(parent) if parent is not None else None,
        parent is None,
        kind,
        kind,
        1.0,
        ns(start_ms),
        None if ms is None else round(ms * 1e6),
        False,
        {},
    )
    return made._replace(**fields)


def settled(*spans: Span, cut: bool = False) -> Trace:
    return settle(TRACE, spans, cut=cut)


def told(trace: Trace) -> dict[str, dict[str, float]]:
    """Stage → metric → value; only judgements may be several."""
    found: dict[str, dict[str, float]] = {}
    for observation in trace.observations:
        stage = found.setdefault(observation.stage, {})
        assert observation.metric not in stage or observation.metric.startswith("quality.")
        stage[observation.metric] = observation.value
    return found
