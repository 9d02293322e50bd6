"""What the requests of running apps took lately, by the revision that answered them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from autorag.experience import Served
from store.engine import reading, store_errors
from store.tables import sources, spans, traces

STAGES = ("embed", "retrieve", "rerank")
"""Stages between a question and its ranked contexts."""

MOST_SPANS = 20_000
"""Newest spans that are read."""

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
    mine = select(sources.c.id).where(sources.c.app == app)
    query = (
        select(
            sources.c.revision, spans.c.trace, spans.c.kind, spans.c.start_ns, spans.c.duration_ns
        )
        .join(traces, traces.c.id == spans.c.trace)
        .join(sources, sources.c.id == traces.c.source_id)
        .where(traces.c.source_id.in_(mine), traces.c.start_ns >= since * 1_000_000_000)
        .where(traces.c.phase == "query", traces.c.error.is_(False))
        .where(spans.c.kind.in_(STAGES), spans.c.duration_ns.is_not(None))
        .order_by(spans.c.trace.desc())
        .limit(MOST_SPANS)
    )
    with store_errors("telemetry could not be read"), reading(engine) as connection:
        rows = connection.execute(query).all()
    return list(_by_revision(rows))


def _by_revision(rows: Iterable[Any]) -> Iterator[Served]:
    ran: dict[int, dict[int, list[tuple[str, Interval]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.revision is not None and row.revision.isdecimal():
            when = row.start_ns, row.start_ns + row.duration_ns
            ran[int(row.revision)][row.trace].append((row.kind, when))
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
