"""Databases with measured workloads whose laws are known, for what learns from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Engine, insert

from autorag.ports import SystemClock
from models.examples import QUALITY
from models.ratios import TIMES, TOTALS
from store.hosts import HostRepository
from store.repositories import StudyRepository
from store.tables import trials
from tests.autorag.machines import profile
from tests.models.learned import Imagined, example

CORPORA = tuple(Imagined(f"w{i}", i / 4) for i in range(5))
"""From those that like meanings to those that like words."""


def record(
    engine: Engine, made: Imagined, *, shuffled: Iterable[int] = (), started_at: int = 1_000
) -> None:
    """A study that measured a workload.

    Args:
        shuffled: in which order the configs have what was measured, where not in their own.
    """
    clock = SystemClock()
    HostRepository(engine, clock).record(profile(), {})
    workload = {
        "name": made.name,
        "hash": f"{made.name:0>8}{started_at}",
        "query_source": "labelled",
        "features": made.features.to_json(),
    }
    study = StudyRepository(engine, clock).open(workload, {"hardware": profile().fingerprint}).id
    (timed,) = example(made).timed
    order = list(shuffled) or range(len(timed.configs))
    rows = [
        _trial(study, number, dict(config), {m: float(v[i]) for m, v in timed.measured.items()})
        for number, (i, config) in enumerate(zip(order, timed.configs, strict=True))
    ]
    with engine.begin() as connection:
        connection.execute(insert(trials), [{**row, "started_at": started_at} for row in rows])


def _trial(
    study: int, number: int, config: Mapping[str, Any], measured: Mapping[str, float]
) -> dict[str, Any]:
    stages: dict[str, dict[str, float]] = {}
    for name in (t for t in TIMES if t not in TOTALS):
        stage, quantile, unit = name.split("_")
        if measured[name] == measured[name]:
            stages.setdefault(stage, {})[f"{quantile}_{unit}"] = measured[name]
    flat = (QUALITY, *TOTALS, "context_tokens", "memory_mb")
    return {
        "study_id": study,
        "split": "search",
        "number": number,
        "config": dict(config),
        "config_hash": str(number),
        "state": "finished",
        "metrics": {name: measured[name] for name in flat},
        "stages": stages,
        "reused": [],
        "build_s": {},
        "conditions": {},
        "seconds": 1.0,
    }
