"""Configs and workloads as rows of numbers that trees read: one schema for every model.

Every column is named once, in a fixed order, and their hash goes with a model (``models.files``):
one of another schema is refused instead of being fed the wrong columns. Numbers of which ratios
matter are logarithms. What is unknown, or is a knob that is not active, is NaN, and trees learn
where that belongs. A choice is one column per value that is known here; another value leaves all of
them 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autorag.features import FEATURES, WorkloadFeatures
from autorag.pipeline.embedders import EMBEDDERS
from autorag.pipeline.index import KINDS
from autorag.pipeline.space import BUILT_IN_RERANKERS, FULL
from models.analytic.columns import Floats

Matrix = NDArray[np.float32]

LOGS = (
    "chunk.tokens",
    "retrieve.k",
    "rerank.depth",
    "generate.contexts",
    "generate.max_tokens",
    "index.nlist",
    "index.pq_m",
    "index.hnsw_m",
    "index.ef_construction",
    "retrieve.nprobe",
    "retrieve.ef_search",
    "retrieve.refine",
    "threads.embed",
    "threads.retrieve",
    "threads.rerank",
    "threads.generate",
)
"""Knobs that are read as logarithms."""

PLAIN = ("chunk.overlap", "rerank.weight", "cache.mb")
"""Knobs that are read as they are."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "chunk.splitter": ("fixed", "sentence", "recursive", "content_defined"),
    "embed.model": tuple(EMBEDDERS),
    "index.kind": tuple(KINDS),
    "rerank.model": BUILT_IN_RERANKERS[1:],
}

DENSE_WEIGHT = "dense weight"
"""1 for dense search, 0 for lexical search, ``retrieve.alpha`` between them."""

DIMENSIONS = "dimensions"
"""Logarithm of the vectors' length."""

KNOB_COLUMNS: tuple[str, ...] = (
    *LOGS,
    *PLAIN,
    DENSE_WEIGHT,
    DIMENSIONS,
    *(f"{knob}={value}" for knob, values in CHOICES.items() for value in values),
)

_FIRST_CHOICE = len(LOGS) + len(PLAIN) + 2
_WEIGHTS = {"dense": 1.0, "lexical": 0.0}


def encode_configs(configs: Sequence[Mapping[str, Any]]) -> Matrix:
    """Configs as ``(n, len(KNOB_COLUMNS))``."""
    numbers = [_numbers(config) for config in configs]
    flags = [_flags(config) for config in configs]
    columns = len(KNOB_COLUMNS)
    rows = [[*n, *f] for n, f in zip(numbers, flags, strict=True)]
    return np.array(rows, dtype=np.float32).reshape(len(configs), columns)


def encode_workload(features: WorkloadFeatures) -> Matrix:
    """A workload as ``(len(FEATURES),)``, in their order; logarithms where ratios matter."""
    scales = [f.scale for f in FEATURES]
    row = [_scaled(v, log=s == "log") for v, s in zip(features.vector(), scales, strict=True)]
    return np.array(row, dtype=np.float32)


def choices_in(rows: Matrix) -> frozenset[str]:
    """The columns of choices that some of the rows ``(n, columns)`` have."""
    most = np.max(rows[:, _FIRST_CHOICE:], axis=0, initial=0.0)
    names = KNOB_COLUMNS[_FIRST_CHOICE:]
    return frozenset(name for name, value in zip(names, most, strict=True) if value > 0)


CHOICE_FLAGS: tuple[str, ...] = (*KNOB_COLUMNS[_FIRST_CHOICE:], "dense", "lexical")
"""What :func:`choice_flags` tells of a config."""


def choice_flags(rows: Matrix) -> Floats:
    """What runs in configs ``(n, columns)``: 0 or 1, ``(n, len(CHOICE_FLAGS))``."""
    weight = rows[:, [KNOB_COLUMNS.index(DENSE_WEIGHT)]]
    return np.hstack([rows[:, _FIRST_CHOICE:], weight == 1.0, weight == 0.0]).astype(np.float64)


def only_choices(rows: Matrix, known: Collection[str]) -> NDArray[np.bool_]:
    """Whether rows ``(n, columns)`` have no choice but these, ``(n,)``."""
    other = np.array([name not in known for name in KNOB_COLUMNS[_FIRST_CHOICE:]])
    return np.asarray(rows[:, _FIRST_CHOICE:] @ other == 0.0)


def _numbers(config: Mapping[str, Any]) -> list[float]:
    logs = [_log(config.get(knob)) for knob in LOGS]
    plain = [float(config.get(knob, math.nan)) for knob in PLAIN]
    mode = config["retrieve.mode"]
    weight = _WEIGHTS[mode] if mode in _WEIGHTS else float(config["retrieve.alpha"])
    return [*logs, *plain, weight, _log(_dimensions(config))]


def _dimensions(config: Mapping[str, Any]) -> float | None:
    dim, spec = config.get("embed.dim", FULL), EMBEDDERS.get(config.get("embed.model", ""))
    if dim != FULL:
        return float(dim)
    return None if spec is None else float(spec.dim)


def _flags(config: Mapping[str, Any]) -> list[float]:
    return [
        float(config.get(knob) == value) for knob, values in CHOICES.items() for value in values
    ]


def _log(value: float | None) -> float:
    return math.nan if value is None or value <= 0 else math.log(value)


def _scaled(value: float | None, *, log: bool) -> float:
    if value is None:
        return math.nan
    return math.log1p(value) if log else value
