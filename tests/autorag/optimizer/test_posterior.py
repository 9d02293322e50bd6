"""Posteriors: what measurements say, against the formulas and against what is known to be true."""

from __future__ import annotations

import numpy as np
import pytest

from autorag.optimizer.posterior import (
    Explanation,
    Fitted,
    Observations,
    _Base,
    kernel,
    posterior,
    squared_distances,
)
from autorag.optimizer.scales import Scale, scale
from autorag.ports import Belief

QUALITY = scale("ndcg_at_10", 200)
EXACT = Scale(False, (1e-3,), (0.3, 1.0), 0.0)


def points(count: int, width: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, width))


def seen(rows: list[int], values: np.ndarray, repeats: float = 1.0) -> Observations:
    return Observations(np.array(rows), values[rows], np.full(len(rows), repeats))


def belief(mean: np.ndarray, *factors: np.ndarray, trust: float = 0.9) -> Belief:
    columns = np.column_stack(factors or [np.full(len(mean), 0.1)])
    return Belief(mean, columns, 0.05, 0.02, trust)


def fitted(at: np.ndarray, told: Explanation, known: Belief, found: Observations) -> Fitted:
    return _Base.of(at, found).fit(told, known)


@pytest.fixture
def one() -> tuple[Fitted, np.ndarray, np.ndarray, np.ndarray]:
    """A fitted process, its covariance over all points, its mean, and what was observed."""
    at, rng = points(12), np.random.default_rng(1)
    mean, factors = rng.random(12), rng.random((12, 2))
    told = Explanation(True, 0.5, 0.3, 1.5, 0.1)
    known = Belief(mean, factors, 0.1, 0.0, 0.9)
    rows, values = [0, 3, 7], rng.random(12)
    process = fitted(at, told, known, seen(rows, values, 2.0))
    same = np.eye(12, dtype=bool)
    covariance = 0.25 * factors @ factors.T + 0.09 * kernel(squared_distances(at, at), same, 1.5)
    return process, covariance, mean, values


def test_mean_and_deviation_are_those_of_the_formula(
    one: tuple[Fitted, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    process, covariance, mean, values = one
    rows, all_rows = process.seen.rows, np.arange(12)
    noisy = covariance[np.ix_(rows, rows)] + np.eye(3) * 0.1**2 / 2.0
    gain = covariance[:, rows] @ np.linalg.inv(noisy)
    wanted = mean + gain @ (values[rows] - mean[rows])
    variance = np.diag(covariance - gain @ covariance[rows])
    found, deviation = process.at(all_rows)
    assert found == pytest.approx(wanted, abs=1e-4)
    assert deviation == pytest.approx(np.sqrt(variance), abs=1e-4)


def test_paths_have_the_moments_of_the_posterior(
    one: tuple[Fitted, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    process, _, _, _ = one
    rows, rng = np.arange(12), np.random.default_rng(2)
    drawn, means, deviation = process.paths(rows, rng.standard_normal((3, 20_000)))
    mean, whole = process.at(rows)
    assert means.mean(axis=1) == pytest.approx(mean, abs=0.01)
    assert np.sqrt(means.var(axis=1) + deviation**2) == pytest.approx(whole, abs=0.01)
    assert drawn.mean(axis=1) == pytest.approx(process.at(process.seen.rows)[0], abs=0.01)


def test_the_likelihood_is_that_of_a_normal_distribution(
    one: tuple[Fitted, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    from scipy.stats import multivariate_normal

    process, covariance, mean, values = one
    rows = process.seen.rows
    noisy = covariance[np.ix_(rows, rows)] + np.eye(3) * 0.1**2 / 2.0
    wanted = multivariate_normal(mean[rows], noisy).logpdf(values[rows])
    assert process.likelihood == pytest.approx(wanted, abs=1e-2)


def test_what_was_measured_exactly_is_known() -> None:
    at = points(30)
    truth = np.sin(3 * at[:, 0]) + at[:, 1]
    known = posterior(at, None, seen(list(range(0, 30, 2)), truth), EXACT)
    mean, deviation = known.at(np.arange(0, 30, 2))
    assert mean == pytest.approx(truth[::2], abs=5e-3)
    assert deviation.max() < 0.01


def test_a_smooth_function_is_learned_without_a_belief() -> None:
    at = points(80)
    truth = np.sin(3 * at[:, 0]) + at[:, 1]
    known = posterior(at, None, seen(list(range(40)), truth), EXACT)
    mean, _ = known.at(np.arange(40, 80))
    assert np.corrcoef(mean, truth[40:])[0, 1] > 0.8


def test_a_belief_that_is_right_is_kept_and_helps() -> None:
    at, rng = points(60), np.random.default_rng(3)
    truth = 0.5 + 0.2 * rng.standard_normal(60)
    rows = list(range(8))
    known = posterior(at, belief(truth + 0.03), seen(rows, truth), QUALITY)
    alone = posterior(at, None, seen(rows, truth), QUALITY)
    rest = np.arange(8, 60)
    assert known.trust > 0.9
    errors = [np.abs(one.at(rest)[0] - truth[rest]).mean() for one in (known, alone)]
    assert errors[0] < errors[1] / 3


def test_a_belief_that_misleads_is_dropped_by_evidence() -> None:
    at, rng = points(60), np.random.default_rng(4)
    truth = 0.5 + 0.3 * (at[:, 0] - 0.5) + 0.005 * rng.standard_normal(60)
    wrong = 1.0 - truth - 0.6 * (at[:, 1] > 0.5)
    trust = [
        posterior(at, belief(wrong), seen(list(range(n)), truth), QUALITY).trust for n in (1, 4, 12)
    ]
    assert trust[:2] == pytest.approx([0.9, 0.9])
    assert trust[2] < 0.05


def test_a_factor_carries_what_one_config_shows_to_others_that_share_it() -> None:
    at = points(40)
    mean, shared = np.full(40, 0.5), np.where(np.arange(40) % 2, 0.2, 0.0)
    observed = np.full(40, 0.8)
    known = posterior(at, belief(mean, shared), seen([1, 3], observed), QUALITY)
    found, _ = known.at(np.array([5, 7, 4, 6]))
    assert found[:2].min() > 0.65
    assert found[2:].max() < 0.6


def test_repeats_make_a_measurement_surer() -> None:
    at, values = points(10), np.full(10, 0.5)
    once, often = (
        posterior(at, None, seen([0], values, n), QUALITY).at(np.array([0]))[1][0]
        for n in (1.0, 9.0)
    )
    assert often < once


def test_a_stand_in_leaves_more_doubt() -> None:
    at, values = points(10), np.full(10, 0.5)
    known = belief(values)
    direct = seen([0], values)
    indirect = Observations(direct.rows, direct.values, direct.repeats, 0.1)
    deviations = [
        posterior(at, known, found, QUALITY).at(np.array([0]))[1][0] for found in (direct, indirect)
    ]
    assert deviations[1] > 1.5 * deviations[0]


def test_before_any_measurement_the_belief_is_all_there_is() -> None:
    at, mean = points(10), np.linspace(0, 1, 10)
    nothing = Observations(np.array([], dtype=np.intp), np.array([]), np.array([]))
    known = posterior(at, belief(mean, trust=1.0), nothing, QUALITY)
    assert known.at(np.arange(10))[0] == pytest.approx(mean)
    drawn, means, deviation = known.fitted[0].paths(np.arange(10), np.empty((0, 5)))
    assert drawn.shape == (0, 5)
    assert means == pytest.approx(np.repeat(mean[:, None], 5, axis=1))
    assert (deviation > 0).all()
