"""Which knobs explained what was measured, among the trials of one study.

A forest of extremely randomised trees (Geurts, Ernst and Wehenkel 2006) learns a metric from the
knobs of the trials that were measured. What it predicts of a trial is shared out among the knobs by
their Shapley values (Štrumbelj and Kononenko 2014): what it changes, on average over other trials
and over the order of the knobs, that a knob takes this trial's value. A trial's values add up to
the distance of its prediction from the mean one, so that the variance of all predictions is the sum
over knobs of Cov(values of the knob, predictions): that is a knob's share (the decomposition of
Shorrocks 1982), interactions included. Unlike the functional ANOVA of forests (Hutter, Hoos and
Leyton-Brown 2014) it speaks of the trials that were made, not of a space most of which nobody
measured.

Shares are scaled to the variance that trees explain of trials they have not seen (R², out of bag):
what they lack to 1 is noise, or more than so few trials can tell. Where that is little, or trials
are few, no shares are given. A knob that is inactive in a config stands at its usual value there,
so that what a reranker brings is counted for the knob that switches it on. Times, memory and tokens
are explained by their logarithms. Values beyond Tukey's fences are drawn in to them: a search makes
a few very bad trials early and many good ones that differ little, and it is not the few, each the
only one of its kind, that the shares should be of.

To describe a study, not to choose by: a knob that was hardly varied cannot show what it is worth,
and knobs that were changed together share it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autorag.optimizer.scales import Floats, scale
from autorag.ports import Trial
from autorag.space import Config

FEWEST = 10
"""Configs from which on shares are given."""

LEAST_EXPLAINED = 0.3
"""R² out of bag from which on shares are given: below, noise gets shares like those of knobs."""

FENCE = 1.5
"""Interquartile ranges beyond the quartiles (Tukey 1977)."""

TREES = 100
MOST_EXPLAINED = 200
"""Trials whose predictions are shared out; the forest learns from all."""

PREDICTIONS = 60_000
"""About as many predictions are asked for Shapley values."""

FEWEST_ORDERS, MOST_ORDERS = 8, 64

Predict = Callable[[Floats], Floats]
"""Points ``(n, width)`` → predictions ``(n,)``."""


@dataclass(frozen=True, slots=True)
class Importance:
    """What explained one metric.

    Attributes:
        configs: distinct ones that were measured.
        shares: knob → share of the variance of the metric over the trials, the largest first. Knobs
            that never varied are left out.
        unknown: why there are no shares; empty where there are.
    """

    metric: str
    configs: int
    shares: Mapping[str, float] = field(default_factory=dict)
    unknown: str = ""

    @property
    def explained(self) -> float:
        """Share of the variance that all knobs explain."""
        return sum(self.shares.values())


def importance(trials: Sequence[Trial], metric: str, seed: int = 0) -> Importance:
    """What explained a metric among these trials; the same for the same trials and seed."""
    measured = [t for t in trials if t.state == "finished" and metric in t.metrics]
    measured = [t for t in measured if math.isfinite(t.metrics[metric])]
    count = len({t.config for t in measured})
    if count < FEWEST:
        short = f"configs measured: {count}; it takes {FEWEST} to tell knobs apart"
        return Importance(metric, count, unknown=short)
    values = _fenced(scale(metric, 1).of(np.array([t.metrics[metric] for t in measured])))
    if float(np.ptp(values)) < 1e-12:
        return Importance(metric, count, unknown=f"{metric} was the same in all trials")
    blocks = _blocks([t.config for t in measured])
    try:
        forest = _forest(np.hstack(list(blocks.values())), values, seed)
    except ImportError as error:
        return Importance(metric, count, unknown=f"it is computed by scikit-learn: {error}")
    explained = float(forest.oob_score_)
    if explained < LEAST_EXPLAINED:
        few = f"{100 * max(explained, 0.0):.0f} % of the differences between {count} configs"
        vague = f"{few} can be explained: too little to tell knobs apart"
        return Importance(metric, count, unknown=vague)
    return Importance(metric, count, _shares(forest.predict, blocks, explained, seed))


def joined(told: Sequence[Importance]) -> dict[str, float]:
    """Knob → mean share over the metrics that could be explained, the largest first."""
    known = [one for one in told if one.shares]
    total: Counter[str] = Counter()
    for one in known:
        total.update(one.shares)
    return {knob: round(share / len(known), 4) for knob, share in total.most_common()}


# -- inside -------------------------------------------------------------------------------------


def _fenced(values: Floats) -> Floats:
    """The values ``(n,)``, none beyond Tukey's fences."""
    low, high = np.quantile(values, [0.25, 0.75])
    reach = FENCE * (high - low)
    return np.clip(values, low - reach, high + reach) if reach > 0 else values


