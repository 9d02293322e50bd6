"""Bayesian optimisation that starts from what models learned on other workloads.

Before anything is measured, every metric of the objective has a belief (:class:`autorag.ports.
Prior`); what is measured turns it into a posterior (``posterior``), of which the expected
improvement is asked at every candidate (``candidates``, ``acquisition``). The proposal is the
candidate with the largest

    log(expected improvement) - α log(expected seconds),    α = 1 - share of the budget used

where the seconds are those of a config *given the artifacts that are built already*: while there is
time, what is cheap is preferred (landmarks, and the hot settings of a build that is there), towards
the end what is best (Lee et al. 2020). Where the best config is only likely to hold its bounds, to
measure it again is a candidate too.

Without a belief, on an objective or a space that models do not know, the same is a plain Gaussian
process. If no posterior can be computed the belief alone decides, and the proposal says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autorag.metrics import METRICS
from autorag.objective import Objective
from autorag.optimizer.acquisition import (
    Goal,
    chance_of_all,
    draw,
    expected_improvement,
)
from autorag.optimizer.candidates import Candidates, encoded
from autorag.optimizer.posterior import Observations, Posterior, posterior
from autorag.optimizer.scales import Floats, Scale, scale
from autorag.optimizer.strategy import EXHAUSTED, Proposal, Stop, best_trial
from autorag.ports import Belief, CostModel, Prior, Trial
from autorag.space import Config, Space

SAFE = 0.65
"""Chance of holding all bounds from which on a measured config may be recommended."""

SURE = 0.9
"""The same of one that was not measured."""

BEST = 4
"""Measured configs around which candidates are made."""

PRICED = 400
"""Candidates whose seconds are asked, the best ones by expected improvement."""

MOST_REPEATS = 3
FEWEST = 4
"""Trials before a search may find that nothing is worth measuring."""

LEAST_SECONDS = 0.05

Values = Mapping[Config, Sequence[Mapping[str, float]]]
"""Config → metrics of every time it was measured."""


@dataclass(frozen=True)
class Known:
    """Everything a step knows.

    Attributes:
        configs: all points: measured ones and candidates.
        rows: config → point.
        metrics: metric → posterior at the points.
        measured: points that were measured, ``(n,)``.
    """

    configs: Sequence[Config]
    rows: Mapping[Config, int]
    metrics: Mapping[str, Posterior]
    measured: np.ndarray


class BayesianSearch:
    """See the module.

    Args:
        prior: None where nothing is known of other workloads.
        costs: what measuring takes, as the study learns it.
        queries: on how many a trial is measured.
        indirect: whether a stand-in for the objective's metric is measured (pseudo-queries).
    """

    name = "bayesian"

    def __init__(
        self,
        space: Space,
        objective: Objective,
        candidates: Candidates,
        prior: Prior | None,
        costs: CostModel,
        *,
        queries: int,
        seed: int,
        indirect: bool = False,
    ) -> None:
        self._space = space
        self._objective = objective
        self._candidates = candidates
        self._prior = prior
        self._costs = costs
        self._queries = queries
        self._seed = seed
        self._indirect = indirect
        self._base: _Points | None = None

    def propose(self, trials: Sequence[Trial], used: float = 0.0) -> Proposal | Stop:
        rng = np.random.default_rng([self._seed, len(trials)])
        known = self._learn(trials, rng)
        tried = {t.config for t in trials}
        new = np.array([i for i, c in enumerate(known.configs) if c not in tried], dtype=np.intp)
        if not new.size:
            return EXHAUSTED
        gains = self._gains(known, new, rng)
        again, worth = self._again(known, trials)
        finished = sum(t.state == "finished" for t in trials)
        most = max(float(gains.max()), worth)
        if finished > FEWEST and most < self._scale(self._objective.metric).least_gain:
            return Stop(f"no config is expected to gain more than {most:.2g}")
        if again is not None and worth >= float(gains.max()):
            return self._told(known, int(again), worth, "measured again: its bounds are close")
        best = np.argsort(-gains, kind="stable")[:PRICED]
        seconds = self._seconds([known.configs[i] for i in new[best]])
        score = np.log(np.maximum(gains[best], 1e-300)) - max(0.0, 1 - used) * np.log(seconds)
        chosen = int(best[int(score.argmax())])
        return self._told(known, int(new[chosen]), float(gains[chosen]), "")

    def best(self, trials: Sequence[Trial]) -> Trial:
        """The measured config that is best by what all measurements say together, among those that
        are likely to hold their bounds; else the one that is likeliest to."""
        known = self._learn(trials, np.random.default_rng([self._seed, len(trials)]))
        if not known.measured.size:
            return best_trial(trials, self._objective)
        chosen = self._chosen(known, known.measured, SAFE)
        of_it = [t for t in trials if t.state == "finished" and t.config == known.configs[chosen]]
        return best_trial(of_it, self._objective)

    def guess(self, trials: Sequence[Trial] = ()) -> Config:
        """The config that is best by what is known, whether it was measured or not."""
        known = self._learn(trials, np.random.default_rng([self._seed, len(trials)]))
        return known.configs[self._chosen(known, np.arange(len(known.configs)), SURE)]

    def ranked(self) -> list[Config]:
        """All candidates of the base, the best first by what is believed of them."""
        known = self._learn((), np.random.default_rng(self._seed))
        rows = np.arange(len(known.configs))
        (wanted, *_), bounds = self._goals()
        chance = chance_of_all(bounds, known.metrics, rows)
        cost = wanted.sign * known.metrics[wanted.metric].at(rows)[0]
        order = np.lexsort((cost, np.where(chance >= SURE, 0.0, -chance)))
        return [known.configs[i] for i in order]

    # -- inside -----------------------------------------------------------------------------

    def _learn(self, trials: Sequence[Trial], rng: np.random.Generator) -> Known:
        """Posteriors at all points; what others measure now counts as it is expected to be."""
        finished = [t for t in trials if t.state == "finished"]
        ranked = sorted(finished, key=lambda t: self._objective.rank(t.metrics))
        best = list(dict.fromkeys(t.config for t in ranked))[:BEST]
        points = self._points([t.config for t in trials], self._candidates.around(best, rng))
        known = self._fit(points, _values(finished, self._objective.metrics))
        pending = [t.config for t in trials if t.state == "running"]
        if not pending:
            return known
        values = dict(_values(finished, self._objective.metrics))
        for config in pending:
            expected = {
                name: self._scale(name).back(float(p.at(np.array([known.rows[config]]))[0][0]))
                for name, p in known.metrics.items()
            }
            values[config] = [*values.get(config, ()), expected]
        return self._fit(points, values)

    def _fit(self, points: _Points, values: Values) -> Known:
        metrics = {}
        for name in self._objective.metrics:
            seen = self._seen(name, points, values)
            metrics[name] = posterior(points.at, points.beliefs[name], seen, self._scale(name))
        measured = np.array([points.rows[c] for c in values], dtype=np.intp)
        return Known(points.configs, points.rows, metrics, measured)

    def _seen(self, name: str, points: _Points, values: Values) -> Observations:
        on, belief = self._scale(name), points.beliefs[name]
        stands_in = self._indirect and METRICS[name].kind == "ranking" and belief is not None
        return Observations(
            np.array([points.rows[config] for config in values], dtype=np.intp),
            np.array([on.of(np.array([m[name] for m in v])).mean() for v in values.values()]),
            np.array([float(len(v)) for v in values.values()]),
            belief.indirect if stands_in and belief is not None else 0.0,
        )

    def _points(self, tried: Sequence[Config], near: Sequence[Config]) -> _Points:
        if self._base is None:
            self._base = self._made(tuple(self._candidates.base))
        base = self._base
        more = [c for c in dict.fromkeys([*tried, *near]) if c not in base.rows]
        return base.joined(self._made(tuple(more))) if more else base

    def _made(self, configs: tuple[Config, ...]) -> _Points:
        beliefs = {
            name: None if self._prior is None else self._prior.believe(name, configs)
            for name in self._objective.metrics
        }
        rows = {c: i for i, c in enumerate(configs)}
        return _Points(configs, rows, encoded(self._space, configs), beliefs)

    def _goals(self) -> tuple[list[Goal], list[Goal]]:
        """Objectives, and bounds."""
        objective = self._objective
        wanted = [Goal(objective.metric, -1.0 if objective.direction == "max" else 1.0)]
        bounds = []
        for slo in objective.slos:
            sign = 1.0 if slo.at_most else -1.0
            bound = float(self._scale(slo.metric).of(slo.bound))
            bounds.append(Goal(slo.metric, sign, sign * bound))
        return wanted, bounds

    def _gains(self, known: Known, new: np.ndarray, rng: np.random.Generator) -> Floats:
        wanted, bounds = self._goals()
        drawn = [
            draw(goal, known.metrics[goal.metric], new, len(known.measured), rng)
            for goal in (*wanted, *bounds)
        ]
        return expected_improvement(drawn[0], drawn[1:])

    def _chosen(self, known: Known, rows: np.ndarray, least: float) -> int:
        """The best of some points among those that hold all bounds with a chance of ``least``."""
        (wanted, *_), bounds = self._goals()
        chance = chance_of_all(bounds, known.metrics, rows)
        cost = wanted.sign * known.metrics[wanted.metric].at(rows)[0]
        safe = chance >= least
        order = np.where(safe, cost, np.inf) if safe.any() else -chance
        return int(rows[int(order.argmin())])

    def _again(self, known: Known, trials: Sequence[Trial]) -> tuple[int | None, float]:
        """The measured config that would be best if its bounds held for sure, and what it is worth
        to know."""
        (wanted, *_), bounds = self._goals()
        rows = known.measured
        if not bounds or not rows.size:
            return None, 0.0
        chance = chance_of_all(bounds, known.metrics, rows)
        cost = wanted.sign * known.metrics[wanted.metric].at(rows)[0]
        counts = np.array([sum(t.config == known.configs[i] for t in trials) for i in rows])
        safe = cost[chance >= SAFE]
        ahead = np.maximum((safe.min() if safe.size else cost.max()) - cost, 0.0)
        worth = np.where(counts < MOST_REPEATS, ahead * np.minimum(chance, 1.0 - chance), 0.0)
        at = int(worth.argmax())
        return (int(rows[at]), float(worth[at])) if worth[at] > 0 else (None, 0.0)

    def _seconds(self, configs: Sequence[Config]) -> Floats:
        expected = [self._costs.estimate(c, self._queries).seconds for c in configs]
        seconds: Floats = np.maximum(np.array(expected), LEAST_SECONDS)
        return seconds

    def _told(self, known: Known, row: int, gain: float, why: str) -> Proposal:
        (wanted, *_), bounds = self._goals()
        at = np.array([row])
        chance = float(chance_of_all(bounds, known.metrics, at)[0]) if bounds else None
        mean, deviation = (float(x[0]) for x in known.metrics[wanted.metric].at(at))
        on = self._scale(wanted.metric)
        low, high = (on.back(mean + side * deviation) for side in (-1.0, 1.0))
        told = f"{wanted.metric} {low:.3g} to {high:.3g} expected"
        if chance is not None:
            told += f", holds every bound with {chance:.0%}"
        return Proposal(known.configs[row], f"{why}; {told}" if why else told, gain, chance)

    def _scale(self, name: str) -> Scale:
        return scale(name, self._queries)


@dataclass(frozen=True)
class _Points:
    """Configs, as points, with the beliefs about them."""

    configs: tuple[Config, ...]
    rows: Mapping[Config, int]
    at: Floats
    beliefs: Mapping[str, Belief | None]

    def joined(self, more: _Points) -> _Points:
        configs = (*self.configs, *more.configs)
        beliefs = {
            name: None if one is None or other is None else one.joined(other)
            for name, one in self.beliefs.items()
            for other in [more.beliefs[name]]
        }
        rows = {c: i for i, c in enumerate(configs)}
        return _Points(configs, rows, np.vstack([self.at, more.at]), beliefs)


def _values(
    finished: Sequence[Trial], names: Sequence[str]
) -> dict[Config, list[Mapping[str, float]]]:
    """Config → metrics of every time it was measured; those that lack one that counts are out."""
    found: dict[Config, list[Mapping[str, float]]] = {}
    for trial in finished:
        if all(math.isfinite(trial.metrics.get(name, math.nan)) for name in names):
            found.setdefault(trial.config, []).append(trial.metrics)
    return found
