"""What choosing blindly costs: normalised regret per workload, SLO set and chooser.

    regret = (best - chosen) / (best - worst), over the configs that hold the SLOs

Choosers look at one half of the queries and the first repeat of times; what they chose is judged on
the other half and the last repeat, best and worst too; both halves take turns and the mean counts.
The best of a few hundred noisy values is better than any config is, so even choosing by all labels
of one half regrets something: read the others against that. A choice that misses an SLO by more
than ``TOLERANCE`` in the judging repeat counts as the worst, 1.

SLO sets are the same for every workload, relative to its own configs where scales differ, and do
not depend on quality. Workloads with labels are judged; a split leaves out those of the same corpus
or of the same family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.lessons.choosers import Chooser, Scene, landmark_columns
from benchmarks.lessons.landscapes import Landscapes

TOLERANCE = 0.1
LEAST_FEASIBLE = 5
"""A task needs as many configs that hold its SLOs."""

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Limit:
    """An upper bound on a metric: a number, or a quantile over the workload's configs."""

    metric: str
    bound: float = np.nan
    quantile: float = np.nan

    def value(self, metrics: np.ndarray) -> float:
        """The bound for a workload whose configs have these values of the metric."""
        if np.isnan(self.quantile):
            return self.bound
        return float(np.nanquantile(metrics, self.quantile))


_HALF = (Limit("latency_p95_ms", quantile=0.5), Limit("memory_mb", quantile=0.5))
SLO_SETS: Mapping[str, tuple[Limit, ...]] = {
    "none": (),
    "latency p95 ≤ 25 % quantile": (Limit("latency_p95_ms", quantile=0.25),),
    "latency p95 ≤ 50 % quantile": (Limit("latency_p95_ms", quantile=0.5),),
    "memory ≤ 25 % quantile": (Limit("memory_mb", quantile=0.25),),
    "context ≤ 500 tokens": (Limit("context_tokens", 500.0),),
    "context ≤ 1000 tokens": (Limit("context_tokens", 1000.0),),
    "latency, memory ≤ 50 %, context ≤ 1000": (*_HALF, Limit("context_tokens", 1000.0)),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a chooser did on one task. ``held``: share of its picks that hold the SLOs strictly when
    judged."""

    chooser: str
    workload: str
    corpus: str
    slos: str
    regret: float
    held: float


Split = Callable[[Landscapes, int], np.ndarray]
"""The rows to learn from when a row is the target."""


def leave_corpus_out(table: Landscapes, target: int) -> np.ndarray:
    return _without(table, target, [w.corpus for w in table.workloads])


def leave_family_out(table: Landscapes, target: int) -> np.ndarray:
    """Without workloads of the same family; also without those of the same corpus."""
    same_corpus = leave_corpus_out(table, target)
    same_family = _without(table, target, [w.family for w in table.workloads])
    return np.intersect1d(same_corpus, same_family)


def outcomes(
    table: Landscapes,
    choosers: Mapping[str, Chooser],
    default: int,
    split: Split = leave_corpus_out,
) -> list[Outcome]:
    """All choosers on all tasks of the labelled workloads that leave something to learn from."""
    landmarks = landmark_columns(table, default)
    return [
        outcome
        for target, about in enumerate(table.workloads)
        if about.labelled and len(split(table, target))
        for slos, limits in SLO_SETS.items()
        for outcome in _task(table, choosers, default, landmarks, split, target, slos, limits)
    ]


def _task(
    table: Landscapes,
    choosers: Mapping[str, Chooser],
    default: int,
    landmarks: Sequence[int],
    split: Split,
    target: int,
    slos: str,
    limits: Sequence[Limit],
) -> Iterator[Outcome]:
    bounds = [(m.metric, m.value(table.chosen_by[m.metric][target])) for m in limits]
    feasible = _within(table.chosen_by, table.real[""], target, bounds)
    strict = _within(table.judged_by, table.real[""], target, bounds)
    if min(len(feasible), len(strict)) < LEAST_FEASIBLE:
        return
    loose = _within(
        table.judged_by, table.real[""], target, [(m, b * (1 + TOLERANCE)) for m, b in bounds]
    )
    scene = partial(Scene, table, target, split(table, target), feasible)
    for name, chooser in choosers.items():
        about = table.workloads[target]
        regrets, held = [], []
        for half, other in ((".a", ".b"), (".b", ".a")):
            picks = chooser(scene(half=half, default=default, landmarks=landmarks))
            lost = normalised_regret(table.real[other][target], strict, picks)
            regrets.append(np.where(np.isin(picks, loose), lost, 1.0).mean())
            held.append(np.isin(picks, strict).mean())
        means = float(np.mean(regrets)), float(np.mean(held))
        yield Outcome(name, about.name, about.corpus, slos, *means)


def normalised_regret(quality: np.ndarray, feasible: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """Regret of each pick, 0..1.

    Args:
        quality: of every config, ``(configs,)``.
        feasible, picks: columns.
    """
    best, worst = quality[feasible].max(), quality[feasible].min()
    lost: np.ndarray = np.clip((best - quality[picks]) / max(best - worst, 1e-12), 0.0, 1.0)
    return lost


def interval(
    found: Sequence[Outcome],
    statistic: Callable[[np.ndarray], float],
    rng: np.random.Generator,
    level: float = 0.95,
) -> tuple[float, float]:
    """Bootstrap interval of a statistic of the regrets; whole corpora are drawn."""
    by_corpus: dict[str, list[float]] = {}
    for outcome in found:
        by_corpus.setdefault(outcome.corpus, []).append(outcome.regret)
    pools = [np.array(v) for v in by_corpus.values()]
    drawn = [
        statistic(np.concatenate([pools[i] for i in rng.integers(len(pools), size=len(pools))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _within(
    metrics: Mapping[str, np.ndarray],
    quality: np.ndarray,
    target: int,
    bounds: Sequence[tuple[str, float]],
) -> np.ndarray:
    """Columns that the workload has and that hold the bounds."""
    holds = np.isfinite(quality[target])
    for metric, bound in bounds:
        holds &= np.nan_to_num(metrics[metric][target], nan=np.inf) <= bound
    return np.flatnonzero(holds)


def _without(table: Landscapes, target: int, kinds: Sequence[str]) -> np.ndarray:
    return np.array([i for i, kind in enumerate(kinds) if kind != kinds[target]], dtype=np.intp)
