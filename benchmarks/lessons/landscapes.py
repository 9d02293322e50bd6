"""The quality part of the table as arrays: one row a workload, one column a config.

Configs are those that any workload has, in one order for all; what a workload lacks is NaN there.
Workloads whose times were not taken are left out. Times are of one machine a workload: the first
repeat serves to choose, the last to judge (the same where there is one only).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from autorag.features import FEATURES
from autorag.table.schema import CONTEXTS, PSEUDO

QUALITY = "ndcg_at_10"
VIEWS = ("", ".a", ".b")
LIMITED = ("latency_p95_ms", "memory_mb", "context_tokens")
Knobs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class About:
    """A workload. ``features`` stand in the order of ``FEATURES``, logarithms where ratios matter,
    NaN where unknown."""

    name: str
    corpus: str
    family: str
    labelled: bool
    repeats: int
    pseudo_queries: int
    features: np.ndarray


@dataclass(frozen=True)
class Landscapes:
    """Everything the lessons read of the quality part.

    Attributes:
        configs: knobs of every column.
        real, pseudo: view (``""``, ``".a"``, ``".b"``) → quality, float64 ``(workloads, configs)``.
        chosen_by, judged_by: metric of ``LIMITED`` → values of the first and of the last repeat,
            same shape.
    """

    workloads: tuple[About, ...]
    configs: tuple[Knobs, ...]
    real: Mapping[str, np.ndarray]
    pseudo: Mapping[str, np.ndarray]
    chosen_by: Mapping[str, np.ndarray]
    judged_by: Mapping[str, np.ndarray]

    @property
    def corpora(self) -> list[str]:
        return [w.corpus for w in self.workloads]

    def column(self, values: Knobs) -> int:
        """The first column of a config that has these values."""
        return next(i for i, c in enumerate(self.configs) if values.items() <= c.items())


def landscapes(frame: pl.DataFrame) -> Landscapes:
    """The landscapes of a table as ``read_table`` gives it."""
    rows = on_one_machine(timed(frame, "quality")).with_columns(_context_tokens())
    first, last = (r.sort("workload", "config") for r in (first_repeat(rows), last_repeat(rows)))
    names = first["workload"].unique(maintain_order=True).to_list()
    ranking, limited = [f"{QUALITY}{view}" for view in VIEWS], list(LIMITED)
    configs, real = matrices(first, ranking)
    pseudo = matrices(first, [f"{PSEUDO}{name}" for name in ranking])[1]
    return Landscapes(
        workloads=tuple(_about(rows.filter(workload=name)) for name in names),
        configs=tuple(configs),
        real=dict(zip(VIEWS, real, strict=True)),
        pseudo=dict(zip(VIEWS, pseudo, strict=True)),
        chosen_by=dict(zip(LIMITED, matrices(first, limited)[1], strict=True)),
        judged_by=dict(zip(LIMITED, matrices(last, limited)[1], strict=True)),
    )


def timed(frame: pl.DataFrame, part: str) -> pl.DataFrame:
    """The rows of a part whose times were taken."""
    return frame.filter(pl.col("part") == part, pl.col("query_s").is_not_null())


def first_repeat(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("repeat") == pl.col("repeat").min().over("workload"))


def last_repeat(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("repeat") == pl.col("repeat").max().over("config", "workload"))


def on_one_machine(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of every workload that were timed on the machine of its first repeat."""
    first = pl.col("hardware").sort_by("repeat").first().over("workload")
    return rows.filter(pl.col("hardware") == first)


def matrices(rows: pl.DataFrame, columns: Sequence[str]) -> tuple[list[Knobs], list[np.ndarray]]:
    """Configs and, for every column, values ``(workloads, configs)`` in alphabetical order of both,
    of rows that have a workload and config once."""
    configs = rows["config"].unique().sort().to_list()
    names = rows["workload"].unique().sort().to_list()
    at = {config: i for i, config in enumerate(configs)}
    values = [np.full((len(names), len(configs)), np.nan) for _ in columns]
    for i, name in enumerate(names):
        some = rows.filter(workload=name)
        positions = [at[c] for c in some["config"]]
        for matrix, column in zip(values, columns, strict=True):
            matrix[i, positions] = some[column].cast(pl.Float64).to_numpy()
    return [json.loads(c) for c in configs], values


def normalised(quality: np.ndarray) -> np.ndarray:
    """0 for the worst and 1 for the best config of each workload; same shape."""
    low = np.nanmin(quality, axis=-1, keepdims=True)
    high = np.nanmax(quality, axis=-1, keepdims=True)
    scaled: np.ndarray = (quality - low) / np.maximum(high - low, 1e-12)
    return scaled


def told(knobs: Knobs) -> str:
    """A config in a few words."""
    words = [knobs["retrieve.mode"]]
    if "retrieve.alpha" in knobs:
        words[0] += f" {knobs['retrieve.alpha']:g}"
    words += [str(knobs[k]) for k in ("embed.model",) if k in knobs]
    words.append(f"{knobs.get('chunk.splitter', 'chunk')} {knobs['chunk.tokens']}")
    if knobs["rerank.model"] != "none":
        details = [f"{knobs[k]:g}" for k in ("rerank.depth", "rerank.weight") if k in knobs]
        words.append(" ".join([knobs["rerank.model"], *details]))
    if knobs.get("index.kind", "flat") != "flat":
        words.append(knobs["index.kind"])
    return ", ".join(words)


def _context_tokens() -> pl.Expr:
    """The tokens of as many contexts as the config says."""
    contexts = pl.col("config").str.json_path_match(r"$.['generate.contexts']").cast(pl.Int32)
    known = pl.coalesce(
        *(pl.when(contexts == n).then(pl.col(f"context_tokens_{n}")) for n in CONTEXTS)
    )
    return known.alias("context_tokens")


def _about(rows: pl.DataFrame) -> About:
    row = rows.row(0, named=True)
    features = [
        np.nan
        if (value := row[f"feature.{f.name}"]) is None
        else (np.log1p(value) if f.scale == "log" else value)
        for f in FEATURES
    ]
    return About(
        row["workload"],
        row["corpus"],
        row["family"],
        row["query_source"] == "labelled",
        rows["repeat"].n_unique(),
        row[f"{PSEUDO}queries"] or 0,
        np.array(features, dtype=np.float64),
    )
