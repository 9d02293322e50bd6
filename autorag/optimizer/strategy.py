"""The interface of search strategies."""

from __future__ import annotations

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

    def propose(self, trials: Sequence[Trial], used: float = 0.0) -> Proposal | Stop:
        """The config to measure next.

        Args:
            trials: all trials in order; the first is the default config. Skipped and failed ones
                count as infeasible and are not proposed again; running ones are somebody else's and
                will have a result.
            used: share of the budget that is used, 0..1.
        """

    def best(self, trials: Sequence[Trial]) -> Trial:
        """The finished trial to recommend; there is one."""


def best_trial(trials: Sequence[Trial], objective: Objective) -> Trial:
    """The finished trial that was measured best: feasible first, then by value; ties go to the
    earlier."""
    finished = [t for t in trials if t.state == "finished"]
    return min(finished, key=lambda t: objective.rank(t.metrics))
