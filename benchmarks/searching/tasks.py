"""What is searched: a workload of the table, bounds, one half of its queries.

A search sees the ranking metrics of one half and the times of the first repeat, each time with
fresh noise; it is judged on the other half and the times of the last repeat, as they were recorded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from autorag.objective import Objective, Slo
from autorag.ports import Estimate, Measurement, Trial
from autorag.space import Config
from autorag.table.replay import Answers, Replay, ReplayClock, View
from benchmarks.lessons.regret import LEAST_FEASIBLE, SLO_SETS, TOLERANCE

QUERIES = 150
"""Queries that a trial is charged for."""

HALVES = ("a", "b")
QUALITY = "ndcg_at_10"


@dataclass(frozen=True)
class Task:
    """One search.

    Attributes:
        objective: nDCG@10 under bounds.
        answers: what it sees.
        judged: config → metrics that it is judged by.
    """

    workload: str
    corpus: str
    family: str
    labelled: bool
    slos: str
    half: str
    objective: Objective
    default: Config
    answers: Answers
    judged: Mapping[Config, Mapping[str, float]]

    @property
    def configs(self) -> Sequence[Config]:
        return self.answers.measured

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """Best and worst quality of what holds the bounds when judged."""
        some = [m[QUALITY] for m in self.judged.values() if self.objective.feasible(m)]
        return max(some), min(some)

    def regret(self, config: Config) -> float:
        """Normalised; 1 for a config that misses a bound by more than ``TOLERANCE``."""
        metrics = self.judged[config]
        slos = self.objective.slos
        loose = replace(
            self.objective, slos=tuple(replace(s, bound=s.bound * (1 + TOLERANCE)) for s in slos)
        )
        if not loose.feasible(metrics):
            return 1.0
        best, worst = self._ends
        return float(np.clip((best - metrics[QUALITY]) / max(best - worst, 1e-12), 0.0, 1.0))

    def holds(self, config: Config) -> bool:
        """Whether it holds every bound when judged."""
        return self.objective.feasible(self.judged[config])


def tasks(frame: pl.DataFrame, names: Sequence[str], *, pseudo: bool = False) -> Iterator[Task]:
    """Every workload, SLO set and half, where enough configs hold the bounds.

    Args:
        pseudo: searches see pseudo-queries only, and all of them; judged on labelled ones.
    """
    for name in names:
        rows = frame.filter(workload=name, part="quality").filter(pl.col("query_s").is_not_null())
        first = rows.filter(pl.col("repeat") == pl.col("repeat").min())
        machine = first["hardware"][0]
        one = rows.filter(hardware=machine)
        about = first.row(0, named=True)
        last = int(one["repeat"].max())  # type: ignore[arg-type]
        for half, other in zip(HALVES, reversed(HALVES), strict=True):
            view = View(repeat=int(first["repeat"][0]), half=half)  # type: ignore[arg-type]
            seen = Answers.of(one, name, replace(view, half=None, pseudo=True) if pseudo else view)
            told = Answers.of(one, name, replace(view, repeat=last, half=other))
            judged = {c: told.by_config[c].metrics for c in seen.measured if c in told.by_config}
            configs = tuple(c for c in seen.measured if c in judged and _whole(seen, c))
            seen = replace(seen, measured=configs)
            judged = {c: judged[c] for c in configs}
            for slos, limits in SLO_SETS.items():
                bounds = []
                for m in limits:
                    values = np.array([seen.by_config[c].metrics[m.metric] for c in configs])
                    bounds.append(Slo(m.metric, True, m.value(values)))
                objective = Objective(QUALITY, "max", tuple(bounds))
                held = sum(objective.feasible(m) for m in judged.values())
                if held >= LEAST_FEASIBLE:
                    yield Task(
                        name,
                        about["corpus"],
                        about["family"],
                        about["query_source"] == "labelled",
                        slos,
                        half,
                        objective,
                        _default(configs),
                        seen,
                        judged,
                    )


def _whole(answers: Answers, config: Config) -> bool:
    metrics = answers.by_config[config].metrics
    return all(m in metrics for m in (QUALITY, "latency_p95_ms", "memory_mb", "context_tokens"))


def _default(configs: Sequence[Config]) -> Config:
    from api.wiring import make_space

    default = make_space().default()
    return default if default in configs else min(configs, key=lambda c: len(default.changed(c)))


class NoisyReplay:
    """A replay whose times differ from measurement to measurement as they do on the machine.

    Args:
        noise: standard deviation of the logarithm of a time.
    """

    def __init__(self, answers: Answers, clock: ReplayClock, noise: float, seed: int) -> None:
        self._replay = Replay(answers, clock)
        self._noise = noise
        self._rng = np.random.default_rng(seed)

    def measure(self, config: Config) -> Measurement:
        """Metrics of a config, with fresh noise in its times."""
        found = self._replay.measure(config, [str(i) for i in range(QUERIES)])
        factor = math.exp(self._noise * float(self._rng.standard_normal()))
        times = {k: v * factor for k, v in found.metrics.items() if k.endswith("_ms")}
        return replace(found, metrics={**found.metrics, **times})


class ReplayCosts:
    """Expected seconds: those recorded, off by a factor that every build keeps throughout a study.

    Args:
        wrong: standard deviation of its logarithm.
    """

    def __init__(self, answers: Answers, seed: int, wrong: float = 0.4) -> None:
        self._answers = answers
        rng = np.random.default_rng([seed, 1])
        self._prices = {
            artifact: price * math.exp(wrong * float(rng.standard_normal()))
            for artifact, price in answers.prices.items()
        }
        self._built: set[object] = set()

    def estimate(self, config: Config, queries: int) -> Estimate:
        answer = self._answers.by_config[config]
        missing = sum(self._prices[a] for a in answer.builds if a not in self._built)
        return Estimate(answer.start_s + missing + answer.query_s * queries, 0.0)

    def observe(self, config: Config, measurement: Measurement) -> None:
        self._built.update(self._answers.by_config[config].builds)


def as_trial(number: int, config: Config, found: Measurement, seconds: float) -> Trial:
    """A finished trial."""
    return Trial(number, config, "finished", found.metrics, seconds=seconds)
