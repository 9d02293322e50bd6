"""What choosing by pseudo-queries regrets on the labelled queries.

    regret = (best - chosen) / (best - worst), over all configs, on all labelled queries

A *recipe* is some kinds of pseudo-queries and the weight of a portfolio: each kind's quality is
scaled to [0, 1] over the configs, and the mean is mixed with the mean scaled quality on the
labelled queries of other workloads. What the best config is turns on few queries, so every regret
is also taken with resampled pseudo-queries; recipes are compared by the mean over resamples.

A workload's portfolio, and the recipe that is chosen for it, know only workloads that are not
related to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.lessons.landscapes import normalised
from benchmarks.lessons.regret import normalised_regret
from benchmarks.pseudo.kinds import TODAY
from benchmarks.pseudo.measured import Measured

RESAMPLES = 400
DRAWS = 200
BOOTSTRAPS = 5000
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)

MIXES: Mapping[str, tuple[str, ...]] = {
    "wiki_large": ("xquad_en", "shift_new_wiki", "multihop_wiki", "clapnq_dev")
}
"""Workloads that hold the documents of others."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to choose a config."""

    kinds: tuple[str, ...]
    weight: float = 0.0

    def __str__(self) -> str:
        named = " + ".join(self.kinds) if len(self.kinds) < 3 else f"all {len(self.kinds)} kinds"
        return named if not self.weight else f"{named}, portfolio {self.weight:g}"


@dataclass(frozen=True)
class Study:
    """The workloads, all judged on the same configs."""

    found: Sequence[Measured]

    @cached_property
    def real(self) -> np.ndarray:
        """Quality on the labelled queries, ``(workloads, configs)``."""
        return np.array([m.real.mean(axis=0) for m in self.found])

    @cached_property
    def kinds(self) -> list[str]:
        """Every kind, today's first."""
        return list(dict.fromkeys([TODAY, *(kind for m in self.found for kind in m.kinds)]))

    @cached_property
    def scaled(self) -> list[dict[str, np.ndarray]]:
        """By workload and kind: scaled quality with all queries and with each resample,
        ``(1 + RESAMPLES, configs)``. Kinds with as many queries share the draws, as far as they are
        made from the same sentences."""
        return [{k: _resampled(v) for k, v in m.kinds.items()} for m in self.found]

    def unrelated(self, *targets: int) -> list[int]:
        """The workloads that are related to none of these."""
        names = [m.name for m in self.found]
        return [
            i
            for i, name in enumerate(names)
            if not any(_related(name, names[target]) for target in targets)
        ]

    def scores(self, recipe: Recipe, target: int, others: Sequence[int]) -> np.ndarray:
        """With all pseudo-queries and with each resample, ``(1 + RESAMPLES, configs)``. A kind
        that the workload has no queries of does not count; today's where it has none of any."""
        mine = self.scaled[target]
        used = [mine[k] for k in recipe.kinds if k in mine] or [mine[TODAY]]
        scores: np.ndarray = (1 - recipe.weight) * np.mean(used, axis=0)
        if recipe.weight:
            scores = scores + recipe.weight * normalised(self.real[others]).mean(axis=0)
        return scores

    def regrets(self, recipe: Recipe, target: int, others: Sequence[int]) -> np.ndarray:
        """With all pseudo-queries and with each resample, ``(1 + RESAMPLES,)``."""
        return self.regret(target, self.scores(recipe, target, others).argmax(axis=1))

    def regret(self, target: int, picks: np.ndarray) -> np.ndarray:
        """Of these columns."""
        everything = np.arange(self.real.shape[1])
        return normalised_regret(self.real[target], everything, picks)

    def table(self, recipe: Recipe) -> np.ndarray:
        """Regrets of a recipe on every workload, ``(workloads, 1 + RESAMPLES)``."""
        return np.array(
            [self.regrets(recipe, t, self.unrelated(t)) for t in range(len(self.found))]
        )


def recipes(study: Study, weights: Iterable[float] = (0.0,)) -> list[Recipe]:
    """Each kind alone, each with today's, and all together; at these weights of the portfolio."""
    alone = [(kind,) for kind in study.kinds]
    pairs = [(TODAY, kind) for kind in study.kinds if kind != TODAY]
    return [Recipe(k, w) for k in [*alone, *pairs, tuple(study.kinds)] for w in weights]


def left_out(study: Study, some: Sequence[Recipe]) -> list[tuple[Recipe, np.ndarray]]:
    """For each workload the recipe that is best on average over unrelated ones, and its regrets
    there."""
    chosen = []
    for target in range(len(study.found)):
        learned = study.unrelated(target)
        means = [_mean_elsewhere(study, recipe, target, learned) for recipe in some]
        best = some[int(np.argmin(means))]
        chosen.append((best, study.regrets(best, target, learned)))
    return chosen


def by_number(study: Study, kind: str, number: int) -> np.ndarray:
    """Mean regret of choosing by at most so many queries of a kind, ``(workloads,)``."""
    rng = np.random.default_rng(0)
    means = []
    for target, measured in enumerate(study.found):
        scores = measured.kinds[kind]
        drawn = [rng.permutation(len(scores))[:number] for _ in range(DRAWS)]
        picks = np.array([scores[d].mean(axis=0).argmax() for d in drawn])
        means.append(study.regret(target, picks).mean())
    return np.array(means)


def by_share(study: Study, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean regret of choosing by today's kind over a share of the documents, resampled, and by as
    many queries over all documents; ``(workloads,)`` each."""
    rng = np.random.default_rng(0)
    fewer, same = [], []
    for target, measured in enumerate(study.found):
        scores = measured.shares.get(share, measured.kinds[TODAY][:1])
        fewer.append(study.regret(target, _drawn_picks(scores, len(scores), rng)).mean())
        whole = _drawn_picks(measured.kinds[TODAY], len(scores), rng)
        same.append(study.regret(target, whole).mean())
    return np.array(fewer), np.array(same)


def by_cheap(study: Study, cheap: np.ndarray, replaced: np.ndarray) -> dict[str, np.ndarray]:
    """Regret of choosing by today's kind, ``(workloads,)`` a way.

    Args:
        cheap: columns without a transformer.
        replaced: for every column, the one with the transformer instead of the static embedder.
    """
    ways: dict[str, list[float]] = {
        "all configs": [],
        "the cheap configs, their best": [],
        "the cheap configs, then the transformer": [],
    }
    for target, scaled in enumerate(study.scaled):
        whole = scaled[TODAY].argmax(axis=1)
        best = cheap[scaled[TODAY][:, cheap].argmax(axis=1)]
        for way, picks in zip(ways, (whole, best, replaced[best]), strict=True):
            ways[way].append(float(study.regret(target, picks)[1:].mean()))
    return {way: np.array(values) for way, values in ways.items()}


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean over workloads, by bootstrap."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(values), size=(BOOTSTRAPS, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _mean_elsewhere(study: Study, recipe: Recipe, target: int, learned: Sequence[int]) -> float:
    regrets = [
        study.regrets(recipe, other, study.unrelated(target, other))[1:].mean() for other in learned
    ]
    return float(np.mean(regrets))


def _resampled(scores: np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores)), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, len(scores))), drawn])
    return normalised(weights @ scores / len(scores))


def _drawn_picks(scores: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """The best column for each of many draws, with replacement, of so many queries."""
    drawn = rng.integers(len(scores), size=(DRAWS, number))
    return np.array([scores[d].mean(axis=0).argmax() for d in drawn])


def _related(a: str, b: str) -> bool:
    return a == b or b in MIXES.get(a, ()) or a in MIXES.get(b, ())
