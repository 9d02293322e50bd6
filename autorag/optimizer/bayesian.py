"""Bayesian optimisation that starts from what models learned on other workloads.

Before anything is measured, every metric of the objective has a belief (:class:`autorag.ports.
Prior`); what is measured turns it into a posterior (``surrogate``, ``posterior``), of which the
expected improvement is asked at every candidate (``candidates``, ``acquisition``). The proposal is
the candidate with the largest

    log(expected improvement) - α log(expected seconds) - β changed settings

with α = 1 - share of the budget used, where the seconds are those of a config *given the artifacts
that are built already*: while there is time, what is cheap is preferred (landmarks, and the hot
settings of a build that is there), towards the end what is best (Lee et al. 2020). Where it is only
likely that the best config holds its bounds on times, to measure it again is a candidate too.

Without a belief, on an objective or a space that models do not know, the same is a plain Gaussian
process. If no posterior can be computed the belief alone decides, and the proposal says so.

**On live traffic** a config that misses a bound hurts. With a ``risk``, only candidates are
proposed whose chance to miss one is below it, and that differ from a config that was measured and
held its bounds in few settings: one at first, one more with every three that held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from autorag.objective import Objective
from autorag.optimizer.acquisition import (
    chance_of_all,
    draw,
    expected_hypervolume,
    expected_improvement,
    hypervolume,
)
from autorag.optimizer.candidates import Candidates
from autorag.optimizer.scales import Floats
from autorag.optimizer.strategy import EXHAUSTED, Proposal, Stop, best_trial
from autorag.optimizer.surrogate import Known, Surrogate, told
from autorag.ports import CostModel, Prior, Trial
from autorag.space import Config, Space

SAFE = 0.65
"""Chance of holding all bounds from which on a measured config may be recommended."""

SURE = 0.9
"""The same of one that was not measured."""

PRICED = 400
"""Candidates whose seconds are asked, the best ones by expected improvement."""

MOST_REPEATS = 3
FEWEST = 8
"""Trials before a search may find that nothing is worth measuring."""

LEAST_SECONDS = 0.05
"""What a trial is taken to cost at least."""

LEAST_AREA = 0.003
"""A gain of hypervolume, as a share of what there is, below which measuring is not worth it."""

A_CHANGE = 0.02
"""What one more setting that differs from the current ones takes from the score: of configs that
are expected to gain as much, the one that changes less is tried."""

TRIALS_A_STEP = 3
HOPELESS = 2
"""Trials in which a choice fails, and none in which it works, before it is given up."""

AGAIN = "measured again: whether it holds its bounds is not clear"
NO_FIT = "by what is believed alone, as no posterior can be computed"


class BayesianSearch:
    """See the module.

    Args:
        prior: None where nothing is known of other workloads.
        costs: what measuring takes, as the study learns it.
        queries: on how many a trial is measured.
        indirect: whether a stand-in for ranking metrics is measured (pseudo-queries).
        risk: largest chance to miss a bound that a proposal may have; None for any.
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
        risk: float | None = None,
    ) -> None:
        self._objective = objective
        self._surrogate = Surrogate(
            space, objective, candidates, prior, queries, seed=seed, indirect=indirect
        )
        self._costs = costs
        self._queries = queries
        self._seed = seed
        self._risk = risk

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = np.inf
    ) -> Proposal | Stop:
        """See :class:`autorag.optimizer.strategy.Strategy`."""
        rng = np.random.default_rng([self._seed, len(trials)])
        try:
            known = self._surrogate.learn(trials)
            return self._proposed(known, trials, used, most_s, rng)
        except np.linalg.LinAlgError:
            if self._risk is not None:
                return Stop("no posterior can be computed, so nothing is known to be safe")
            tried = {t.config for t in trials}
            left = (Proposal(c, NO_FIT) for c in self.ranked() if c not in tried)
            return next(left, EXHAUSTED)

    def best(self, trials: Sequence[Trial]) -> Trial:
        """The measured config that is best by what all measurements say together, among those that
        are likely to hold their bounds; else the one that is likeliest to; as it was measured last.
        Of a front (two objectives), and where no posterior can be computed, what was measured
        decides."""
        try:
            known = self._surrogate.learn(trials)
        except np.linalg.LinAlgError:
            return best_trial(trials, self._objective)
        if not known.measured.size or len(known.wanted) > 1:
            return best_trial(trials, self._objective)
        by_row: dict[int, list[Trial]] = {}
        for trial in trials:
            if trial.state == "finished":
                by_row.setdefault(known.rows[trial.config], []).append(trial)
        rows = np.array([r for r in known.measured if r in by_row], dtype=np.intp)
        if not rows.size:
            return best_trial(trials, self._objective)
        return by_row[known.best(rows, SAFE)][-1]

    def guess(self, trials: Sequence[Trial] = ()) -> Config:
        """The config that is best by what is known, whether it was measured or not."""
        known = self._surrogate.learn(trials)
        return known.configs[known.best(np.arange(len(known.configs)), SURE)]

    def ranked(self) -> list[Config]:
        """All candidates, the best first by what is believed of them before any trial."""
        known = self._surrogate.learn(())
        rows = np.arange(len(known.configs))
        chance = known.chance(rows)
        order = np.lexsort((known.cost(rows), np.where(chance >= SURE, -1.0, -chance)))
        return [known.configs[i] for i in order]

    # -- inside -----------------------------------------------------------------------------

    def _proposed(
        self,
        known: Known,
        trials: Sequence[Trial],
        used: float,
        most_s: float,
        rng: np.random.Generator,
    ) -> Proposal | Stop:
        tried = {t.config for t in trials}
        new = np.array([i for i, c in enumerate(known.configs) if c not in tried], dtype=np.intp)
        new = self._allowed(known, _promising(known, new, trials, self._objective), trials)
        gains = self._gains(known, new, rng) if new.size else np.zeros(0)
        again, worth = self._again(known, trials, most_s)
        most = max(float(gains.max(initial=0.0)), worth)
        if not new.size and again is None:
            return EXHAUSTED if self._risk is None else Stop("nothing else is safe enough to try")
        finished = sum(t.state == "finished" for t in trials)
        if finished > FEWEST and most < self._least(known):
            return Stop(f"no config is expected to gain more than {most:.2g}")
        if again is not None and worth >= float(gains.max(initial=0.0)):
            return self._told(known, again, worth, AGAIN)
        best, seconds = self._affordable(known, new, gains, most_s)
        if not best.size:
            return Stop(f"nothing that is worth measuring fits into {most_s:.0f} s")
        current = trials[0].config if trials else known.configs[0]
        changed = np.array([len(current.changed(known.configs[i])) for i in new[best]])
        score = np.log(np.maximum(gains[best], 1e-300)) - A_CHANGE * changed
        score -= max(0.0, 1 - used) * np.log(seconds)
        chosen = int(best[int(score.argmax())])
        return self._told(known, int(new[chosen]), float(gains[chosen]), "")

    def _affordable(
        self, known: Known, new: np.ndarray, gains: Floats, most_s: float
    ) -> tuple[np.ndarray, Floats]:
        """The candidates of largest gain that fit into the time, by index, and their seconds."""
        order = np.argsort(-gains, kind="stable")
        for start in range(0, len(order), PRICED):
            some = order[start : start + PRICED]
            seconds = self._seconds([known.configs[i] for i in new[some]])
            fits = seconds <= most_s
            if fits.any():
                return some[fits], seconds[fits]
        return np.empty(0, dtype=np.intp), np.empty(0)

    def _allowed(self, known: Known, new: np.ndarray, trials: Sequence[Trial]) -> np.ndarray:
        """Candidates that are safe enough to be tried."""
        if self._risk is None:
            return new
        held = [t for t in trials if t.state == "finished" and self._objective.feasible(t.metrics)]
        steps = 1 + len(held) // TRIALS_A_STEP
        near = [
            i
            for i in new[known.chance(new) >= 1.0 - self._risk]
            if any(len(t.config.changed(known.configs[i])) <= steps for t in held)
        ]
        return np.array(near, dtype=np.intp)

    def _gains(self, known: Known, new: np.ndarray, rng: np.random.Generator) -> Floats:
        count = len(known.measured)
        drawn = [
            draw(goal, known.metrics[goal.metric], new, count, rng)
            for goal in (*known.wanted, *known.bounds)
        ]
        if len(known.wanted) == 1:
            return expected_improvement(drawn[0], drawn[1:])
        first, second, *bounds = drawn
        return expected_hypervolume((first, second), bounds, reference(known), rng)

    def _least(self, known: Known) -> float:
        """The least gain that is worth a measurement."""
        if len(known.wanted) == 1:
            return self._surrogate.scale(self._objective.metric).least_gain
        front = np.stack([known.cost(known.measured, goal) for goal in (0, 1)], axis=1)
        return LEAST_AREA * hypervolume(front, reference(known))

    def _again(
        self, known: Known, trials: Sequence[Trial], most_s: float
    ) -> tuple[int | None, float]:
        """The measured config that would be best if its bounds on times held for sure, and what it
        is worth to know. Other metrics are the same however often they are measured."""
        tried = Counter(known.rows[t.config] for t in trials)
        pending = {known.rows[t.config] for t in trials if t.state == "running"}
        rows = np.array([r for r in known.measured if r not in pending], dtype=np.intp)
        times = [g for g in known.bounds if self._surrogate.scale(g.metric).noisy]
        if not times or not rows.size or len(known.wanted) > 1:
            return None, 0.0
        chance, cost = known.chance(rows), known.cost(rows)
        doubt = chance_of_all(times, known.metrics, rows)
        doubt = np.minimum(doubt, 1.0 - doubt) * (chance / np.maximum(doubt, 1e-12))
        again = np.array([tried[r] < MOST_REPEATS for r in rows])
        safe = cost[chance >= SAFE]
        ahead = np.maximum((safe.min() if safe.size else cost.max()) - cost, 0.0)
        if self._risk is not None:
            again &= chance >= 1.0 - self._risk
        worth = np.where(again, ahead * doubt, 0.0)
        at = int(worth.argmax())
        fits = worth[at] > 0 and self._seconds([known.configs[rows[at]]])[0] <= most_s
        return (int(rows[at]), float(worth[at])) if fits else (None, 0.0)

    def _seconds(self, configs: Sequence[Config]) -> Floats:
        expected = [self._costs.estimate(c, self._queries).seconds for c in configs]
        seconds: Floats = np.maximum(np.array(expected), LEAST_SECONDS)
        return seconds

    def _told(self, known: Known, row: int, gain: float, why: str) -> Proposal:
        at = np.array([row])
        parts = [why] if why else []
        for goal in known.wanted:
            on = self._surrogate.scale(goal.metric)
            mean, deviation = (float(x[0]) for x in known.metrics[goal.metric].at(at))
            low, high = (on.back(mean + side * deviation) for side in (-1.0, 1.0))
            if goal.ideal is not None:
                low, high = max(low, 0.0), min(high, 1.0)
            parts.append(f"{goal.metric} {low:.3g} to {high:.3g} expected")
        chance = float(known.chance(at)[0]) if known.bounds else None
        if chance is not None:
            parts.append(f"every bound held with {chance:.0%}")
        return Proposal(known.configs[row], ", ".join(parts), gain, chance)


def _promising(
    known: Known, new: np.ndarray, trials: Sequence[Trial], objective: Objective
) -> np.ndarray:
    """Candidates without what never worked: a choice with which ``HOPELESS`` trials failed, or did
    not tell what the objective needs, and none succeeded. All of them where none is left."""
    failed: Counter[tuple[str, object]] = Counter()
    worked: set[tuple[str, object]] = set()
    for trial in trials:
        parts = [(k, v) for k, v in trial.config.items() if isinstance(v, str)]
        if trial.state == "failed" or (trial.metrics and not told(trial, objective)):
            failed.update(parts)
        elif trial.metrics:
            worked.update(parts)
    hopeless = {p for p, times in failed.items() if times >= HOPELESS and p not in worked}
    if not hopeless:
        return new
    kept = [i for i in new if hopeless.isdisjoint(known.configs[i].items())]
    return np.array(kept, dtype=np.intp) if kept else new


def reference(known: Known) -> tuple[float, float]:
    """The signed values up to which a front's area counts: the worst that is expected."""
    rows = np.arange(len(known.configs))
    first, second = (float(known.cost(rows, goal).max()) for goal in (0, 1))
    return first, second
