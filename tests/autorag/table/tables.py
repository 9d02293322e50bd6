"""Small measured tables made by formula: every config of a small space, on made-up workloads.

Words, models and stages are those of the reference pipeline, so that everything that reads the
real table reads these. ``Made`` says what a workload is like; noise and seconds are known.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars

from autorag.features import FEATURES
from autorag.space import Choice, Config, Knob, Number, Space, When
from autorag.table.files import read_table, write_table
from autorag.table.schema import CONTEXTS, HALVES, PSEUDO, RANKING_METRICS, SCHEMA

_DENSE = When.is_("retrieve.mode", "dense", "hybrid")
_HYBRID = When.is_("retrieve.mode", "hybrid")
_CONTEXTS = Choice((1, 5, 10), ordered=True)
DEPTH = 10

SPACE = Space(
    (
        Knob("retrieve.mode", Choice(("dense", "lexical", "hybrid")), "dense", "retrieve"),
        Knob("chunk.tokens", Choice((64, 256), ordered=True), 256, "chunk", "rebuild"),
        Knob(
            "embed.model",
            Choice(("static", "minilm-int8")),
            "minilm-int8",
            "embed",
            "rebuild",
            when=(_DENSE,),
        ),
        Knob("index.kind", Choice(("flat", "hnsw")), "flat", "index", "rebuild", when=(_DENSE,)),
        Knob("retrieve.alpha", Choice((0.3, 0.7), ordered=True), 0.7, "retrieve", when=(_HYBRID,)),
        Knob("retrieve.k", Number(DEPTH, DEPTH, integer=True), DEPTH, "retrieve"),
        Knob("rerank.model", Choice(("none", "bm25", "maxsim")), "none", "rerank", "restart"),
        Knob("generate.contexts", _CONTEXTS, 5, "generate"),
    )
)


@lru_cache
def grid() -> tuple[Config, ...]:
    """Every config of the space with the default number of contexts."""
    names = [k.name for k in SPACE if k.name not in ("retrieve.k", "generate.contexts")]
    drawn = product(*(SPACE[n].domain.grid for n in names))
    given = (dict(zip(names, values, strict=True)) for values in drawn)
    made = (SPACE.config(_active(values)) for values in given)
    return tuple(dict.fromkeys(made))


def _active(values: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if SPACE[name].active(kept):
            kept[name] = value
    return kept


@dataclass(frozen=True)
class Made:
    """A made-up workload.

    Attributes:
        taste: value of a knob ("knob=value") → what it adds to the quality.
        noise: standard deviation of the quality over one half of the queries.
        jitter: standard deviation of the log of times.
    """

    name: str
    corpus: str = ""
    family: str = "wiki"
    taste: Mapping[str, float] | None = None
    noise: float = 0.0
    jitter: float = 0.0
    feature: float = 0.0
    seed: int = 0
    source: str = "labelled"
    repeats: int = 2

    def quality(self, config: Config) -> float:
        taste = TASTE if self.taste is None else self.taste
        return 0.4 + sum(taste.get(f"{k}={v}", 0.0) for k, v in config.items())


TASTE = {"embed.model=minilm-int8": 0.1, "chunk.tokens=64": 0.05, "rerank.model=maxsim": 0.08}
QUERY_MS = {"static": 0.1, "minilm-int8": 4.0}
RERANK_MS = {"none": 0.0, "bm25": 0.3, "maxsim": 20.0}
TIMED, QUERIES, PSEUDO_QUERIES = 50, 200, 300
BUSY_MS = 5.0
"""What surrounds a timed query."""


def build_seconds(config: Config) -> dict[str, float]:
    """Seconds of each build that the config needs, by the names of ``schema.BUILDS``."""
    many = 256 / int(config["chunk.tokens"])
    seconds = {"chunk": 1.0 * many}
    if config["retrieve.mode"] != "lexical":
        seconds["embed"] = (50.0 if config["embed.model"] == "minilm-int8" else 2.0) * many
        seconds["index"] = (3.0 if config["index.kind"] == "hnsw" else 0.25) * many
    if config["retrieve.mode"] != "dense" or config["rerank.model"] == "bm25":
        seconds["lexical"] = 1.5 * many
    if config["rerank.model"] == "maxsim":
        seconds["rerank"] = 50.0 * many
    return seconds


def start_seconds(config: Config) -> float:
    return 0.5 + (1.0 if config.get("embed.model") == "minilm-int8" else 0.0)


def rows(made: Made, configs: Sequence[Config] | None = None) -> Iterator[dict[str, Any]]:
    """The workload's rows."""
    rng = np.random.default_rng([made.seed, sum(map(ord, made.name))])
    for config in grid() if configs is None else configs:
        judged = _judged(made, config, rng)
        for repeat in range(made.repeats):
            yield {
                **_identity(made, config, repeat),
                **judged,
                **_times(made, config, rng),
                **_builds(config),
            }


