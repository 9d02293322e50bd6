"""Searches played out on a function instead of measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from autorag.optimizer import Stop, Strategy
from autorag.ports import Trial, TrialState
from autorag.space import Choice, Config, Knob, Number, Space

Metrics = Callable[[Config], Mapping[str, float] | TrialState]
"""The metrics of a config, or the state of a trial that gave none."""

TINY = Space(
    (
        Knob("retrieve.mode", Choice(("dense", "lexical")), "dense", "retrieve"),
        Knob("retrieve.k", Number(1, 9, integer=True, grid=(1, 3, 9)), 3, "retrieve"),
    )
)
"""Six configs."""


def trial(number: int, config: Config, result: Mapping[str, float] | TrialState) -> Trial:
    if isinstance(result, str):
        return Trial(number, config, result, reason="because")
    return Trial(number, config, "finished", result)


def play(
    strategy: Strategy, default: Config, metrics: Metrics, count: int, so_far: Sequence[Trial] = ()
) -> list[Trial]:
    """Trials until there are ``count`` beside the default, or no more ideas."""
    trials = list(so_far) or [trial(0, default, metrics(default))]
    while len(trials) <= count:
        proposal = strategy.propose(trials)
        if isinstance(proposal, Stop):
            break
        trials.append(trial(len(trials), proposal.config, metrics(proposal.config)))
    return trials


def configs_of(trials: Sequence[Trial]) -> list[Config]:
    return [t.config for t in trials]
