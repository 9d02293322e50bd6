"""Strategies that are compared on a table: what is shipped, and others.

* ``default`` keeps the default config and ``random`` measures in any order;
* ``portfolio`` measures in the order of the mean effect over the other corpora, ``prior`` in that
  of what models believe of the task, bounds among it; neither learns from what it measures, and
  both recommend their first config before anything is measured;
* ``greedy`` settles one knob after the other, models first, ``node-wise`` one stage after the
  other;
* ``optuna-tpe`` and ``optuna-gp`` are samplers of Optuna with its settings, which draw the first
  ten configs at random, the default config among them;
* ``plain-gp`` is the optimizer without a prior, ``bayesian`` with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autorag.objective import Objective
from autorag.optimizer import (
    BayesianSearch,
    FixedCandidates,
    Proposal,
    Stop,
    Strategy,
    best_trial,
)
from autorag.pipeline.embedders import embedder_dims
from autorag.pipeline.generate import generators
from autorag.pipeline.space import reference_space
from autorag.ports import CostModel, Prior, Trial
from autorag.space import Config, Space
from benchmarks.searching.optuna_peers import OptunaSearch, gaussian_process, tpe
from benchmarks.searching.play import Maker
from benchmarks.searching.tasks import QUERIES, Task
from benchmarks.searching.walks import InOrder, Walking, greedy, node_wise, shuffled
from models.encoding import encode_configs
from models.training import ModelSet

PLAIN, BAYESIAN = "plain-gp", "bayesian"

PEERS = (
    "default",
    "random",
    "portfolio",
    "prior",
    "greedy",
    "node-wise",
    "optuna-tpe",
    "optuna-gp",
    PLAIN,
    BAYESIAN,
)

INFORMED = ("portfolio", "prior", BAYESIAN)
"""Those that know models of other workloads."""

CORES = 2
"""Of the machines that the table was measured on: threads go up to these, wherever this runs."""


def table_space() -> Space:
    """The space that the configs of the table are from."""
    return reference_space(embedder_dims(), generators=generators(), cores=CORES)


def makers(
    prior_of: Callable[[Task], Prior], models_of: Callable[[Task], ModelSet]
) -> Mapping[str, Maker]:
    """All strategies by name.

    Args:
        prior_of: what is believed of a task before anything is measured.
        models_of: models that have not seen it.
    """
    made = _Makers(table_space(), prior_of, models_of)
    every: tuple[Maker, ...] = (
        made.default,
        made.random,
        made.portfolio,
        made.prior,
        made.greedy,
        made.node_wise,
        made.optuna_tpe,
        made.optuna_gp,
        made.plain_gp,
        made.bayesian,
    )
    return dict(zip(PEERS, every, strict=True))


@dataclass(frozen=True)
class _Makers:
    space: Space
    prior_of: Callable[[Task], Prior]
    models_of: Callable[[Task], ModelSet]

    def default(self, task: Task, costs: CostModel, seed: int) -> Staying:
        return Staying(task.objective)

    def random(self, task: Task, costs: CostModel, seed: int) -> InOrder:
        return InOrder("random", shuffled(task.configs, seed), task.objective)

    def portfolio(self, task: Task, costs: CostModel, seed: int) -> Guessing:
        order = by_mean_effect(self.models_of(task), task.configs)
        return Guessing("portfolio", order, task.objective)

    def prior(self, task: Task, costs: CostModel, seed: int) -> Guessing:
        order = self.bayesian(task, costs, seed).ranked()
        return Guessing("prior", order, task.objective)

    def greedy(self, task: Task, costs: CostModel, seed: int) -> Walking:
        return greedy(self.space, task, seed)

    def node_wise(self, task: Task, costs: CostModel, seed: int) -> Walking:
        return node_wise(task, seed)

    def optuna_tpe(self, task: Task, costs: CostModel, seed: int) -> OptunaSearch:
        return OptunaSearch("optuna-tpe", tpe(seed), self.space, task.configs, task.objective)

    def optuna_gp(self, task: Task, costs: CostModel, seed: int) -> OptunaSearch:
        sampler = gaussian_process(seed)
        return OptunaSearch("optuna-gp", sampler, self.space, task.configs, task.objective)

    def plain_gp(self, task: Task, costs: CostModel, seed: int) -> Unknowing:
        return Unknowing(PLAIN, self._search(task, costs, seed, None))

    def bayesian(self, task: Task, costs: CostModel, seed: int) -> BayesianSearch:
        return self._search(task, costs, seed, self.prior_of(task))

    def _search(
        self, task: Task, costs: CostModel, seed: int, prior: Prior | None
    ) -> BayesianSearch:
        return BayesianSearch(
            self.space,
            task.objective,
            FixedCandidates(task.configs),
            prior,
            costs,
            queries=QUERIES,
            seed=seed,
            indirect=task.answers.view.pseudo,
        )


class Staying:
    """Keeps the default config."""

    name = "default"

    def __init__(self, objective: Objective) -> None:
        self._objective = objective

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = math.inf
    ) -> Proposal | Stop:
        return Stop("the default config stays")

    def best(self, trials: Sequence[Trial]) -> Trial:
        return best_trial(trials, self._objective)


class Guessing(InOrder):
    """Measures in an order, and would choose the first of it unseen."""

    def guess(self) -> Config:
        return self._configs[0]


class Unknowing:
    """A search that has nothing to say before it has measured: its guess is left out."""

    def __init__(self, name: str, search: Strategy) -> None:
        self.name = name
        self._search = search

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = math.inf
    ) -> Proposal | Stop:
        return self._search.propose(trials, used, most_s)

    def best(self, trials: Sequence[Trial]) -> Trial:
        return self._search.best(trials)


def by_mean_effect(models: ModelSet, configs: Sequence[Config]) -> list[Config]:
    """The configs by their mean effect over known workloads, the best first; every corpus weighs
    the same."""
    effects = models.quality.over(encode_configs(configs)).effects
    corpora = [one.corpus for one in models.quality.landscapes]
    weights = np.array([1.0 / corpora.count(c) for c in corpora])
    return [configs[i] for i in np.argsort(-(weights @ effects), kind="stable")]
