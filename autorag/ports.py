"""The seams: what the core needs from the outside, with fakes in ``tests/fakes.py``.

A *measurer* runs a config on queries, a *trial log* remembers trials, a *cost model* predicts the
seconds and bytes a config will take, a *prior* what is believed of its metrics, a *clock* tells
time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from autorag.racing import Race
from autorag.space import Config

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total) while a measurement runs."""

LOST = "lost"
"""Key of a measurement's conditions under which stands why it ended early, as a race was lost."""

SEEN = "seen"
"""Key under which stands the share of the queries that were asked, where not all were."""

TrialState = Literal["running", "finished", "failed", "skipped", "censored"]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """One query measured once under one config.

    Attributes:
        metrics: per-query metrics, by the names of ``autorag.metrics`` where they are means of
            these (``ndcg_at_10``, ...) plus ``context_tokens``.
        stage_ms: milliseconds per query stage; ``ttft`` and ``generate`` when generated.
        chunk_ids: ids of the ranked contexts, hex, best first.
        scores: their scores, same order.
        prompt: address of the prompt, when generated.
    """

    query: str
    metrics: Mapping[str, float]
    stage_ms: Mapping[str, float]
    chunk_ids: Sequence[str] = ()
    scores: Sequence[float] = ()
    prompt: str | None = None


@dataclass(frozen=True)
class Measurement:
    """One config measured on one workload.

    Attributes:
        metrics: flat, metric name → number; metrics that do not apply are absent.
        stages: query stage → ``{"p50_ms", "p95_ms"}``.
        reused: build stages answered from the artifact store, in pipeline order.
        build_s: seconds per build stage that was not.
        queries: per query, of the repeat that the metrics come from.
        conditions: how it was measured (repeats, CPU pressure, threads, host).
    """

    metrics: Mapping[str, float]
    stages: Mapping[str, Mapping[str, float]]
    reused: Sequence[str]
    build_s: Mapping[str, float]
    queries: Sequence[QueryResult]
    conditions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """One config of a study, immutable once it is no longer ``running``.

    ``number`` counts from 0 (the default config). ``build_s`` and ``conditions`` are those of its
    measurement. ``reason`` says why it failed or was skipped.
    """

    number: int
    config: Config
    state: TrialState
    metrics: Mapping[str, float] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    reused: Sequence[str] = ()
    seconds: float = 0.0
    reason: str | None = None
    build_s: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether something else wanted the CPU while it was measured."""
        return bool(self.conditions.get("busy"))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a config will take: wall seconds and bytes of new artifacts."""

    seconds: float
    disk_bytes: float


class Measurer(Protocol):
    """Runs configs for real (or answers from a table of real runs)."""

    def measure(
        self,
        config: Config,
        queries: Sequence[str],
        *,
        generate: bool = False,
        deadline: float | None = None,
        progress: Progress | None = None,
        race: Race | None = None,
    ) -> Measurement:
        """Measure one config on these queries of its workload.

        Args:
            queries: query ids, in the order in which they are asked.
            generate: also generate answers, on a subsample.
            deadline: on the clock's ``monotonic``; past it the run is stopped.
            race: what the measurement may end early against. Then it is of the queries that were
                asked, and its condition ``LOST`` says why it ended. Who measures may not know how.

        Raises:
            MeasurementError: the config could not be measured.
            MeasurementCancelled: the deadline passed.
            UnreachableError: who measures is not there now, which says nothing about the config.
        """


class TrialLog(Protocol):
    """Remembers the trials of one study. Finished trials never change.

    A running trial belongs to the log that started it: once another process has discarded it, that
    log cannot end it, nor another one of the same number.
    """

    def trials(self) -> list[Trial]:
        """All trials in number order."""

    def start(self, number: int, config: Config) -> None:
        """Record that a trial runs now."""

    def finish(self, number: int, measurement: Measurement, seconds: float) -> None:
        """Record its result, all rows or none. One whose conditions have ``LOST`` is ``censored``
        for that reason."""

    def close(self, number: int, state: TrialState, reason: str, seconds: float) -> None:
        """Record that it ended without a result."""

    def discard(self, number: int) -> None:
        """Forget a trial that this log started and that still runs."""

    def discard_running(self) -> int:
        """Forget trials that a killed process left running; returns how many."""

    def query_results(self, number: int) -> list[QueryResult]:
        """The per-query results of a finished trial."""


class CostModel(Protocol):
    """Predicts what measuring a config takes, given the artifacts already built."""

    def estimate(self, config: Config, queries: int) -> Estimate: ...

    def observe(self, config: Config, measurement: Measurement) -> None:
        """Learn from a finished measurement."""


@dataclass(frozen=True)
class Belief:
    """What is believed of one metric at ``n`` configs before any is measured, on the metric's scale
    (``autorag.optimizer.scales``).

    Attributes:
        mean: ``(n,)``.
        factors: ways in which workloads differ from what is expected, each in its usual size,
            ``(n, r)``: their covariance is ``factors @ factors.T``.
        residual: standard deviation of what the factors do not explain.
        indirect: the same of a stand-in for the metric (measured on pseudo-queries) from the metric
            itself.
        trust: chance that the belief tells more than none would.
    """

    mean: NDArray[np.float64]
    factors: NDArray[np.float64]
    residual: float
    indirect: float
    trust: float

    def joined(self, more: Belief) -> Belief:
        """The same belief about further configs."""
        return replace(
            self,
            mean=np.concatenate([self.mean, more.mean]),
            factors=np.vstack([self.factors, more.factors]),
        )


class Prior(Protocol):
    """What models say of configs that nobody has run on this workload."""

    def believe(self, metric: str, configs: Sequence[Config]) -> Belief | None:
        """The belief about these configs; None where nothing is known of the metric."""


class Clock(Protocol):
    """Time, passed in so that tests own it."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, for durations."""

    def time(self) -> float:
        """Seconds since the epoch, for records."""


class SystemClock:
    """The real clock."""

    def monotonic(self) -> float:
        import time

        return time.monotonic()

    def time(self) -> float:
        import time

        return time.time()
