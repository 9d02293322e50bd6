"""Starting from what did well before.

The workload, the objective or the machine may be another now, so what was measured then is no
observation of what is searched. Which configs were the best of it still tells where to look: they
are measured again before anything else (Feurer, Springenberg and Hutter, "Initializing Bayesian
hyperparameter optimization via meta-learning", AAAI 2015), and what they tell now decides how the
search goes on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from autorag.objective import Objective
from autorag.optimizer.strategy import Proposal, Stop, Strategy
from autorag.ports import Trial
from autorag.space import Config

Metrics = Mapping[str, float]


class WarmStart:
    """Another strategy, after these configs.

    Args:
        first: in the order in which they are measured.
        then: decides about all else.
    """

    def __init__(self, first: Sequence[Config], then: Strategy) -> None:
        self.name = then.name
        self._first = tuple(first)
        self._then = then

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = math.inf
    ) -> Proposal | Stop:
        tried = {t.config for t in trials}
        for config in self._first:
            if config not in tried:
                return Proposal(config, "it did well before")
        return self._then.propose(trials, used, most_s)

    def best(self, trials: Sequence[Trial]) -> Trial:
        return self._then.best(trials)


def best_before(
    studies: Sequence[Sequence[tuple[Config, Metrics]]], objective: Objective, most: int
) -> list[Config]:
    """At most so many configs that did well: the best of each study, then the second best of each.

    What was measured in one study is not compared with what was in another, on other documents,
    queries or machines; what does not tell the value of the objective's metric is left out.

    Args:
        studies: what each measured, the study first whose best is to come first.
    """
    ranked = [_ranked(measured, objective) for measured in studies]
    in_turn = (c for rank in zip_longest(*ranked) for c in rank if c is not None)
    return list(dict.fromkeys(in_turn))[:most]


def _ranked(measured: Sequence[tuple[Config, Metrics]], objective: Objective) -> list[Config]:
    told = [(c, m) for c, m in measured if not math.isinf(objective.cost(m))]
    return list(dict.fromkeys(c for c, _ in sorted(told, key=lambda p: objective.rank(p[1]))))
