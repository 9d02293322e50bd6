"""What a search knows at a step: posteriors of every metric of its objective, at all candidates.

Less is better on every goal: its *signed* value is that of the metric on its scale, negated where
the metric is to be large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autorag.metrics import METRICS
from autorag.objective import Objective
from autorag.optimizer.acquisition import Goal, chance_of_all
from autorag.optimizer.candidates import Candidates, encoded
from autorag.optimizer.posterior import Observations, Posterior, posterior
from autorag.optimizer.scales import Floats, Scale, scale
from autorag.ports import SEEN, Belief, Prior, Trial
from autorag.space import Config, Space

BEST = 4
"""Measured configs around which candidates are made."""

MEASURED = ("finished", "censored")
"""States of trials that tell something; of those that lost a race, as much as they saw."""

MOST_MEASURED = 120
"""Configs that posteriors are computed from: half of them the best, the others the newest."""

Values = dict[Config, list[tuple[Mapping[str, float], float]]]
"""Config → metrics of every time it was measured, and on which share of the queries."""


@dataclass(frozen=True)
class Known:
    """What is known at a step.

    Attributes:
        wanted: objectives, one or two; ``bounds``: what must hold.
        configs: all points: measured ones and candidates.
        rows: config → point.
        metrics: metric → posterior at the points.
        measured: points that were measured, ``(n,)``.
    """

    wanted: Sequence[Goal]
    bounds: Sequence[Goal]
    configs: Sequence[Config]
    rows: Mapping[Config, int]
    metrics: Mapping[str, Posterior]
    measured: np.ndarray

    def cost(self, rows: np.ndarray, goal: int = 0) -> Floats:
        """Expected signed value of an objective at points, ``(k,)``."""
        wanted = self.wanted[goal]
        cost: Floats = wanted.sign * self.metrics[wanted.metric].at(rows)[0]
        return cost

    def chance(self, rows: np.ndarray) -> Floats:
        """The chance that points hold all bounds, ``(k,)``."""
        return chance_of_all(self.bounds, self.metrics, rows)

    def best(self, rows: np.ndarray, least: float) -> int:
        """The best of some points among those that hold all bounds with a chance of ``least``; the
        likeliest where there is none."""
        chance = self.chance(rows)
        safe = chance >= least
        order = np.where(safe, self.cost(rows), np.inf) if safe.any() else -chance
        return int(rows[int(order.argmin())])


class Surrogate:
    """Learns from trials.

    Args:
        prior: None where nothing is known of other workloads.
        queries: on how many a trial is measured.
        seed: of the candidates around what is best.
        indirect: whether a stand-in for ranking metrics is measured (pseudo-queries).
    """

    def __init__(
        self,
        space: Space,
        objective: Objective,
        candidates: Candidates,
        prior: Prior | None,
        queries: int,
        *,
        seed: int,
        indirect: bool,
    ) -> None:
        self._space = space
        self._objective = objective
        self._candidates = candidates
        self._prior = prior
        self._queries = queries
        self._indirect = indirect
        self._seed = seed
        self._base: _Points | None = None
        self._last: tuple[list[Trial], Known] | None = None

    def learn(self, trials: Sequence[Trial]) -> Known:
        """Posteriors after these trials. Of what is being measured now the result is taken to be
        what is expected. What was learned last is kept: who asks for a proposal asks for the best
        so far too.

        Raises:
            LinAlgError: no posterior can be computed.
        """
        if self._last is None or self._last[0] != list(trials):
            self._last = list(trials), self._learned(trials)
        return self._last[1]

    def scale(self, name: str) -> Scale:
        """The scale of a metric, as it is measured here."""
        return scale(name, self._queries)

    def _learned(self, trials: Sequence[Trial]) -> Known:
        rng = np.random.default_rng([self._seed, len(trials)])
        finished = [t for t in trials if t.state in MEASURED]
        ranked = sorted(finished, key=lambda t: self._objective.rank(t.metrics))
        best = list(dict.fromkeys(t.config for t in ranked))[:BEST]
        points = self._points([t.config for t in trials], self._candidates.around(best, rng))
        kept = _kept(ranked, finished)
        values = _values(kept, self._objective)
        known = self._fit(points, values)
        pending = [t.config for t in trials if t.state == "running"]
        if not pending:
            return known
        for config in pending:
            values[config] = [*values.get(config, ()), (self._expected(known, config), 1.0)]
        return self._fit(points, values)

    def _expected(self, known: Known, config: Config) -> dict[str, float]:
        at = np.array([known.rows[config]])
        return {n: self.scale(n).back(float(p.at(at)[0][0])) for n, p in known.metrics.items()}

    def _fit(self, points: _Points, values: Values) -> Known:
        metrics = {
            name: posterior(
                points.at,
                points.beliefs[name],
                self._seen(name, points, values),
                self.scale(name),
            )
            for name in self._objective.metrics
        }
        measured = np.array([points.rows[c] for c in values], dtype=np.intp)
        return Known(*self._goals(), points.configs, points.rows, metrics, measured)

    def _seen(self, name: str, points: _Points, values: Values) -> Observations:
        on, belief = self.scale(name), points.beliefs[name]
        weigh = sum if on.noisy else max
        stands_in = self._indirect and METRICS[name].kind == "ranking"
        return Observations(
            np.array([points.rows[config] for config in values], dtype=np.intp),
            np.array([_mean(name, on, v) for v in values.values()]),
            np.array([weigh(share for _, share in v) for v in values.values()]),
            belief.indirect if stands_in and belief is not None else 0.0,
        )

    def _points(self, tried: Sequence[Config], near: Sequence[Config]) -> _Points:
        if self._base is None:
            self._base = self._made(tuple(self._candidates.base))
        base = self._base
        more = [c for c in dict.fromkeys([*tried, *near]) if c not in base.rows]
        return base.joined(self._made(tuple(more))) if more else base

    def _made(self, configs: tuple[Config, ...]) -> _Points:
        beliefs = {name: self._believed(name, configs) for name in self._objective.metrics}
        rows = {c: i for i, c in enumerate(configs)}
        return _Points(configs, rows, encoded(self._space, configs), beliefs)

    def _believed(self, name: str, configs: tuple[Config, ...]) -> Belief | None:
        """What is believed of a metric, None where that is no number."""
        found = None if self._prior is None else self._prior.believe(name, configs)
        if found is None or not np.isfinite(found.mean).all():
            return None
        return found if np.isfinite(found.factors).all() else None

    def _goals(self) -> tuple[list[Goal], list[Goal]]:
        objective = self._objective
        wanted = [_wanted(each) for each in objective.each]
        bounds = []
        for slo in objective.slos:
            sign = 1.0 if slo.at_most else -1.0
            bound = float(self.scale(slo.metric).of(slo.bound))
            bounds.append(Goal(slo.metric, sign, sign * bound))
        return wanted, bounds


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


def _wanted(objective: Objective) -> Goal:
    sign = -1.0 if objective.direction == "max" else 1.0
    if METRICS[objective.metric].unit:
        return Goal(objective.metric, sign)
    return Goal(objective.metric, sign, ideal=-1.0 if sign < 0 else 0.0)


def _kept(ranked: Sequence[Trial], finished: Sequence[Trial]) -> list[Trial]:
    """At most ``MOST_MEASURED`` trials."""
    if len(finished) <= MOST_MEASURED:
        return list(finished)
    best = ranked[: MOST_MEASURED // 2]
    newest = [t for t in reversed(finished) if t not in best]
    return [*best, *newest[: MOST_MEASURED - len(best)]]


def told(trial: Trial, objective: Objective) -> bool:
    """Whether a trial tells every metric of the objective."""
    return all(math.isfinite(trial.metrics.get(name, math.nan)) for name in objective.metrics)


def _values(measured: Sequence[Trial], objective: Objective) -> Values:
    """What was measured of each config; trials that lack a metric that counts are left out."""
    found: Values = {}
    for trial in measured:
        if told(trial, objective):
            share = float(trial.conditions.get(SEEN, 1.0))
            found.setdefault(trial.config, []).append((trial.metrics, share))
    return found


def _mean(name: str, on: Scale, measured: Sequence[tuple[Mapping[str, float], float]]) -> float:
    """The mean of a metric on its scale, each time weighing as much as it saw."""
    values, shares = zip(*((float(on.of(m[name])), share) for m, share in measured), strict=True)
    return float(np.average(values, weights=shares))
