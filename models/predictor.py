"""Predictions of configs on a workload: physics, trees and landscapes put together.

A prediction is made for a pool of configs. Each has a value per metric, an interval from residuals
on left-out corpora, and together a chance of holding all bounds of an objective. Where it comes
from is said: ``same_workload`` when the workload is one that was learned from, ``transferred``
otherwise, ``analytic`` on a machine that was not learned from: its times are those that its profile
gives and what was learned on others, and no residual tells how far off that is.

Whether the workload is like those that were learned from is a question of its own: its
*strangeness* is the distance of its features to the nearest known corpus over the largest such
distance among the known ones, so that above 1 it is farther out than any of them is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Generic, Literal, Protocol, Self, TypeVar

import numpy as np

from autorag.errors import InputError
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.objective import Objective
from models.analytic.chunking import chunking
from models.analytic.columns import Floats, Rows
from models.analytic.shape import WorkloadShape
from models.analytic.stages import AnalyticModel, Predictions
from models.calibration import ADDED
from models.candidates import Candidates
from models.encoding import Matrix, encode_workload
from models.examples import MEMORY, QUALITY
from models.hosts import HostEffect
from models.quality import Quality, QualityPool
from models.ratios import time_rows
from models.recall import ANN_RECALL, EXACT, approximate
from models.training import HEADS, TOLD, ModelSet

Provenance = Literal["same_workload", "transferred", "analytic"]


@dataclass(frozen=True)
class Task:
    """A workload on a machine, and what is known of it by measurement.

    Attributes:
        landmarks: index of a candidate → nDCG@10 measured on it.
        labelled: landmarks were measured on real queries, not on pseudo-queries.
        host: what trials on the machine show that it adds, where models know nothing of it.
        corrections: metric → factor that live traffic shows (``models.correction``).
    """

    features: WorkloadFeatures
    profile: HardwareProfile
    landmarks: Mapping[int, float] = field(default_factory=dict)
    labelled: bool = True
    host: HostEffect | None = None
    corrections: Mapping[str, float] = field(default_factory=dict)


class Takes(Protocol):
    """Columns, of which some rows can be taken."""

    def take(self, rows: Rows, /) -> Self:
        """Some rows, by index."""


Columns = TypeVar("Columns", bound=Takes)


class Asked(Generic[Columns]):
    """What was asked of some rows, kept for who asks of some of them again.

    Args:
        make: makes columns for rows, by index.
    """

    def __init__(self, make: Callable[[Rows], Columns]) -> None:
        self._make = make
        self._known: list[tuple[Rows, Columns]] = []

    def at(self, rows: Rows) -> Columns:
        """Columns of these rows ``(k,)``, in their order."""
        for known, columns in self._known:
            places = np.searchsorted(known, rows)
            if (known.take(places, mode="clip") == rows).all():
                return columns.take(places)
        order = np.argsort(rows)
        columns = self._make(rows[order])
        self._known.append((rows[order], columns))
        return columns.take(np.argsort(order))


class Predictor:
    """Predicts for the configs of one pool.

    The landscapes are laid over the pool once; a task then takes a product of small matrices, the
    analytic model, and the trees of the targets that are asked for.
    """

    def __init__(self, models: ModelSet, pool: Candidates) -> None:
        self.models = models
        self.pool = pool
        self._laid = models.quality.over(pool.rows)

    def on(self, task: Task) -> Predicted:
        """Predictions of all configs on a task.

        Raises:
            InputError: the features lack what physics needs.
        """
        shape = WorkloadShape.from_features(task.features)
        features = encode_workload(task.features)
        quality = self._laid.predict(features, task.landmarks, labelled=task.labelled)
        return Predicted(self.models, self.pool, self._laid, task, shape, features, quality)


@dataclass(frozen=True)
class Predicted:
    """Predictions of the ``n`` configs of a pool on a task, made as they are asked for: physics and
    trees of a few configs take a fraction of what those of all would.

    What asks for times or memory raises ``InputError`` when the profile lacks a figure.
    """

    models: ModelSet
    pool: Candidates
    laid: QualityPool
    task: Task
    shape: WorkloadShape
    features: Matrix
    quality: Quality
    _seen: dict[str, Asked[Floats]] = field(default_factory=dict, repr=False)

    def metric(self, name: str, rows: Rows) -> Floats:
        """Values ``(k,)`` of a metric of ``TOLD`` or ``HEADS`` at these indices ``(k,)``."""
        if name == QUALITY:
            return self.quality.value.take(rows)
        if name not in (*TOLD, *HEADS):
            raise InputError(f"{name} is not predicted", key="metric", value=name)
        seen = self._seen.setdefault(name, Asked(partial(self._made, name)))
        return seen.at(rows)

    def physics(self, rows: Rows) -> Predictions:
        """What physics says of the configs at these indices ``(k,)``."""
        return self._analytic.at(rows)

    def _made(self, name: str, rows: Rows) -> Floats:
        if name == ANN_RECALL:
            return self._recall(rows)
        physics = self.physics(rows)
        if name == MEMORY:
            return physics.memory_mb
        knobs = self.pool.rows.take(rows, axis=0)
        trees = time_rows(knobs, self.features, physics)
        found = self.models.ratios.predict(knobs, trees, physics, name, self._host)
        return found * self.task.corrections.get(name, 1.0)

    @cached_property
    def chunks(self) -> Floats:
        """How many chunks each config is predicted to have, ``(n,)``."""
        return chunking(self.shape, self.pool.knobs.cut).chunks

    @cached_property
    def _analytic(self) -> Asked[Predictions]:
        model = AnalyticModel(self.task.profile)
        return Asked(lambda rows: model.predict(self.pool.knobs.take(rows), self.shape))

    @cached_property
    def _host(self) -> HostEffect | None:
        return self.task.host or self.models.ratios.hosts.get(self.task.profile.fingerprint)

    def _recall(self, rows: Rows) -> Floats:
        """Recall of approximate search, NaN where nothing was learned of it."""
        knobs, model = self.pool.knobs.take(rows), self.models.recall
        if model is None:
            return np.where(knobs.dense & ~approximate(knobs), EXACT, np.nan)
        return model.predict(knobs, self.chunks[rows], self.task.features)

    def interval(self, name: str, value: float) -> tuple[float, float]:
        """The ends of the interval of a predicted value."""
        if name == ANN_RECALL and value == EXACT:
            return EXACT, EXACT
        recall = self.models.recall
        known = recall.residuals if name == ANN_RECALL and recall else self.models.residuals
        low, high = known.interval(name)
        if name in ADDED:
            return value + low, value + high
        return value * float(np.exp(low)), value * float(np.exp(high))

    def chance(self, objective: Objective, rows: Rows) -> Floats:
        """The chance ``(k,)`` that configs hold all bounds, which are on metrics of ``TOLD``. That
        of recall is taken to be independent of the others, which hold together or not."""
        bounds = [slo for slo in objective.slos if slo.metric != ANN_RECALL]
        values = {name: self.metric(name, rows) for name in dict.fromkeys(b.metric for b in bounds)}
        together = self.models.residuals.chance(values, bounds, len(rows))
        asked = [slo for slo in objective.slos if slo.metric == ANN_RECALL]
        if not asked:
            return together
        recall, model = self.metric(ANN_RECALL, rows), self.models.recall
        if model is None:
            return np.where(recall == EXACT, together, 0.0)
        return together * model.chance(recall, asked)

    @cached_property
    def provenance(self) -> Provenance:
        machine = self.task.profile.fingerprint
        if self.task.host is None and not self.models.ratios.knows(machine):
            return "analytic"
        every = self.models.quality.features
        known = any(np.array_equal(f, self.features, equal_nan=True) for f in every)
        return "same_workload" if known else "transferred"

    @cached_property
    def strangeness(self) -> float:
        """How far the workload is from those that were learned from; above 1 it is unlike them."""
        return self.models.quality.strangeness(self.features)
