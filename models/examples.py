"""What models learn from: workloads whose configs were measured, as arrays.

An example is one workload of the measured table or of the store. Its quality stands once per
config, since it is deterministic; its times stand once per config, machine and repeat, beside what
the analytic model predicts there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autorag.features import WorkloadFeatures
from autorag.hardware import Identity
from autorag.table.files import row_features, row_profile
from autorag.table.schema import CONTEXTS, PSEUDO
from models.analytic.columns import Floats
from models.analytic.knobs import Knobs
from models.analytic.shape import WorkloadShape
from models.analytic.stages import AnalyticModel, Predictions
from models.encoding import Matrix, encode_configs, encode_workload
from models.ratios import CONTEXT_TOKENS, TIMES
from models.recall import ANN_RECALL, Searched, approximate, recall_rows

if TYPE_CHECKING:
    import polars

QUALITY = "ndcg_at_10"
MEMORY = "memory_mb"
MEASURED = (QUALITY, *TIMES, MEMORY)


@dataclass(frozen=True, slots=True)
class Timed:
    """Times of configs on one machine, in one repeat.

    Attributes:
        knobs: ``encode_configs``, ``(n, knobs)``.
        measured: metric → value ``(n,)``, NaN where it was not measured; nDCG@10, times, memory
            and context tokens.
        measured_at: seconds since the epoch, ``(n,)``.
    """

    machine: str
    configs: tuple[Mapping[str, Any], ...]
    knobs: Matrix
    physics: Predictions
    measured: Mapping[str, Floats]
    measured_at: Floats

    def take(self, rows: NDArray[np.intp]) -> Timed:
        """Some of the configs, by index."""
        return Timed(
            self.machine,
            tuple(self.configs[i] for i in rows),
            self.knobs[rows],
            self.physics.take(rows),
            {metric: values[rows] for metric, values in self.measured.items()},
            self.measured_at[rows],
        )


@dataclass(frozen=True, slots=True)
class Example:
    """One workload.

    Attributes:
        labelled: its queries are real; else they are sentences held out of its documents.
        configs: those whose quality is known; ``knobs`` are theirs, ``(n, knobs)``.
        quality: nDCG@10 ``(n,)``.
        halves: the same on two halves of the queries, ``(2, n)``.
        pseudo: the same on pseudo-queries; NaN where unknown.
    """

    workload: str
    corpus: str
    family: str
    labelled: bool
    features: WorkloadFeatures
    configs: tuple[Mapping[str, Any], ...]
    knobs: Matrix
    quality: Floats
    halves: Floats
    pseudo: Floats
    timed: tuple[Timed, ...]

    def take(self, rows: NDArray[np.intp]) -> Example:
        """With the quality of some of its configs, by index."""
        return replace(
            self,
            configs=tuple(self.configs[i] for i in rows),
            knobs=self.knobs[rows],
            quality=self.quality[rows],
            halves=self.halves[:, rows],
            pseudo=self.pseudo[rows],
        )

    @property
    def described(self) -> Matrix:
        """Its features as models read them."""
        return encode_workload(self.features)


def table_examples(table: polars.DataFrame, machines: Mapping[str, Identity]) -> list[Example]:
    """The workloads of the quality part of a measured table."""
    some = table.filter(part="quality").sort("workload", "config", "repeat")
    return [_example(rows, machines) for _, rows in _grouped(some, "workload")]


def table_searches(table: polars.DataFrame) -> list[Searched]:
    """Searches in approximate indexes, of all parts of a measured table, a workload after the
    other. They are deterministic but for graphs, so each config counts once."""
    import polars as pl

    some = table.filter(pl.col(ANN_RECALL).is_not_null()).sort("workload", "config", "repeat")
    once = some.unique(["workload", "config"], keep="first", maintain_order=True)
    return [
        found for _, rows in _grouped(once, "workload") if (found := _searched(rows)) is not None
    ]


def _searched(rows: polars.DataFrame) -> Searched | None:
    first = rows.row(0, named=True)
    knobs = Knobs.of(_configs(rows))
    some = np.flatnonzero(approximate(knobs))
    if not some.size:
        return None
    chunks, recall = (_column(rows, name)[some] for name in ("chunks", ANN_RECALL))
    described = recall_rows(knobs.take(some), chunks, row_features(first))
    return Searched(first["corpus"], described, recall)


def taken_until(examples: Iterable[Example], moment: float) -> list[Example]:
    """Examples with the times that were taken until a moment, in seconds since the epoch. Those
    that have only later ones are left out; those without any cannot be told and stay."""
    found = []
    for example in examples:
        kept = _taken(example, moment, later=False)
        if kept.timed or not example.timed:
            found.append(kept)
    return found


def taken_after(examples: Iterable[Example], moment: float) -> list[Example]:
    """Examples with the times that were taken later."""
    found = (_taken(example, moment, later=True) for example in examples)
    return [example for example in found if example.timed]


def _taken(example: Example, moment: float, *, later: bool) -> Example:
    """With the configs that were timed then, and those that never were."""
    some = [(t, np.flatnonzero((t.measured_at > moment) == later)) for t in example.timed]
    kept = tuple(t.take(rows) for t, rows in some if rows.size)
    timed, of_then = ({k.tobytes() for t in of for k in t.knobs} for of in (example.timed, kept))
    names = [k.tobytes() for k in example.knobs]
    rows = np.array([i for i, k in enumerate(names) if k in of_then or k not in timed], np.intp)
    return replace(example.take(rows), timed=kept)


def _grouped(frame: polars.DataFrame, *by: str) -> Iterator[tuple[Any, polars.DataFrame]]:
    yield from frame.group_by(*by, maintain_order=True)


def _example(rows: polars.DataFrame, machines: Mapping[str, Identity]) -> Example:
    import polars as pl

    once = rows.unique("config", keep="first", maintain_order=True)
    first = once.row(0, named=True)
    features = row_features(first)
    shape = WorkloadShape.from_features(features)
    configs = _configs(once)
    timed = rows.filter(pl.col("query_s").is_not_null())
    return Example(
        first["workload"],
        first["corpus"],
        first["family"],
        first["query_source"] == "labelled",
        features,
        configs,
        encode_configs(configs),
        _column(once, QUALITY),
        np.stack([_column(once, f"{QUALITY}.{half}") for half in "ab"]),
        _column(once, f"{PSEUDO}{QUALITY}"),
        tuple(_timed(some, machines, shape) for _, some in _grouped(timed, "hardware", "repeat")),
    )


def _timed(rows: polars.DataFrame, machines: Mapping[str, Identity], shape: WorkloadShape) -> Timed:
    first = rows.row(0, named=True)
    configs = _configs(rows)
    physics = AnalyticModel(row_profile(first, machines)).predict(Knobs.of(configs), shape)
    measured = {metric: _column(rows, metric) for metric in MEASURED}
    measured[CONTEXT_TOKENS] = _context_tokens(rows, configs)
    moments = _column(rows, "measured_at")
    return Timed(first["hardware"], configs, encode_configs(configs), physics, measured, moments)


def _configs(rows: polars.DataFrame) -> tuple[Mapping[str, Any], ...]:
    return tuple(json.loads(config) for config in rows["config"])


def _column(rows: polars.DataFrame, name: str) -> Floats:
    import polars as pl

    values = rows[name].cast(pl.Float64).fill_null(float("nan"))
    return np.asarray(values.to_numpy(), dtype=np.float64)


def _context_tokens(rows: polars.DataFrame, configs: Sequence[Mapping[str, Any]]) -> Floats:
    """Tokens of as many contexts as each config says."""
    counts = [config["generate.contexts"] for config in configs]
    known = {n: _column(rows, f"context_tokens_{n}") for n in set(counts) & set(CONTEXTS)}
    return np.array(
        [known[n][i] if n in known else np.nan for i, n in enumerate(counts)], dtype=np.float64
    )
