"""Random search (Bergstra and Bengio, 2012), ordered so that trials share artifacts.

Configs are drawn in blocks. Within a block they are sorted by what they build (chunk, embed,
index knobs), so that a build is made once and its hot knobs are tried one after the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np

from autorag.objective import Objective
from autorag.optimizer.strategy import EXHAUSTED, Proposal, Stop, best_trial
from autorag.ports import Trial
from autorag.space import Config, Space
from autorag.stages import stage_knobs

BLOCK = 16
EXHAUSTED_DRAWS = 50 * BLOCK
"""So many draws without anything new, and the space counts as exhausted."""


class RandomSearch:
    """Uniform draws from the space.

    Args:
        block: configs drawn and sorted together; the number of trials is a good choice.
    """

    name = "random"

    def __init__(self, space: Space, objective: Objective, seed: int, block: int = BLOCK) -> None:
        self._space = space
        self._objective = objective
        self._seed = seed
        self._block = max(1, block)

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = math.inf
    ) -> Proposal | Stop:
        tried = {t.config for t in trials}
        for number in range(len(trials) + EXHAUSTED_DRAWS // self._block):
            new = [c for c in self._drawn(number) if c not in tried]
            if new:
                return Proposal(new[0])
        return EXHAUSTED

    def best(self, trials: Sequence[Trial]) -> Trial:
        return best_trial(trials, self._objective)

    def block(self) -> list[Config]:
        """The first configs that would be proposed."""
        return self._drawn(0)

    def _drawn(self, number: int) -> list[Config]:
        rng = np.random.default_rng([self._seed, number])
        drawn = dict.fromkeys(self._space.sample(rng) for _ in range(self._block))
        return sorted(drawn, key=build_prefix)


def build_prefix(config: Config) -> tuple[str, ...]:
    """Sort key: configs that share builds stand together."""
    stages = ("chunk", "embed", "index", "rerank", "retrieve")
    return tuple(json.dumps(stage_knobs(config, s), sort_keys=True) for s in stages)
