"""Searches that walk from the default config, one part of the pipeline after the other: on a table
they go only where somebody measured, and measure what is left at random when they have arrived."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from autorag.objective import Objective
from autorag.optimizer import EXHAUSTED, ModelFirstGreedy, Proposal, Stop, best_trial
from autorag.optimizer.greedy import Known
from autorag.ports import Trial
from autorag.space import Choice, Config, Domain, Knob, Number, Space
from autorag.space.domains import Value
from autorag.stages import STAGES
from benchmarks.searching.tasks import Task

Walk = Callable[[Known], Iterator[Config]]
"""What was measured → configs to measure, in order; each is known when the walk goes on."""

STREAM = 1_000_003
"""Of random numbers: apart from those of the noise, which come from the seed alone, and from those
of strategies that draw by the number of trials."""


class InOrder:
    """Measures configs in an order that nothing changes."""

    def __init__(self, name: str, configs: Sequence[Config], objective: Objective) -> None:
        self.name = name
        self._configs = configs
        self._objective = objective

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = math.inf
    ) -> Proposal | Stop:
        tried = {t.config for t in trials}
        found = next((c for c in self._configs if c not in tried), None)
        return EXHAUSTED if found is None else Proposal(found)

    def best(self, trials: Sequence[Trial]) -> Trial:
        return best_trial(trials, self._objective)


class Walking(InOrder):
    """Follows a walk, then measures the rest in order."""

    def __init__(self, name: str, walk: Walk, rest: Sequence[Config], objective: Objective) -> None:
        super().__init__(name, rest, objective)
        self._walk = walk

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = math.inf
    ) -> Proposal | Stop:
        known = {t.config: t.metrics for t in trials}
        found = next((c for c in self._walk(known) if c not in known), None)
        return super().propose(trials, used, most_s) if found is None else Proposal(found)


def shuffled(configs: Sequence[Config], seed: int) -> list[Config]:
    """The configs in an order of the seed, all orders alike."""
    rng = np.random.default_rng([seed, STREAM])
    return [configs[i] for i in rng.permutation(len(configs))]


# -- one knob after the other ---------------------------------------------------------------


@dataclass(frozen=True)
class TableSpace(Space):
    """A space whose moves end at measured configs, and begin at one of them."""

    measured: frozenset[Config] = frozenset()
    start: Config | None = None

    @classmethod
    def of(cls, space: Space, task: Task) -> TableSpace:
        """The space of a task: knobs have the values that its configs have."""
        knobs = tuple(_seen(knob, task.configs) for knob in space)
        return cls(knobs, space.rules, space.corpus, frozenset(task.configs), task.default)

    def default(self) -> Config:
        return super().default() if self.start is None else self.start

    def moved(
        self, config: Config, knob: str, value: Value, *, follow: bool = True
    ) -> Config | None:
        found = super().moved(config, knob, value, follow=follow)
        return found if found in self.measured else None


class TableGreedy(ModelFirstGreedy):
    """Model-first greedy, as far as its descent goes."""

    def walk(self, known: Known) -> Iterator[Config]:
        """The configs that the descent needs, in order."""
        return self._walk(known)


def greedy(space: Space, task: Task, seed: int) -> Walking:
    """Model-first greedy over the table."""
    descent = TableGreedy(TableSpace.of(space, task), task.objective, seed)
    return Walking("greedy", descent.walk, shuffled(task.configs, seed), task.objective)


def _seen(knob: Knob, configs: Sequence[Config]) -> Knob:
    """The knob with the values that it has in some config; one that no config has stays."""
    values = {c[knob.name] for c in configs if knob.name in c}
    if not values:
        return knob
    domain = _of_values(knob.domain, values)
    default = knob.default if knob.default in values else domain.grid[0]
    return replace(knob, domain=domain, default=default)


def _of_values(domain: Domain, values: set[Value]) -> Domain:
    if isinstance(domain, Number):
        return replace(domain, grid=tuple(sorted(values, key=float)))
    return Choice(tuple(v for v in domain.grid if v in values), domain.ordered)


# -- one stage after the other --------------------------------------------------------------


def node_wise(task: Task, seed: int) -> Walking:
    """Stage by stage: all configs that differ from the best so far in one stage's knobs only are
    measured and the best is kept for the next stage. (This is how AutoRAG of Marker-Inc goes
    through its nodes: Kim et al. 2024.)"""
    order = shuffled(task.configs, seed)

    @cache
    def alike(stage: str, best: Config) -> list[Config]:
        return [c for c in order if c != best and differs_in(stage, best, c)]

    def walk(known: Known) -> Iterator[Config]:
        best = task.default
        yield best
        for stage in STAGES:
            others = alike(stage, best)
            yield from others
            best = min((best, *others), key=lambda c: task.objective.rank(known[c]))

    return Walking("node-wise", walk, order, task.objective)


def differs_in(stage: str, one: Config, other: Config) -> bool:
    """Whether no knob differs but those of a stage, and those that these make active or not."""
    return all(
        knob.startswith(f"{stage}.") or None in values
        for knob, values in one.changed(other).items()
    )
