"""Expected improvement and hypervolume: closed forms against draws and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.optimizer.acquisition import (
    Drawn,
    Goal,
    added_area,
    expected_hypervolume,
    expected_improvement,
    front,
    hypervolume,
    improvement,
)

WANTED = Goal("ndcg_at_10", -1.0)
BOUND = Goal("latency_p95_ms", 1.0, 2.0)
unit = st.floats(0.0, 1.0)
clouds = st.lists(st.tuples(unit, unit), max_size=8)


def drawn(goal: Goal, seen: list[float], mean: list[float], deviation: float, draws: int) -> Drawn:
    return Drawn(
        goal,
        np.repeat(np.array(seen)[:, None], draws, axis=1),
        np.repeat(np.array(mean)[:, None], draws, axis=1),
        np.full((len(mean), draws), deviation),
    )


@pytest.mark.parametrize(("ahead", "deviation"), [(0.3, 0.2), (-0.5, 0.2), (0.0, 1.0)])
def test_improvement_is_the_mean_of_what_is_gained(ahead: float, deviation: float) -> None:
    draws = ahead + deviation * np.random.default_rng(0).standard_normal(400_000)
    found = improvement(np.array([ahead]), np.array([deviation]))
    assert found[0] == pytest.approx(np.maximum(draws, 0).mean(), abs=2e-3)


def test_a_bound_that_is_likely_missed_takes_its_share() -> None:
    objective = drawn(WANTED, [-0.5], [-0.7, -0.7], 0.01, 4)
    latency = drawn(BOUND, [1.0], [2.0, 0.0], 0.5, 4)
    half, whole = expected_improvement(objective, [latency])
    assert half == pytest.approx(0.1, abs=1e-3)
    assert whole == pytest.approx(0.2, abs=1e-3)


def test_what_misses_a_bound_is_no_incumbent() -> None:
    objective = drawn(WANTED, [-0.9, -0.5], [-0.6], 0.01, 4)
    latency = drawn(BOUND, [3.0, 1.0], [0.0], 0.1, 4)
    assert expected_improvement(objective, [latency])[0] == pytest.approx(0.1, abs=1e-3)


def test_where_nothing_is_feasible_the_likeliest_of_equals_is_best() -> None:
    objective = drawn(WANTED, [-0.9], [-0.6, -0.6], 0.1, 4)
    latency = drawn(BOUND, [3.0], [2.5, 1.5], 0.3, 4)
    unlikely, likely = expected_improvement(objective, [latency])
    assert likely > 5 * unlikely > 0


def test_what_lies_beyond_the_best_there_can_be_is_no_gain() -> None:
    ratio = Goal("recall_at_10", -1.0, ideal=-1.0)
    near, far = (
        expected_improvement(drawn(goal, [-0.95], [-1.2], 0.05, 2), [])[0]
        for goal in (ratio, WANTED)
    )
    assert near == pytest.approx(0.05, abs=1e-3)
    assert far == pytest.approx(0.25, abs=1e-3)


@given(clouds, st.lists(st.tuples(unit, unit), min_size=1, max_size=4))
def test_added_area_is_the_difference_of_hypervolumes(
    cloud: list[tuple[float, float]], new: list[tuple[float, float]]
) -> None:
    points, more = np.array(cloud).reshape(-1, 2), np.array(new)
    reference = (0.9, 0.8)
    found = added_area(more[:, 0], more[:, 1], points, reference)
    before = hypervolume(points, reference)
    for area, point in zip(found, more, strict=True):
        after = hypervolume(np.vstack([points, point]), reference)
        assert area == pytest.approx(after - before, abs=1e-9)


@given(clouds)
def test_the_front_is_what_nothing_dominates(cloud: list[tuple[float, float]]) -> None:
    points = np.array(cloud).reshape(-1, 2)
    kept = {tuple(p) for p in front(points).tolist()}
    wanted = {p for p in cloud if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in cloud)}
    assert kept == wanted


def test_hypervolume_of_known_points() -> None:
    assert hypervolume(np.array([[0.0, 0.5], [0.5, 0.0]]), (1.0, 1.0)) == pytest.approx(0.75)
    assert hypervolume(np.empty((0, 2)), (1.0, 1.0)) == 0.0
    assert hypervolume(np.array([[2.0, 0.0]]), (1.0, 1.0)) == 0.0


def test_a_config_off_the_front_gains_less_area() -> None:
    first = drawn(Goal("ndcg_at_10", -1.0), [0.2, 0.6], [0.4, 0.7], 1e-3, 8)
    second = drawn(Goal("latency_p95_ms", 1.0), [0.6, 0.2], [0.3, 0.7], 1e-3, 8)
    rng = np.random.default_rng(0)
    inside, outside = expected_hypervolume((first, second), [], (1.0, 1.0), rng)
    assert inside == pytest.approx(0.06, abs=5e-3)
    assert outside == pytest.approx(0.0, abs=1e-3)
