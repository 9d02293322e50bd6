"""The study loop: propose, measure, remember, until trials, time or ideas run out.

The default config is trial 0: measured first, beside the number of trials asked for, even if the
budget then ends. Everything the loop knows is in the trial log; a killed study continues from it,
and so does one that ended because who measures could not be reached. Time is kept for measuring
the report at the end, so that the whole study stays within its budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from autorag.errors import MeasurementCancelled, MeasurementError, UnreachableError
from autorag.objective import Objective
from autorag.optimizer import Proposal, Stop, Strategy, best_trial
from autorag.ports import Clock, CostModel, Estimate, Measurement, Measurer, Trial, TrialLog
from autorag.racing import RACED, Race
from autorag.space import Config

MOST_SKIPS = 20
"""Skipped trials in a row after which a search is over: nothing fits any more."""

PROPOSED = "proposed"
"""Key of a trial's conditions under which stands why it was made."""

LARGEST_SHARE = 0.4
"""Share of the budget that one trial may be expected to take."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop: ``trials`` beside the default, and ``budget_s`` seconds in all."""

    trials: int
    budget_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study measures.

    Attributes:
        search, report: query ids of the two sides of the split.
    """

    default: Config
    objective: Objective
    search: tuple[str, ...]
    report: tuple[str, ...]


class Watcher:
    """Told what happens; the base class ignores it."""

    def trial_started(self, number: int, proposal: Proposal, estimate: Estimate) -> None: ...

    def progress(self, stage: str, done: int, total: int) -> None: ...

    def trial_ended(self, trial: Trial) -> None: ...

    def search_ended(self, reason: str) -> None: ...

    def report_started(self, config: Config) -> None: ...


class Study:
    """One study over its ports. ``run`` searches; ``measure_report`` measures for the report."""

    def __init__(
        self,
        plan: Plan,
        measurer: Measurer,
        log: TrialLog,
        report_log: TrialLog,
        costs: CostModel,
        clock: Clock,
        watcher: Watcher,
    ) -> None:
        self._plan = plan
        self._measurer = measurer
        self._log = log
        self._report_log = report_log
        self._costs = costs
        self._clock = clock
        self._watcher = watcher

    def run(self, strategy: Strategy, limits: Limits) -> list[Trial]:
        """Search until a limit is reached; returns all trials.

        Raises:
            MeasurementError: the default config could not be measured.
            UnreachableError: who measures is not there now; the same can be run again later.
        """
        for log in (self._log, self._report_log):
            log.discard_running()
        known = self._log.trials()
        for trial in known:
            self._learn(trial)
        spent = sum(t.seconds for t in [*known, *self._report_log.trials()])
        ends = self._clock.monotonic() + limits.budget_s - spent
        if not known:
            current = Proposal(self._plan.default, "the current settings, to compare with")
            self._run_trial(0, current, None)
        while True:
            trials = self._log.trials()
            if sum(t.number > 0 and t.state != "skipped" for t in trials) >= limits.trials:
                return trials
            left = ends - self._reserve(trials) - self._clock.monotonic()
            recent = trials[-MOST_SKIPS:]
            stuck = len(recent) == MOST_SKIPS and all(t.state == "skipped" for t in recent)
            if left <= 0 or stuck:
                return trials
            most = min(left, LARGEST_SHARE * limits.budget_s)
            proposal = strategy.propose(trials, self._used(trials, left, limits), most)
            if isinstance(proposal, Stop):
                self._watcher.search_ended(proposal.reason)
                return trials
            self._try(len(trials), proposal, left, most)

    def _used(self, trials: Sequence[Trial], left: float, limits: Limits) -> float:
        """Share of what may be used, of time or of trials, that is used."""
        counted = sum(t.number > 0 and t.state != "skipped" for t in trials) / limits.trials
        in_time = 0.0 if math.isinf(left) else 1.0 - left / limits.budget_s
        return min(1.0, max(counted, in_time))

    def measure_report(self, number: int) -> Trial:
        """Measure a trial's config once on the report queries (or recall that it was)."""
        known = {t.number: t for t in self._report_log.trials()}
        if number in known and known[number].state == "finished":
            return known[number]
        trial = next(t for t in self._log.trials() if t.number == number)
        self._watcher.report_started(trial.config)
        self._report_log.start(number, trial.config)
        started = self._clock.monotonic()
        measurement = self._measure(trial.config, self._plan.report, None)
        self._report_log.finish(number, measurement, self._clock.monotonic() - started)
        return next(t for t in self._report_log.trials() if t.number == number)

    def _try(self, number: int, proposal: Proposal, left: float, most: float) -> None:
        """Run the trial, or skip it when it is expected not to fit."""
        config = proposal.config
        estimate = self._costs.estimate(config, len(self._plan.search))
        if estimate.seconds > most:
            reason = f"about {estimate.seconds:.0f} s expected, at most {most:.0f} s allowed"
            self._log.start(number, config)
            self._log.close(number, "skipped", reason, 0.0)
            self._watcher.trial_ended(self._log.trials()[number])
        else:
            self._run_trial(number, proposal, self._clock.monotonic() + left)

    def _run_trial(self, number: int, proposal: Proposal, deadline: float | None) -> None:
        if deadline == math.inf:
            deadline = None
        config = proposal.config
        estimate = self._costs.estimate(config, len(self._plan.search))
        self._watcher.trial_started(number, proposal, estimate)
        self._log.start(number, config)
        started = self._clock.monotonic()
        try:
            measurement = self._measure(config, self._plan.search, deadline, self._race())
        except MeasurementCancelled as error:
            self._log.close(number, "skipped", str(error), self._clock.monotonic() - started)
        except MeasurementError as error:
            if number == 0 or isinstance(error, UnreachableError):
                self._log.discard(number)
                raise
            self._log.close(number, "failed", str(error), self._clock.monotonic() - started)
        else:
            conditions = {**measurement.conditions, PROPOSED: _told(proposal, estimate)}
            measurement = replace(measurement, conditions=conditions)
            self._log.finish(number, measurement, self._clock.monotonic() - started)
        trial = self._log.trials()[number]
        self._learn(trial)
        self._watcher.trial_ended(trial)

    def _learn(self, trial: Trial) -> None:
        if trial.state in ("finished", "censored"):
            seen = Measurement(
                trial.metrics, trial.stages, trial.reused, trial.build_s, (), trial.conditions
            )
            self._costs.observe(trial.config, seen)

    def _measure(
        self,
        config: Config,
        queries: Sequence[str],
        deadline: float | None,
        race: Race | None = None,
    ) -> Measurement:
        return self._measurer.measure(
            config,
            queries,
            generate=self._plan.objective.needs_generation,
            deadline=deadline,
            progress=self._watcher.progress,
            race=race,
        )

    def _race(self) -> Race | None:
        """What the next trial runs against: the best that was measured, if it holds all bounds."""
        objective = self._plan.objective
        finished = [t for t in self._log.trials() if t.state == "finished"]
        held = [t for t in finished if objective.feasible(t.metrics)]
        ranks = objective.metric in RACED and objective.direction == "max"
        if not held or not ranks or objective.beside or objective.needs_generation:
            return None
        results = self._log.query_results(best_trial(held, objective).number)
        name = objective.metric
        rival = {r.query: r.metrics[name] for r in results if name in r.metrics}
        longest = [s.bound for s in objective.slos if s.metric == "latency_p95_ms" and s.at_most]
        return Race(name, rival, min(longest, default=None)) if rival else None

    def _reserve(self, trials: Sequence[Trial]) -> float:
        """Seconds that measuring the report will take."""
        best = best_trial(trials, self._plan.objective)
        configs = dict.fromkeys([self._plan.default, best.config])
        return sum(self._costs.estimate(c, len(self._plan.report)).seconds for c in configs)


def _told(proposal: Proposal, estimate: Estimate) -> dict[str, Any]:
    """Why a trial was made, for its conditions: they stay with it."""
    told = {"why": proposal.why, "gain": proposal.gain, "chance": proposal.chance}
    return {**told, "seconds": estimate.seconds}
