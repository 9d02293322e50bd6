"""What is in a measured table, in a few figures."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from autorag.space import Config
from autorag.table.builds import building_s
from autorag.table.files import table_hash
from autorag.table.noise import noise_floor
from autorag.table.schema import BUILDS

if TYPE_CHECKING:
    import polars


def summary(frame: polars.DataFrame) -> dict[str, Any]:
    """Rows, workloads, configs, hours, hash and noise floor.

    Hours are those of asking, and of building everything once.
    """
    asking_s = float(frame["query_s"].sum())
    return {
        "rows": len(frame),
        "workloads": frame["workload"].n_unique(),
        "configs": frame.select("part", "config").n_unique(),
        "hours": (asking_s + _building_s(frame)) / 3600,
        "hash": table_hash(frame),
        "noise": {metric: asdict(noise) for metric, noise in noise_floor(frame).items()},
    }


def _building_s(frame: polars.DataFrame) -> float:
    """Seconds of every artifact, each once a workload."""
    figures = [f"build.{build}_s" for build in BUILDS]
    total = 0.0
    for _, rows in frame.group_by("workload"):
        recorded = rows.select("config", *figures).to_dicts()
        configs = [Config(tuple(json.loads(r["config"]).items())) for r in recorded]
        total += building_s(list(zip(configs, recorded, strict=True)))
    return total
