"""The settling pass: traces whose spans have arrived become observations."""

from __future__ import annotations

import logging

from autorag.telemetry import Trace
from collectors.otlp.settle import settle
from store.telemetry import DueTrace, Settled, TelemetryStore

log = logging.getLogger(__name__)

IDLE_S = 10.0
"""Without news for so long, a trace settles although its entry span was never seen."""

TRACES = 200
"""Settled in one transaction."""


def settle_due(store: TelemetryStore, idle_s: float = IDLE_S) -> int:
    """Settle the traces that are due, at most :data:`TRACES` of them; returns how many."""
    due = store.due(idle_s, TRACES)
    if due:
        store.settle([_settled(trace) for trace in due]).result()
    return len(due)


def _settled(due: DueTrace) -> Settled:
    try:
        trace = settle(due.trace_id, due.spans, cut=due.cut)
    except Exception:
        log.exception("trace %s could not be settled: no observations", due.trace_id.hex())
        start_ns = min(s.start_ns for s in due.spans)
        trace = Trace(due.trace_id, start_ns, None, None, None, False, False, 1.0, ())
    entry = max(due.spans, key=lambda s: (s.entry, -s.start_ns))
    return Settled(due.id, due.version, due.source_ids[entry.span_id], trace)
