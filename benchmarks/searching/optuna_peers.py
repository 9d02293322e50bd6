"""Samplers of Optuna on a table.

A sampler asks for a config of a product of ranges and choices, of which the table holds only some:
the nearest config that was not measured yet answers (by the distance that kernels see), and the
study is told *that* config's own values with what they measured. A knob is suggested only where it
is active. Constraints are relative violations of bounds.

Unlike strategies that autorag ships, one of these keeps a study, which holds a generator of random
numbers and fitted kernels: an instance is for one search.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from autorag.errors import ConfigError
from autorag.objective import Objective
from autorag.optimizer import EXHAUSTED, Proposal, Stop, best_trial
from autorag.optimizer.candidates import encoded
from autorag.ports import Trial
from autorag.space import Choice, Config, Knob, Number, Space
from autorag.space.domains import Value

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler


VALUES_FROM = 2000
MOST_ASKED = 200
"""Asked in vain so often, and the space counts as exhausted."""


class OptunaSearch:
    """Proposes the configs of the table that are nearest to what a sampler asks for."""

    def __init__(
        self,
        name: str,
        sampler: BaseSampler,
        space: Space,
        configs: Sequence[Config],
        objective: Objective,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.name = name
        self._space = space
        self._configs = configs
        self._objective = objective
        self._values = table_values(space, configs)
        self._told = 0
        self._study = optuna.create_study(sampler=sampler)

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = math.inf
    ) -> Proposal | Stop:
        self._tell(trials)
        tried = {t.config for t in trials}
        new = np.array([i for i, c in enumerate(self._configs) if c not in tried], dtype=np.intp)
        if not new.size:
            return EXHAUSTED
        (asked,) = encoded(self._space, [self._asked()])
        distances = ((self._points[new] - asked) ** 2).sum(axis=1)
        return Proposal(self._configs[int(new[int(distances.argmin())])])

    def _tell(self, trials: Sequence[Trial]) -> None:
        """Of what failed or was skipped there is nothing to tell."""
        for trial in trials[self._told :]:
            if trial.metrics:
                self._study.add_trial(self._finished(trial))
        self._told = len(trials)

    def best(self, trials: Sequence[Trial]) -> Trial:
        return best_trial(trials, self._objective)

    @cached_property
    def _points(self) -> np.ndarray:
        return encoded(self._space, self._configs)

    @cached_property
    def _distributions(self) -> Mapping[str, BaseDistribution]:
        """Of the knobs that have several values in the table."""
        several = (self._space[name] for name, v in self._values.items() if len(v) > 1)
        return {knob.name: distribution(knob, self._values[knob.name]) for knob in several}

    def _asked(self) -> Config:
        """What the sampler wants to know. The trial in which it says so ends without a value."""
        from optuna.trial import TrialState

        trial = self._study.ask()
        full: dict[str, Value] = {}
        for knob in self._space:
            if knob.name in self._values and knob.active(full):
                full[knob.name] = self._value(knob, trial)
        self._study.tell(trial, state=TrialState.FAIL)
        return Config(tuple(full.items()))

    def _value(self, knob: Knob, trial: optuna.Trial) -> Value:
        known = self._values[knob.name]
        if len(known) == 1:
            return known[0]
        value = suggested(trial, knob, self._distributions[knob.name])
        if isinstance(knob.domain, Number) or value in known:
            return value
        return min(known, key=lambda v: abs(float(v) - float(value)))

    def _finished(self, trial: Trial) -> optuna.trial.FrozenTrial:
        import optuna

        kept = {n: d for n, d in self._distributions.items() if n in trial.config}
        return optuna.trial.create_trial(
            params={name: trial.config[name] for name in kept},
            distributions=dict(kept),
            value=self._objective.cost(trial.metrics),
            constraints={
                str(s): s.violation(trial.metrics) / max(abs(s.bound), 1e-9)
                for s in self._objective.slos
            },
        )


class LiveOptuna(OptunaSearch):
    """Proposes what a sampler asks for in a space of which nothing was measured; numbers that its
    rules do not allow follow them.

    Args:
        seed: of the draws that tell which values the knobs have.
    """

    def __init__(
        self, name: str, sampler: BaseSampler, space: Space, objective: Objective, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        drawn = [space.sample(rng) for _ in range(VALUES_FROM)]
        super().__init__(name, sampler, space, drawn, objective)

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = math.inf
    ) -> Proposal | Stop:
        self._tell(trials)
        tried = {t.config for t in trials}
        for _ in range(MOST_ASKED):
            with suppress(ConfigError):
                config = self._space.config({}, base=self._asked())
                if config not in tried:
                    return Proposal(config)
        return EXHAUSTED


def tpe(seed: int) -> BaseSampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011; Watanabe 2023), of all knobs
    together that are active together."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ``group`` is called experimental
        return optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)


def gaussian_process(seed: int) -> BaseSampler:
    """A Gaussian process over the knobs that all configs so far have; Optuna draws the others at
    random."""
    import optuna

    return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


def table_values(space: Space, configs: Sequence[Config]) -> dict[str, tuple[Value, ...]]:
    """Knob → its values in the table, ordered ones in order; without knobs that no config has."""
    found = {k.name: {c[k.name] for c in configs if k.name in c} for k in space}
    return {name: _in_order(space[name], values) for name, values in found.items() if values}


def distribution(knob: Knob, values: Sequence[Value]) -> BaseDistribution:
    """What a sampler draws a knob from: numbers between the least and the largest in the table,
    or one of its values."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if not knob.domain.ordered or not all(map(_is_number, values)):
        return CategoricalDistribution(tuple(values))
    low, high = float(values[0]), float(values[-1])
    log = isinstance(knob.domain, Number) and knob.domain.log
    if all(isinstance(v, int) for v in values):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def suggested(trial: optuna.Trial, knob: Knob, drawn: BaseDistribution) -> Value:
    """What the sampler suggests for one knob."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(drawn, IntDistribution):
        return trial.suggest_int(knob.name, drawn.low, drawn.high, log=drawn.log)
    if isinstance(drawn, FloatDistribution):
        return trial.suggest_float(knob.name, drawn.low, drawn.high, log=drawn.log)
    assert isinstance(drawn, CategoricalDistribution)
    return knob.domain.check(trial.suggest_categorical(knob.name, drawn.choices))


def _in_order(knob: Knob, values: set[Value]) -> tuple[Value, ...]:
    if isinstance(knob.domain, Choice):
        return tuple(v for v in knob.domain.grid if v in values)
    return tuple(sorted(values, key=float))


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
