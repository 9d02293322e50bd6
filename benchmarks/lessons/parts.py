"""What is in the table, and what its index and generation parts say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from autorag.pipeline.space import FULL
from autorag.space import Config
from autorag.table.builds import building_s
from benchmarks.lessons.landscapes import first_repeat, timed, told

RECALLS = (0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Size:
    """One workload of the table."""

    workload: str
    corpus: str
    family: str
    queries: str
    documents: int
    judged: int
    parts: str
    configs: int
    rows: int
    repeats: int
    hours: float


@dataclass(frozen=True, slots=True)
class Fastest:
    """The fastest config of an index kind that finds at least ``recall`` of the exact neighbours;
    of the first repeat."""

    workload: str
    vectors: int
    kind: str
    recall: float
    p50_ms: float
    index_mb: float
    build_s: float
    speedup: float


@dataclass(frozen=True, slots=True)
class Generated:
    """One config of the generation part, means over ``workloads``."""

    config: str
    contexts: int
    workloads: int
    f1: float
    em: float
    context_tokens: float
    end_to_end_p95_ms: float


def sizes(frame: pl.DataFrame) -> list[Size]:
    """One a workload."""
    found = []
    for (name,), rows in frame.group_by("workload", maintain_order=True):
        row = rows.row(0, named=True)
        found.append(
            Size(
                str(name),
                row["corpus"],
                row["family"],
                row["query_source"],
                row["documents"],
                int(_most(rows, "queries")),
                ", ".join(rows["part"].unique().sort().to_list()),
                rows.select("part", "config").n_unique(),
                len(rows),
                rows["repeat"].n_unique(),
                hours(rows),
            )
        )
    return found


def hours(rows: pl.DataFrame) -> float:
    """Asking in every row and building everything once, of one workload."""
    configs = [
        (Config(tuple(json.loads(row["config"]).items())), row)
        for row in rows.unique(["part", "config"]).iter_rows(named=True)
    ]
    return (float(rows["query_s"].sum()) + building_s(configs)) / 3600


def fastest(frame: pl.DataFrame) -> Iterator[Fastest]:
    """By workload with an index part, recall and kind; of whole vectors, since shorter ones are
    other vectors, whose nearest are others."""
    knob = {
        k: pl.col("config").str.json_path_match(f"$.['{k}']") for k in ("index.kind", "embed.dim")
    }
    rows = first_repeat(timed(frame, "index")).filter(knob["embed.dim"] == FULL)
    kind = knob["index.kind"].alias("kind")
    for (name,), some in rows.with_columns(kind).group_by("workload", maintain_order=True):
        flat = _one(some.filter(kind="flat").sort("ann_recall_at_10", "retrieve_p50_ms"))
        for recall in RECALLS:
            for (what,), alike in some.sort("kind").group_by("kind", maintain_order=True):
                reach = alike.filter(pl.col("ann_recall_at_10") >= recall)
                if len(reach):
                    yield _fastest(str(name), str(what), recall, _one(reach), flat)


def answers(frame: pl.DataFrame) -> list[Generated]:
    """By config of the generation part, the best first."""
    rows = frame.filter(pl.col("part") == "generation", pl.col("answer_f1").is_not_null())
    found = []
    for (config,), some in rows.group_by("config", maintain_order=True):
        knobs = json.loads(str(config))
        contexts = int(knobs["generate.contexts"])
        means = [
            float(np.mean(some[c].to_numpy()))
            for c in ("answer_f1", "answer_em", f"context_tokens_{contexts}", "end_to_end_p95_ms")
        ]
        found.append(Generated(told(knobs), contexts, some["workload"].n_unique(), *means))
    return sorted(found, key=lambda g: -g.f1)


def _fastest(
    name: str, kind: str, recall: float, best: Mapping[str, Any], flat: Mapping[str, Any]
) -> Fastest:
    return Fastest(
        name,
        best["chunks"],
        kind,
        recall,
        best["retrieve_p50_ms"],
        best["index_mb"],
        best["build.index_s"],
        flat["retrieve_p50_ms"] / best["retrieve_p50_ms"],
    )


def _one(rows: pl.DataFrame) -> dict[str, Any]:
    """The fastest of the rows."""
    return rows.sort("retrieve_p50_ms").row(0, named=True)


def _most(rows: pl.DataFrame, column: str) -> float:
    found: Any = rows[column].max()
    return float(found or 0)
