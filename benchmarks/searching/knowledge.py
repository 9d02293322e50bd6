"""What strategies may know of a task: models that have not seen its corpus (or its family)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from autorag.hardware import Identity
from autorag.ports import Prior
from autorag.table.files import row_features, row_profile
from benchmarks.accuracy.choices import Studies
from benchmarks.searching.tasks import Task
from models.encoding import choices_in
from models.examples import Example, table_examples
from models.predictor import Task as Asked
from models.prior import LearnedPrior
from models.training import ModelSet, residuals


def models_of(known: Sequence[Example], seed: int) -> ModelSet:
    """Models of these workloads, with residuals on each corpus of them that is left out."""
    studies = Studies(known, seed)
    quality, ratios = studies.models()
    rows = np.vstack([t.knobs for e in known for t in e.timed])
    return ModelSet(quality, ratios, residuals(studies.held()), None, choices_in(rows))


def models_without(
    frame: pl.DataFrame, machines: Mapping[str, Identity], workload: str, seed: int = 0
) -> ModelSet:
    """Models that have not seen the corpus of a workload."""
    corpus = frame.filter(workload=workload)["corpus"][0]
    return models_of([e for e in table_examples(frame, machines) if e.corpus != corpus], seed)


FEWEST_CORPORA = 4
"""That were timed, to learn from."""


class Knowledge:
    """Models without a workload's corpus, or also without its family, or without all that have more
    than half of its tokens.

    Args:
        by: ``"corpus"``, ``"family"`` or ``"size"``: what is left out.
    """

    def __init__(
        self, frame: pl.DataFrame, machines: Mapping[str, Identity], by: str, seed: int
    ) -> None:
        self._frame = frame
        self._machines = machines
        self._by = by
        self._seed = seed
        self._examples = table_examples(frame, machines)
        self._sets: dict[str, ModelSet] = {}

    def prior(self, task: Task) -> Prior:
        """What models believe of a task."""
        rows = self._frame.filter(workload=task.workload, part="quality")
        row = rows.filter(pl.col("query_s").is_not_null()).sort("repeat").row(0, named=True)
        asked = Asked(row_features(row), row_profile(row, self._machines))
        return LearnedPrior(self.models(task), asked)

    def models(self, task: Task) -> ModelSet:
        """Models that have not seen it, with residuals that they have not seen either."""
        if task.workload not in self._sets:
            self._sets[task.workload] = models_of(self._others(task), self._seed)
        return self._sets[task.workload]

    def enough(self, task: Task) -> bool:
        """Whether enough is left to learn from: of a small workload hardly any is half as large."""
        return (
            self._by != "size"
            or len({e.corpus for e in self._others(task) if e.timed}) >= FEWEST_CORPORA
        )

    def _others(self, task: Task) -> Sequence[Example]:
        others = [e for e in self._examples if e.corpus != task.corpus]
        if self._by == "family":
            return [e for e in others if e.family != task.family]
        if self._by == "size":
            own = next(e for e in self._examples if e.workload == task.workload)
            return [e for e in others if 2 * _tokens(e) <= _tokens(own)]
        return others


def _tokens(example: Example) -> float:
    return float(example.features.corpus.tokens or 0.0)
