"""The settling pass: traces whose spans have arrived become observations."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.exc import OperationalError

from api.ingest import Ingest
from autorag.errors import AutoragError, InputError, StoreError
from autorag.telemetry import Trace
from collectors.otlp.settle import settle
from store.telemetry import DueTrace, Settled, TelemetryStore

log = logging.getLogger(__name__)

SETTLE_EVERY_S = 1.0
PAUSE_S = 1.0

IDLE_S = 10.0
"""Without news for so long, a trace settles although its entry span was never seen."""

TRACES = 200
"""Settled in one transaction."""


async def keep_settling(store: TelemetryStore, ingest: Ingest) -> None:
    """Settle what is due, again and again, whatever fails."""
    while True:
        try:
            await settle_all(store, ingest)
        except AutoragError as error:
            log.warning("settling failed and is tried again: %s", error)
        except Exception:
            log.exception("settling failed and is tried again")
        await asyncio.sleep(SETTLE_EVERY_S)


async def settle_all(store: TelemetryStore, ingest: Ingest) -> None:
    """Settle what is due. Senders wait for their answers and nobody for observations, so it goes
    slowly while requests are being taken in."""
    while await asyncio.to_thread(settle_due, store):
        await asyncio.sleep(PAUSE_S if ingest.busy else 0)


def settle_due(store: TelemetryStore, idle_s: float = IDLE_S) -> int:
    """Settle the traces that are due, at most :data:`TRACES` of them; returns how many."""
    due = store.due(idle_s, TRACES)
    if not due:
        return 0
    settled = [_settled(trace) for trace in due]
    try:
        store.settle(settled).result()
    except (StoreError, InputError) as error:
        if isinstance(error.__cause__, OperationalError):
            raise  # the database itself fails: every trace would
        for one in settled:
            _settle_alone(store, one)
    return len(due)


def _settle_alone(store: TelemetryStore, settled: Settled) -> None:
    """Record one trace of a batch that could not be recorded, so that it holds back no other."""
    try:
        store.settle([settled]).result()
    except (StoreError, InputError) as error:
        log.warning("trace %s was not settled: %s", settled.trace.trace_id.hex(), error)


def _settled(due: DueTrace) -> Settled:
    try:
        trace = settle(due.trace_id, due.spans, cut=due.cut)
    except Exception:
        log.exception("trace %s could not be settled: no observations", due.trace_id.hex())
        start_ns = min(s.start_ns for s in due.spans)
        trace = Trace(due.trace_id, start_ns, None, None, None, False, False, 1.0, ())
    entry = max(due.spans, key=lambda s: (s.entry, -s.start_ns))
    return Settled(due.id, due.version, due.source_ids[entry.span_id], trace)