def table(*workloads: Made) -> polars.DataFrame:
    """The workloads as a table that was written and read."""
    with tempfile.TemporaryDirectory() as folder:
        for made in workloads:
            write_table(rows(made), Path(folder) / f"{made.name}.parquet")
        return read_table(Path(folder))


def _identity(made: Made, config: Config, repeat: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "workload": made.name,
        "corpus": made.corpus or made.name,
        "family": made.family,
        "workload_hash": made.name,
        "query_source": made.source,
        "part": "quality",
        "config": config.canonical,
        "repeat": repeat,
        "measured_at": 1000.0 * repeat,
        "hardware": "machine",
        "documents": 1000,
        "queries": QUERIES,
        "timed_queries": TIMED,
        "chunks": 1000 * 256 // int(config["chunk.tokens"]),
        "chunk_tokens": 0.8 * int(config["chunk.tokens"]),
        **{f"feature.{f.name}": made.feature for f in FEATURES if f.scale == "linear"},
        **{f"feature.{f.name}": math.exp(made.feature) for f in FEATURES if f.scale == "log"},
    }


def _judged(made: Made, config: Config, rng: np.random.Generator) -> dict[str, Any]:
    """Quality, the same in every repeat; the whole is the mean of its halves."""
    judged: dict[str, Any] = {f"{PSEUDO}queries": PSEUDO_QUERIES, "ann_recall_at_10": 1.0}
    for before in ("", PSEUDO):
        for metric in RANKING_METRICS:
            halves = made.quality(config) + made.noise * rng.standard_normal(2)
            judged[f"{before}{metric}"] = halves.mean()
            judged |= {f"{before}{metric}.{h}": v for h, v in zip(HALVES, halves, strict=True)}
    tokens = 0.8 * int(config["chunk.tokens"])
    judged["ndcg_at_10.se"] = made.noise / math.sqrt(2)
    return judged | {f"context_tokens_{n}": n * tokens for n in CONTEXTS}


def _times(made: Made, config: Config, rng: np.random.Generator) -> dict[str, Any]:
    embed = QUERY_MS.get(str(config.get("embed.model")), 0.0)
    rerank = RERANK_MS[str(config["rerank.model"])]
    stretch = math.exp(made.jitter * rng.standard_normal())
    total = (embed + 0.5 + rerank) * stretch
    spent = TIMED * (total + BUSY_MS) / 1000
    return {
        "latency_p50_ms": total,
        "latency_p95_ms": 1.5 * total,
        "retrieve_p50_ms": 0.5 * stretch,
        "retrieve_p95_ms": 0.75 * stretch,
        "query_s": spent,
        "start_s": start_seconds(config),
        "memory_mb": 20.0 + 5 * embed + rerank,
        "cpu_pressure": 0.01,
        "busy": False,
    }


def _builds(config: Config) -> dict[str, Any]:
    """What each build takes with nothing built before; the pass of the token vectors gives those of
    the same model."""
    seconds = build_seconds(config)
    if "rerank" in seconds and config.get("embed.model") == "minilm-int8":
        seconds["embed"] = seconds["rerank"]
    return {f"build.{name}_s": value for name, value in seconds.items()}
