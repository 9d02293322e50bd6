"""What the requests of running apps took lately, by the revision that answered them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, select

from autorag.experience import Served
from store.engine import reading, store_errors
from store.tables import sources, spans, traces

STAGES = ("embed", "retrieve", "rerank")
"""Stages between a question and its ranked contexts."""

MOST_SENDERS = 32
"""Newest processes of an app, each with a revision, that are looked at."""

MOST_REQUESTS = 500
"""Newest requests of each."""

LOOKED_UP = 500

Interval = tuple[int, int]
"""Start and end in nanoseconds."""


def served(engine: Engine, app: str, since: int) -> list[Served]:
    """Requests of an app since a moment, in seconds since the epoch: one a revision.

    A request counts when it ended well and ran every stage that most requests of its revision ran.
    Spans of one stage lie in those of another, as the app is built: retrieving is what is neither
    embedding nor reranking, and the whole is the time in which any of them ran.

    Raises:
        StoreError: telemetry cannot be read.
    """
    senders = select(sources.c.id, sources.c.revision).where(sources.c.app == app)
    newest = senders.order_by(sources.c.id.desc()).limit(MOST_SENDERS)
    with store_errors("telemetry could not be read"), reading(engine) as connection:
        rows = [
            (row.revision, *span)
            for row in connection.execute(newest)
            if row.revision is not None and row.revision.isdecimal()
            for span in _spans(connection, row.id, since)
        ]
    return list(_by_revision(rows))


def _spans(connection: Connection, source: int, since: int) -> Iterator[tuple[int, str, int, int]]:
    """Trace, stage, start and length of the spans of a sender's newest requests."""
    requests = (
        select(traces.c.id)
        .where(traces.c.source_id == source, traces.c.start_ns >= since * 1_000_000_000)
        .where(traces.c.phase == "query", traces.c.error.is_(False))
        .order_by(traces.c.start_ns.desc())
        .limit(MOST_REQUESTS)
    )
    ids = list(connection.scalars(requests))
    for start in range(0, len(ids), LOOKED_UP):
        some = select(spans.c.trace, spans.c.kind, spans.c.start_ns, spans.c.duration_ns).where(
            spans.c.trace.in_(ids[start : start + LOOKED_UP]),
            spans.c.kind.in_(STAGES),
            spans.c.duration_ns.is_not(None),
        )
        yield from (tuple(row) for row in connection.execute(some))


def _by_revision(rows: Iterable[Any]) -> Iterator[Served]:
    ran: dict[int, dict[int, list[tuple[str, Interval]]]] = defaultdict(lambda: defaultdict(list))
    for revision, trace, kind, start_ns, duration_ns in rows:
        ran[int(revision)][trace].append((kind, (start_ns, start_ns + duration_ns)))
    for revision, requests in sorted(ran.items()):
        yield _served(revision, [_times(spans) for spans in requests.values()])


def _served(revision: int, requests: Sequence[Mapping[str, float]]) -> Served:
    (whole, _), *_ = Counter(frozenset(r) for r in requests).most_common(1)
    counted = [r for r in requests if r.keys() == whole]
    times = {
        f"{name}_{quantile}_ms": float(np.quantile([r[name] for r in counted], q))
        for name in sorted(whole)
        for quantile, q in (("p50", 0.5), ("p95", 0.95))
    }
    return Served(revision, len(counted), times)


def _times(ran: Sequence[tuple[str, Interval]]) -> dict[str, float]:
    """Milliseconds of the stages of one request, and of all of them as ``latency``."""
    by_kind = {k: [when for kind, when in ran if kind == k] for k in STAGES}
    found = {k: _length(intervals) for k, intervals in by_kind.items() if intervals}
    latency = _length([when for _, when in ran])
    if "retrieve" in found:
        found["retrieve"] = latency - _length([*by_kind["embed"], *by_kind["rerank"]])
    return {name: ns / 1e6 for name, ns in {**found, "latency": latency}.items()}


def _length(intervals: Iterable[Interval]) -> int:
    """Nanoseconds that the intervals cover together."""
    length, reached = 0, 0
    for start, end in sorted(intervals):
        length += max(0, end - max(start, reached))
        reached = max(reached, end)
    return length
