"""Hourly histograms of what was observed: what stays of observations when they go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, select

from autorag.histogram import Histogram
from store import bulk
from store.engine import reading, store_errors
from store.tables import observations, rollups, sources

HOUR_S = 3_600
REVISION_CHARS = 120

MEASURED = tuple(
    observations.c[name]
    for name in ("source_id", "at", "phase", "stage", "metric", "value", "weight")
)
"""Of an observation, what goes into histograms."""


class RollupKey(NamedTuple):
    """What a histogram is of. ``hour`` is its first second since the epoch; a revision or phase
    that is not known is empty."""

    app: str
    hour: int
    revision: str
    phase: str
    stage: str
    metric: str


def roll_up(connection: Connection, rows: Sequence[Any], *, besides: str) -> None:
    """Add observations, as :data:`MEASURED`, to the histograms of their hours, but for those of the
    app ``besides``. A value that is not finite, or has no weight, is not in any."""
    made = _histograms(rows, _senders(connection, {row[0] for row in rows}), besides)
    known = _known(connection, made.keys())
    merged = [
        (*key, (known[key].merge(new) if key in known else new).to_bytes())
        for key, new in made.items()
    ]
    bulk.insert_rows(connection, rollups, merged, columns=_COLUMNS, conflict=_replace)


def read_rollups(engine: Engine, app: str) -> dict[RollupKey, Histogram]:
    """The histograms of an app, in the order of their keys."""
    query = select(rollups).where(rollups.c.app == app).order_by(*rollups.primary_key)
    with store_errors("telemetry could not be read"), reading(engine) as connection:
        return {RollupKey(*k): Histogram.from_bytes(raw) for *k, raw in connection.execute(query)}


_COLUMNS = (*RollupKey._fields, "histogram")


def _histograms(
    rows: Sequence[Any], senders: dict[int, tuple[str, str]], besides: str
) -> dict[RollupKey, Histogram]:
    values: dict[tuple[Any, ...], list[tuple[float, float]]] = defaultdict(list)
    for source, at, phase, stage, metric, value, weight in rows:
        values[source, at // HOUR_S, phase, stage, metric].append((value, weight))
    made: dict[RollupKey, Histogram] = {}
    for (source, hour, phase, stage, metric), pairs in values.items():
        app, revision = senders.get(source, (besides, ""))
        taken = np.array(pairs)
        usable = np.isfinite(taken).all(axis=1) & (taken[:, 1] > 0)
        if app == besides or not usable.any():
            continue
        key = RollupKey(app, hour * HOUR_S, revision, phase or "", stage, metric)
        new = Histogram.of(*taken[usable].T)
        made[key] = made[key].merge(new) if key in made else new
    return made


def _senders(connection: Connection, ids: Collection[int]) -> dict[int, tuple[str, str]]:
    """App and revision of sources."""
    c = sources.c
    found = connection.execute(select(c.id, c.app, c.revision).where(c.id.in_(ids)))
    return {id_: (app, (revision or "")[:REVISION_CHARS]) for id_, app, revision in found}


def _known(connection: Connection, keys: Collection[RollupKey]) -> dict[RollupKey, Histogram]:
    """The histograms of these keys that are there. (SQLite would read the whole table to find rows
    by their keys as tuples.)"""
    groups: dict[tuple[str, str], set[int]] = defaultdict(set)
    for key in keys:
        groups[key.app, key.revision].add(key.hour)
    known: dict[RollupKey, Histogram] = {}
    c = rollups.c
    for (app, revision), hours in groups.items():
        mine = select(rollups).where(
            c.app == app, c.hour.in_(sorted(hours)), c.revision == revision
        )
        for *parts, raw in connection.execute(mine):
            key = RollupKey(*parts)
            if key in keys:
                known[key] = Histogram.from_bytes(raw)
    return known


def _replace(insertion: Any, _: str) -> Any:
    return insertion.on_conflict_do_update(
        index_elements=list(rollups.primary_key),
        set_={"histogram": insertion.excluded.histogram},
    )
