"""What is chosen without measuring, and what that regrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autorag.objective import Slo
from benchmarks.lessons.page import table
from benchmarks.lessons.regret import LEAST_FEASIBLE, SLO_SETS, TOLERANCE, normalised_regret
from models.analytic.columns import Floats
from models.calibration import Residuals
from models.examples import MEMORY, Example, Timed
from models.quality import QualityModel
from models.ranking import SURE
from models.ratios import RatioModel, time_rows
from models.training import (
    LEARNED,
    HeldOut,
    fit_landscapes,
    fit_ratios,
    landmark_rows,
    residuals,
    told,
)


class Studies:
    """Models of every corpus left out, and of every two: made once."""

    def __init__(self, examples: Sequence[Example], seed: int) -> None:
        self.examples = list(examples)
        self.seed = seed
        self.landscapes = fit_landscapes(examples, seed)
        self.corpora = list(dict.fromkeys(e.corpus for e in examples if e.timed))
        self._models: dict[frozenset[str], tuple[QualityModel, RatioModel]] = {}

    def models(self, *without: str) -> tuple[QualityModel, RatioModel]:
        """Models that have not seen these corpora."""
        name = frozenset(without)
        if name not in self._models:
            known = [e for e in self.examples if e.corpus not in name]
            landscapes = [x for x in self.landscapes if x.corpus not in name]
            ratios = fit_ratios([e for e in known if e.timed], LEARNED, self.seed)
            self._models[name] = QualityModel(tuple(landscapes)), ratios
        return self._models[name]

    def held(self, *without: str) -> Iterator[HeldOut]:
        """Predictions of the other corpora by models that have seen neither these nor them."""
        for e in self.examples:
            if e.corpus not in without:
                quality, ratios = self.models(e.corpus, *without)
                yield from (told(e, t, quality, ratios) for t in e.timed)


@dataclass(frozen=True, slots=True)
class Task:
    """A workload with bounds. ``feasible`` and ``strict`` hold them when chosen and when judged,
    ``loose`` within the tolerance when judged; indices of configs of its first timed repeat."""

    example: Example
    slos: str
    bounds: tuple[Slo, ...]
    feasible: np.ndarray
    strict: np.ndarray
    loose: np.ndarray


def tasks(example: Example) -> Iterator[Task]:
    chosen, judged = _repeats(example)
    for slos, limits in SLO_SETS.items():
        bounds = tuple(Slo(m.metric, True, m.value(chosen.measured[m.metric])) for m in limits)
        held = [_within(chosen, bounds, 0.0), _within(judged, bounds, 0.0)]
        if min(map(len, held)) >= LEAST_FEASIBLE:
            yield Task(example, slos, bounds, *held, _within(judged, bounds, TOLERANCE))


def _repeats(example: Example) -> tuple[Timed, Timed]:
    """The first repeat, and the last of the same configs on the same machine."""
    first = example.timed[0]
    same = [t for t in example.timed if t.machine == first.machine and t.configs == first.configs]
    return first, same[-1]


def _within(timed: Timed, bounds: Sequence[Slo], tolerance: float) -> np.ndarray:
    held = np.ones(len(timed.configs), dtype=bool)
    for slo in bounds:
        held &= timed.measured[slo.metric] <= slo.bound * (1 + tolerance)
    return np.flatnonzero(held)


def about_choices(studies: Studies) -> str:
    """Regrets of every way to choose, over all tasks."""
    found: dict[str, list[tuple[float, bool, str]]] = {}
    for example in studies.examples:
        if not example.timed or not example.labelled:
            continue
        quality, ratios = studies.models(example.corpus)
        known = residuals(studies.held(example.corpus))
        for task in tasks(example):
            for half in (0, 1):
                for name, pick in choices(task, half, quality, ratios, known):
                    lost = regret(task, 1 - half, pick)
                    found.setdefault(name, []).append((lost, pick in task.strict, example.corpus))
    rows = []
    for name, outcomes in found.items():
        lost = np.array([x[0] for x in outcomes])
        low, high = interval(lost, [x[2] for x in outcomes])
        figures = (np.median(lost), lost.mean(), lost.max(), np.mean([x[1] for x in outcomes]))
        rows.append((name, len(lost), *(f"{x:.3f}" for x in figures), f"{low:.3f}–{high:.3f}"))
    headings = ("chooser", "choices", "median", "mean", "worst", "SLOs held", "mean, 95 %")
    return table(headings, rows)


def choices(
    task: Task, half: int, quality: QualityModel, ratios: RatioModel, known: Residuals
) -> Iterator[tuple[str, int]]:
    """(chooser, config that it picks)."""
    example, timed = task.example, task.example.timed[0]
    pool = quality.over(timed.knobs)
    at = landmark_rows(timed.knobs)
    index = {str(c): i for i, c in enumerate(example.configs)}
    places = [index[str(timed.configs[i])] for i in at]
    marks = {i: float(example.halves[half][p]) for i, p in zip(at, places, strict=True)}
    pseudo = {i: float(example.pseudo[p]) for i, p in zip(at, places, strict=True)}
    corpora = [x.corpus for x in quality.landscapes]
    once = np.array([1.0 / corpora.count(c) for c in corpora])
    effects = {
        "portfolio": once @ pool.effects / once.sum(),
        "model": pool.predict(example.described).effect,
        "model, labelled landmarks": pool.predict(example.described, marks).effect,
        "model, pseudo landmarks": pool.predict(example.described, pseudo).effect,
    }
    rng = np.random.default_rng(0)
    yield "random, known", int(rng.choice(task.feasible))
    for name, effect in effects.items():
        yield f"{name}, known", int(task.feasible[effect[task.feasible].argmax()])
    inputs = time_rows(timed.knobs, example.described, timed.physics)
    host = ratios.hosts.get(timed.machine)
    predicted = {m: ratios.predict(timed.knobs, inputs, timed.physics, m, host) for m in LEARNED}
    predicted[MEMORY] = timed.physics.memory_mb
    chance = known.chance(predicted, task.bounds, len(timed.configs))
    sure = np.flatnonzero(chance >= SURE)
    for name, effect in effects.items():
        yield name, int(sure[effect[sure].argmax()] if sure.size else chance.argmax())


def regret(task: Task, half: int, pick: int) -> float:
    """Judged on the other half of the queries."""
    index = {str(c): i for i, c in enumerate(task.example.configs)}
    places = [index[str(c)] for c in task.example.timed[0].configs]
    quality = task.example.halves[half][places]
    if pick not in task.loose:
        return 1.0
    return float(normalised_regret(quality, task.strict, np.array([pick]))[0])


def interval(values: Floats, corpora: Sequence[str], resamples: int = 2000) -> tuple[float, float]:
    """95 % bootstrap over corpora of the mean."""
    names = list(dict.fromkeys(corpora))
    groups = [values[[c == name for c in corpora]] for name in names]
    rng = np.random.default_rng(0)
    means = []
    for _ in range(resamples):
        drawn = rng.integers(0, len(groups), len(groups))
        means.append(float(np.concatenate([groups[i] for i in drawn]).mean()))
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
