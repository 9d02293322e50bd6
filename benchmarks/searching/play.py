"""One search on one task: what it recommends after every measurement, and when."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from autorag.optimizer import Stop, Strategy
from autorag.ports import CostModel
from autorag.space import Config
from autorag.table.replay import ReplayClock
from benchmarks.searching.tasks import NoisyReplay, ReplayCosts, Task, as_trial

Maker = Callable[[Task, CostModel, int], Strategy]
"""A strategy for a task, with the costs that it may ask, and a seed."""


@dataclass(frozen=True)
class Step:
    """After ``evaluations`` beside the default.

    Attributes:
        seconds: of measuring, so far.
        regret, holds: of what would be recommended now.
        thought: seconds of deciding, so far, on this machine.
    """

    evaluations: int
    seconds: float
    regret: float
    holds: bool
    thought: float


@dataclass(frozen=True)
class Played:
    """A search. ``first`` is what is chosen before anything is measured."""

    task: Task
    strategy: str
    seed: int
    steps: tuple[Step, ...]
    stopped: str


def play(
    task: Task, maker: Maker, seed: int, most: int, *, noise: float, budget_s: float = 0.0
) -> Played:
    """Search until ``most`` evaluations or, where there is a budget, its seconds are used, or the
    strategy stops. Without a budget seconds do not count (α = 0)."""
    clock, costs = ReplayClock(), ReplayCosts(task.answers, seed)
    measurer = NoisyReplay(task.answers, clock, noise, seed)
    strategy = maker(task, costs, seed)
    thought = -time.perf_counter()
    guess = getattr(strategy, "guess", lambda: task.default)()
    steps = [_step(task, guess, 0, 0.0, thought + time.perf_counter())]
    trials, stopped = [], ""
    config: Config = task.default
    while True:
        before = clock.now
        found = measurer.measure(config)
        costs.observe(config, found)
        trials.append(as_trial(len(trials), config, found, clock.now - before))
        best = strategy.best(trials).config
        taken = thought + time.perf_counter()
        if len(trials) > 1:
            steps.append(_step(task, best, len(trials) - 1, clock.now, taken))
        if len(trials) > most:
            break
        used = clock.now / budget_s if budget_s else 1.0
        if budget_s and used >= 1.0:
            break
        proposal = strategy.propose(trials, used)
        if isinstance(proposal, Stop):
            stopped = proposal.reason
            break
        config = proposal.config
    return Played(task, strategy.name, seed, tuple(steps), stopped)


def _step(task: Task, config: Config, evaluations: int, seconds: float, thought: float) -> Step:
    return Step(evaluations, seconds, task.regret(config), task.holds(config), thought)
