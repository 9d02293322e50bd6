"""How much another measurement is expected to improve on the best one so far.

*Noisy expected improvement under constraints* (Letham, Karrer, Ottoni and Bakshy 2019): what was
measured is known up to noise, so the best feasible config so far is not known for sure either.
Every draw of the true values at the measured configs has a best; given the draw, the improvement of
another config on it is normal and its expectation closed (Jones et al. 1998), times the chance that
its constraints hold. The mean over draws is what is expected. The draws' other axis, a finite set
of candidates, needs no gradient, so it is all a few products of matrices.

Where a draw has no feasible config, anything feasible improves on it by all that candidates differ.
What lies beyond the best there can be (a recall above 1) is no improvement.

For two objectives it is the expected improvement of the *hypervolume* (Daulton et al. 2021), over
draws of the front and of the candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autorag.optimizer.posterior import Posterior
from autorag.optimizer.scales import Floats

DRAWS = 96
OF_CANDIDATE = 4
"""Draws of a candidate for every draw of the front; the same numbers for all candidates."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of one metric, on its scale and so that less is better.

    Attributes:
        sign: -1 where the metric is to be large.
        bound: largest signed value that holds; None for an objective.
        ideal: the best signed value there can be, where there is one.
    """

    metric: str
    sign: float
    bound: float | None = None
    ideal: float | None = None


@dataclass(frozen=True)
class Drawn:
    """Joint draws of one goal's signed values.

    Attributes:
        seen: at measured configs, ``(n, s)``.
        mean: elsewhere given each draw, ``(k, s)``.
        deviation: the same, ``(k, s)``.
    """

    goal: Goal
    seen: Floats
    mean: Floats
    deviation: Floats


def draw(
    goal: Goal, known: Posterior, rows: np.ndarray, count: int, rng: np.random.Generator
) -> Drawn:
    """Draws of a goal at ``count`` measured configs, and at points ``(k,)`` given each.

    Every explanation of the posterior gets as many draws as it weighs.
    """
    edges = np.round(np.cumsum(known.weights) * DRAWS).astype(int)
    parts = []
    for one, size in zip(known.fitted, np.diff(edges, prepend=0), strict=True):
        seen, mean, deviation = one.paths(rows, rng.standard_normal((count, size)))
        parts.append((seen, mean, np.repeat(deviation[:, None], size, axis=1)))
    order = rng.permutation(DRAWS)
    seen, mean, deviation = (np.hstack([p[i] for p in parts])[:, order] for i in range(3))
    return Drawn(goal, goal.sign * seen, goal.sign * mean, deviation)


def feasible(bounds: Sequence[Drawn], shape: tuple[int, int]) -> tuple[np.ndarray, Floats]:
    """Whether measured configs hold all bounds ``(n, s)``, and the chance that others do
    ``(k, s)``; ``shape`` is that of the latter."""
    from scipy.special import ndtr

    held = np.ones((bounds[0].seen.shape if bounds else (0, shape[1])), dtype=bool)
    chance = np.ones(shape)
    for one in bounds:
        assert one.goal.bound is not None
        held &= one.seen <= one.goal.bound
        chance *= ndtr((one.goal.bound - one.mean) / one.deviation)
    return held, chance


def expected_improvement(objective: Drawn, bounds: Sequence[Drawn]) -> Floats:
    """Expected improvement of the objective ``(k,)``, on its scale."""
    held, chance = feasible(bounds, objective.mean.shape)
    if not bounds:
        held = np.ones(objective.seen.shape, dtype=bool)
    worst = (objective.mean + 2.0 * objective.deviation).max(axis=0)
    best = np.where(held, objective.seen, np.inf).min(axis=0, initial=np.inf)
    best = np.where(np.isfinite(best), best, worst)
    gain = improvement(best - objective.mean, objective.deviation)
    if objective.goal.ideal is not None:
        gain -= improvement(objective.goal.ideal - objective.mean, objective.deviation)
    mean: Floats = (np.maximum(gain, 0.0) * chance).mean(axis=1)
    return mean


def improvement(ahead: Floats, deviation: Floats) -> Floats:
    """E[max(0, N(ahead, deviation²))], of the same shape."""
    from scipy.special import ndtr

    z = ahead / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    gain: Floats = deviation * (density + z * ndtr(z))
    return np.maximum(gain, 0.0)


def expected_hypervolume(
    objectives: tuple[Drawn, Drawn],
    bounds: Sequence[Drawn],
    reference: tuple[float, float],
    rng: np.random.Generator,
) -> Floats:
    """Expected improvement ``(k,)`` of the area that two objectives dominate up to a reference
    point, where bounds hold."""
    shape = objectives[0].mean.shape
    held, chance = feasible(bounds, shape)
    if not bounds:
        held = np.ones(objectives[0].seen.shape, dtype=bool)
    gains = np.zeros(shape)
    for s in range(shape[1]):
        points = np.stack([o.seen[held[:, s], s] for o in objectives], axis=1)
        for normal in rng.standard_normal((OF_CANDIDATE, 2)):
            x, y = (
                o.mean[:, s] + o.deviation[:, s] * z
                for o, z in zip(objectives, normal, strict=True)
            )
            gains[:, s] += added_area(x, y, points, reference) / OF_CANDIDATE
    mean: Floats = (gains * chance).mean(axis=1)
    return mean


def added_area(x: Floats, y: Floats, points: Floats, reference: tuple[float, float]) -> Floats:
    """The area that points ``(x, y)`` each add to what ``points`` ``(n, 2)`` dominate, up to the
    reference; all are minimised. ``(k,)``."""
    corners = front(points)
    lefts = np.concatenate([[-np.inf], corners[:, 0]])
    rights = np.concatenate([corners[:, 0], [reference[0]]])
    tops = np.concatenate([[reference[1]], corners[:, 1]])
    widths = np.minimum(rights, reference[0]) - np.maximum(x[:, None], lefts)
    heights = np.minimum(tops, reference[1]) - y[:, None]
    area: Floats = (np.maximum(widths, 0.0) * np.maximum(heights, 0.0)).sum(axis=1)
    return area


def front(points: Floats) -> Floats:
    """The points ``(n, 2)`` that no other dominates, by ascending first value, minimised."""
    order = np.lexsort((points[:, 1], points[:, 0]))
    ordered = points[order]
    lowest = np.minimum.accumulate(ordered[:, 1])
    kept = np.ones(len(ordered), dtype=bool)
    kept[1:] = ordered[1:, 1] < lowest[:-1]
    return ordered[kept]


def hypervolume(points: Floats, reference: tuple[float, float]) -> float:
    """The area that points ``(n, 2)`` dominate up to the reference, minimised."""
    inside = points[(points < reference).all(axis=1)]
    corners = front(inside)
    tops = np.concatenate([[reference[1]], corners[:-1, 1]]) if len(corners) else np.empty(0)
    widths = reference[0] - corners[:, 0]
    return float((widths * (tops - corners[:, 1])).sum())


def chance_of_all(
    goals: Sequence[Goal], known: Mapping[str, Posterior], rows: np.ndarray
) -> Floats:
    """The chance ``(k,)`` that points hold all bounds, taken as independent given the models."""
    chance = np.ones(len(rows))
    for goal in goals:
        assert goal.bound is not None
        at_most = known[goal.metric].chance_at_most(goal.sign * goal.bound, rows)
        chance *= at_most if goal.sign > 0 else 1.0 - at_most
    return chance
