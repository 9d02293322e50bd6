"""The interface of search strategies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from autorag.objective import Objective
from autorag.ports import Trial
from autorag.space import Config


@dataclass(frozen=True, slots=True)
class Proposal:
    """A config to measure next.

    Attributes:
        why: a sentence for people.
        gain: expected improvement of the objective's metric (in its unit for ratios, as a share for
            times, memory and tokens); None where the strategy does not say.
        chance: that it holds all bounds; None where the strategy does not say.
    """

    config: Config
    why: str = ""
    gain: float | None = None
    chance: float | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is worth measuring any more, and why."""

    reason: str


EXHAUSTED = Stop("every config of the space was tried")


class Strategy(Protocol):
    """Proposes configs. A strategy has no state: what it proposes depends on its settings (the
    seed among them) and the trials so far, so that a killed study continues where it was."""

    name: str

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = math.inf
    ) -> Proposal | Stop:
        """The config to measure next.

        Args:
            trials: all trials in order; the first is the default config. Skipped and failed ones
                count as infeasible and are not proposed again; running ones are somebody else's and
                will have a result.
            used: share of the budget that is used, 0..1.
            most_s: seconds that the next trial may take; one that is expected to take more is
                skipped.
        """

    def best(self, trials: Sequence[Trial]) -> Trial:
        """The finished trial to recommend; there is one."""


def best_trial(trials: Sequence[Trial], objective: Objective) -> Trial:
    """The finished trial that was measured best: feasible first, then by value; ties go to the
    earlier. Of two objectives, the one of the front that is nearest to the best of both, each
    scaled to its range over the front."""
    finished = [t for t in trials if t.state == "finished"]
    held = [t for t in finished if objective.feasible(t.metrics)]
    held = [t for t in held if all(math.isfinite(o.cost(t.metrics)) for o in objective.each)]
    if objective.beside is None or not held:
        return min(finished, key=lambda t: objective.rank(t.metrics))
    front = pareto_trials(held, *objective.each)
    costs = [[one.cost(t.metrics) for one in objective.each] for t in front]
    lows, highs = ([f(column) for column in zip(*costs, strict=True)] for f in (min, max))
    spans = [max(high - low, 1e-12) for low, high in zip(lows, highs, strict=True)]
    return min(
        zip(front, costs, strict=True),
        key=lambda pair: sum(
            ((c - low) / s) ** 2 for c, low, s in zip(pair[1], lows, spans, strict=True)
        ),
    )[0]


def pareto_trials(trials: Sequence[Trial], first: Objective, second: Objective) -> list[Trial]:
    """Finished trials that no other beats in both objectives, the best in the second first."""
    finished = [
        t
        for t in trials
        if t.state == "finished"
        and all(math.isfinite(one.cost(t.metrics)) for one in (first, second))
    ]
    front: list[Trial] = []
    for trial in sorted(finished, key=lambda t: (second.cost(t.metrics), first.cost(t.metrics))):
        if not front or first.cost(trial.metrics) < first.cost(front[-1].metrics):
            front.append(trial)
    return front
