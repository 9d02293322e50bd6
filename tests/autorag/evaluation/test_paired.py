"""Paired intervals: right values, right width, and no false distinctions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap as scipy_bootstrap

from autorag.evaluation.paired import (
    Interval,
    Statistic,
    bootstrap,
    mean,
    paired_difference,
    quantile,
)

P95 = quantile(0.95)
values = st.lists(st.floats(-100, 100), min_size=1, max_size=30).map(np.array)
statistics = st.sampled_from([mean, quantile(0.5), P95])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=30)
@given(values, statistics)
def test_equal_results_are_not_distinguishable(x: np.ndarray, statistic: Statistic) -> None:
    interval = paired_difference(x, x.copy(), statistic, rng())
    assert interval == Interval(0.0, 0.0, 0.0)
    assert not interval.distinguishable


@settings(max_examples=30)
@given(values, statistics, st.sampled_from([-3.0, 2.0]))
def test_a_constant_gain_is_found_exactly(x: np.ndarray, statistic: Statistic, gain: float) -> None:
    interval = paired_difference(x, x + gain, statistic, rng())
    assert (interval.value, interval.low, interval.high) == pytest.approx((gain,) * 3)
    assert interval.distinguishable


@settings(max_examples=30)
@given(values, statistics, st.integers(0, 99))
def test_swapping_the_sides_turns_the_sign(x: np.ndarray, statistic: Statistic, seed: int) -> None:
    y = rng(seed).permutation(x)
    there = paired_difference(x, y, statistic, rng())
    back = paired_difference(y, x, statistic, rng())
    assert back.value == pytest.approx(-there.value)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


@settings(max_examples=30)
@given(values, statistics)
def test_the_interval_is_ordered_and_within_the_data(x: np.ndarray, statistic: Statistic) -> None:
    interval = bootstrap(x, statistic, rng())
    slack = 1e-9
    assert x.min() - slack <= interval.low <= interval.high <= x.max() + slack
    assert interval.value == pytest.approx(float(statistic(x[None])[0]))


def test_the_generator_decides() -> None:
    x, y = rng(1).normal(size=(2, 50))
    assert paired_difference(x, y, mean, rng()) == paired_difference(x, y, mean, rng())
    assert paired_difference(x, y, mean, rng()) != paired_difference(x, y, mean, rng(1))


@pytest.mark.parametrize("statistic", [mean, quantile(0.5)])
def test_the_interval_is_scipys(statistic: Statistic) -> None:
    x = rng(1).normal(10, 2, size=200)
    ours = bootstrap(x, statistic, rng())

    def theirs_of(sample: np.ndarray, axis: int) -> np.ndarray:
        return statistic(np.moveaxis(sample, axis, -1))

    theirs = scipy_bootstrap(
        (x,), theirs_of, method="percentile", n_resamples=2000, rng=rng(2)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.1)


def test_pairing_removes_the_difficulty_of_the_queries() -> None:
    difficulty, noise = rng(1).normal(0, 10, size=100), rng(2).normal(0, 0.1, size=100)
    interval = paired_difference(difficulty, difficulty + 0.2 + noise, mean, rng())
    assert interval.distinguishable
    assert interval.high - interval.low < 0.1


def test_pure_noise_is_rarely_distinguishable() -> None:
    draws = (rng(seed).normal(size=(2, 60)) for seed in range(200))
    wrong = sum(paired_difference(x, y, mean, rng()).distinguishable for x, y in draws)
    assert wrong / 200 <= 0.1


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-1, 1, False), (0, 1, False), (0.1, 1, True), (-1, -0.1, True)]
)
def test_distinguishable_means_that_zero_is_outside(
    low: float, high: float, expected: bool
) -> None:
    assert Interval(0.0, low, high).distinguishable == expected


def test_an_interval_in_json() -> None:
    assert Interval(1.0, 0.5, 2.0).to_json() == {"value": 1.0, "low": 0.5, "high": 2.0}


def test_queries_of_one_group_are_drawn_together() -> None:
    """Ten copies of twelve queries say no more than the twelve."""
    rng = np.random.default_rng(0)
    gains = rng.normal(0.1, 0.3, size=12)
    groups = np.repeat(np.arange(12), 10)
    once = paired_difference(np.zeros(12), gains, mean, np.random.default_rng(1))
    copied = np.zeros(120), np.repeat(gains, 10)
    grouped = paired_difference(*copied, mean, np.random.default_rng(1), groups)
    naive = paired_difference(*copied, mean, np.random.default_rng(1))
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high))
    assert naive.high - naive.low < 0.5 * (once.high - once.low)
