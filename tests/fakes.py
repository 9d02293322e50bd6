"""A fake of each port that the study loop needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from autorag.errors import MeasurementCancelled, StoreError
from autorag.ports import LOST, Estimate, Measurement, Progress, QueryResult, Trial, TrialState
from autorag.racing import Race
from autorag.space import Config

Answer = Callable[[Config], Mapping[str, float]]
"""The metrics of a config; may raise ``MeasurementError``."""

Seconds = Callable[[Config], float]


@dataclass
class ManualClock:
    """Time that passes only when it is told to; ``now`` is seconds since the epoch too."""

    now: float = 1_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeMeasurer:
    """Answers from a function of the config; every query gets the same metrics.

    ``asked`` remembers (config, queries, generate) of every call.
    """

    answer: Answer
    clock: ManualClock = field(default_factory=ManualClock)
    seconds: Seconds = lambda config: 0.0
    asked: list[tuple[Config, tuple[str, ...], bool]] = field(default_factory=list)

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
        self.asked.append((config, tuple(queries), generate))
        ends = self.clock.now + self.seconds(config)
        if deadline is not None and ends > deadline:
            self.clock.now = deadline
            raise MeasurementCancelled("the deadline passed")
        self.clock.now = ends
        metrics = dict(self.answer(config))
        results = [QueryResult(q, metrics, {"retrieve": 1.0}) for q in queries]
        return Measurement(metrics, {"retrieve": {"p50_ms": 1.0, "p95_ms": 1.0}}, (), {}, results)


@dataclass
class MemoryTrialLog:
    """Trials in memory; ``again`` makes another process's log of the same study."""

    _trials: dict[int, Trial] = field(default_factory=dict)
    _queries: dict[int, list[QueryResult]] = field(default_factory=dict)
    _runners: dict[int, object] = field(default_factory=dict)

    def again(self) -> MemoryTrialLog:
        return MemoryTrialLog(self._trials, self._queries, self._runners)

    def trials(self) -> list[Trial]:
        return [self._trials[n] for n in sorted(self._trials)]

    def start(self, number: int, config: Config) -> None:
        if number in self._trials:
            raise StoreError(f"trial {number} is there already")
        self._trials[number] = Trial(number, config, "running")
        self._runners[number] = self

    def finish(self, number: int, measurement: Measurement, seconds: float) -> None:
        config, m = self._running(number).config, measurement
        if len({q.query for q in m.queries}) < len(m.queries):
            raise StoreError(f"trial {number} could not be recorded: a query is there twice")
        lost = m.conditions.get(LOST)
        self._trials[number] = Trial(
            number,
            config,
            "finished" if lost is None else "censored",
            m.metrics,
            m.stages,
            m.reused,
            seconds,
            lost,
            build_s=m.build_s,
            conditions=m.conditions,
        )
        self._queries[number] = list(m.queries)

    def close(self, number: int, state: TrialState, reason: str, seconds: float) -> None:
        running = self._running(number)
        self._trials[number] = replace(running, state=state, reason=reason, seconds=seconds)

    def discard(self, number: int) -> None:
        if self._is_mine(number):
            del self._trials[number]

    def discard_running(self) -> int:
        running = [t.number for t in self.trials() if t.state == "running"]
        for number in running:
            del self._trials[number]
        return len(running)

    def query_results(self, number: int) -> list[QueryResult]:
        return self._queries.get(number, [])

    def _running(self, number: int) -> Trial:
        if not self._is_mine(number):
            raise StoreError(f"trial {number} is not running, or another process runs it")
        return self._trials[number]

    def _is_mine(self, number: int) -> bool:
        running = number in self._trials and self._trials[number].state == "running"
        return running and self._runners[number] is self


@dataclass
class FakeCosts:
    """Expects what a function says; ``observed`` remembers what it was told."""

    seconds: Seconds = lambda config: 0.0
    observed: list[Config] = field(default_factory=list)

    def estimate(self, config: Config, queries: int) -> Estimate:
        return Estimate(self.seconds(config), 0.0)

    def observe(self, config: Config, measurement: Measurement) -> None:
        self.observed.append(config)