def _forest(points: Floats, values: Floats, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(TREES, bootstrap=True, oob_score=True, random_state=seed)
    return forest.fit(points, values)


def _shares(
    predict: Predict, blocks: Mapping[str, Floats], explained: float, seed: int
) -> dict[str, float]:
    """Knob → share, the largest first; they add up to what is explained."""
    rng = np.random.default_rng(seed)
    points, widths = np.hstack(list(blocks.values())), [b.shape[1] for b in blocks.values()]
    shown = points[np.sort(rng.permutation(len(points))[:MOST_EXPLAINED])]
    effects = shapley_values(predict, shown, widths, rng)
    centred = effects - effects.mean(axis=0)
    parts = np.maximum(centred.T @ centred.sum(axis=1), 0.0)
    parts *= explained / max(float(parts.sum()), 1e-300)
    names = list(blocks)
    return {names[i]: float(parts[i]) for i in np.argsort(-parts, kind="stable")}


def shapley_values(
    predict: Predict, points: Floats, widths: Sequence[int], rng: np.random.Generator
) -> Floats:
    """What each group of columns does for the prediction at each point, ``(n, groups)``.

    Estimated over random orders of the groups, each of them from another point: a row adds up to
    the difference of the predictions at its point and at those that it was compared with.

    Args:
        points: ``(n, width)``.
        widths: columns of each group, in order; they add up to ``width``.
    """
    (count, groups), edges = (len(points), len(widths)), np.cumsum([0, *widths])
    drawn = PREDICTIONS // (count * (groups + 1))
    drawn = min(MOST_ORDERS, max(FEWEST_ORDERS, drawn))
    orders = [rng.permutation(groups) for _ in range(drawn)]
    paths = np.empty((drawn, groups + 1, *points.shape))
    for path, order in zip(paths, orders, strict=True):
        path[0] = points[rng.permutation(count)]
        for step, group in enumerate(order, start=1):
            columns = slice(edges[group], edges[group + 1])
            path[step] = path[step - 1]
            path[step, :, columns] = points[:, columns]
    effects = np.zeros((count, groups))
    for order, gains in zip(orders, np.diff(_along(predict, paths), axis=1), strict=True):
        effects[:, order] += gains.T
    return effects / drawn


def _along(predict: Predict, paths: Floats) -> Floats:
    """Predictions along paths ``(paths, steps, n, width)``, ``(paths, steps, n)``; asked only where
    a step moves."""
    moved = np.ones(paths.shape[:3], dtype=bool)
    moved[:, 1:] = (paths[:, 1:] != paths[:, :-1]).any(axis=3)
    asked = predict(paths[moved])
    at = np.zeros(paths.shape[:3], dtype=np.intp)
    at[moved] = np.arange(len(asked))
    found: Floats = asked[np.maximum.accumulate(at, axis=1)]
    return found


def _blocks(configs: Sequence[Config]) -> dict[str, Floats]:
    """Knob → its columns ``(n, width)``: the place of a number among those that occur, or one
    column a choice. Only of knobs that varied where they were active."""
    names = dict.fromkeys(knob for config in configs for knob in config)
    found = {}
    for name in names:
        values = [config.get(name) for config in configs]
        active = [v for v in values if v is not None]
        if len({repr(v) for v in active}) > 1:
            found[name] = _numbers(values) if _all_numbers(active) else _choices(values)
    return found


def _all_numbers(values: Sequence[object]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _numbers(values: Sequence[object]) -> Floats:
    active = np.array([v for v in values if v is not None], dtype=np.float64)
    usual = np.quantile(active, 0.5, method="lower")
    filled = np.array([usual if v is None else v for v in values], dtype=np.float64)
    places: Floats = np.searchsorted(np.unique(active), filled).astype(np.float64)
    return places[:, None]


def _choices(values: Sequence[object]) -> Floats:
    told = [repr(v) for v in values if v is not None]
    usual = Counter(sorted(told)).most_common(1)[0][0]
    filled = np.array([usual if v is None else repr(v) for v in values])
    chosen: Floats = (filled[:, None] == np.unique(told)).astype(np.float64)
    return chosen
