"""Confidence sequences: they cover at all times, close where they should and tell soon."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag.evaluation.paired import Interval
from autorag.evaluation.sequential import STEP, MeanSequence, MeanTest, Moments

RECALLS = np.array([1.0, 0.9, 0.8, 0.7, 0.5, 0.2])
WEIGHTS = np.array([0.75, 0.13, 0.06, 0.03, 0.02, 0.01])
MEAN = float(RECALLS @ WEIGHTS)

unit_values = st.lists(st.floats(0, 1), min_size=1, max_size=60)


def drawn(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(RECALLS, count, p=WEIGHTS)


def after(values: np.ndarray | list[float], population: int | None = None) -> MeanSequence:
    sequence = MeanSequence(0.02, population=population)
    for value in values:
        sequence.add(float(value))
    return sequence


def decided(target: float, values: np.ndarray) -> tuple[int, bool | None]:
    test = MeanTest(target)
    for count, value in enumerate(values, 1):
        test.add(float(value))
        if test.decision is not None:
            return count, test.decision
    return len(values), None


def width(interval: Interval) -> float:
    return interval.high - interval.low


def test_moments_start_from_one_half() -> None:
    seen = Moments()
    assert (seen.mean, seen.variance) == (0.5, 0.25)
    for value in drawn(5000, 0):
        seen.add(float(value))
    assert seen.mean == pytest.approx(MEAN, abs=0.01)
    deviation = math.sqrt((RECALLS - MEAN) ** 2 @ WEIGHTS)
    assert math.sqrt(seen.variance) == pytest.approx(deviation, abs=0.01)


def test_before_anything_is_seen_all_is_possible() -> None:
    assert MeanSequence(0.02).interval() == Interval(0.5, 0.0, 1.0)


@settings(max_examples=60)
@given(unit_values)
def test_intervals_hold_their_mean_and_never_widen(values: list[float]) -> None:
    sequence, before = MeanSequence(0.05), Interval(0.5, 0.0, 1.0)
    for value in values:
        sequence.add(value)
        now = sequence.interval()
        assert 0 <= now.low <= now.value <= now.high <= 1
        assert before.low <= now.low
        assert now.high <= before.high
        before = now


@settings(max_examples=30)
@given(unit_values)
def test_turning_the_values_turns_the_interval(values: list[float]) -> None:
    here = after(values).interval()
    there = after([1 - v for v in values]).interval()
    assert (there.low, there.high) == pytest.approx((1 - here.high, 1 - here.low), abs=2 * STEP)


def test_the_true_mean_is_covered_at_all_times_together() -> None:
    """Looked at after every value, 95 % of the runs must never have excluded the mean; 200 runs."""
    missed = 0
    for seed in range(200):
        found = after(drawn(600, seed)).interval()
        missed += not found.low <= MEAN <= found.high  # an interval never widens again
    assert missed <= 200 * 0.05 + 3 * math.sqrt(200 * 0.05 * 0.95)


def test_a_small_variance_is_used() -> None:
    """Hoeffding's bound needs 4612 values for ±0.02."""
    sequence = after(drawn(600, 0))
    assert width(sequence.interval()) < 0.04
    coin = after((np.random.default_rng(0).random(600) < MEAN).astype(float))
    assert width(coin.interval()) > width(sequence.interval())


def test_nothing_but_ones() -> None:
    found = after(np.ones(150)).interval()
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.95 < found.low < 1
    # No valid bound can be closer: 150 ones have a chance of 2.5 % at this mean.
    assert found.low < 0.025 ** (1 / 150)


def test_the_interval_closes_on_a_population() -> None:
    values = drawn(100, 3)
    mean = float(values.mean())
    found = after(values, population=100).interval()
    assert found.value == found.low == pytest.approx(mean)
    assert found.high == pytest.approx(mean)


def test_half_a_population_tells_more_than_as_many_of_a_stream() -> None:
    values = drawn(300, 3)[:150]
    assert width(after(values, population=300).interval()) < 0.8 * width(after(values).interval())


@settings(max_examples=30)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=30), st.data())
def test_a_population_bounds_itself(values: list[float], data: st.DataObject) -> None:
    """What is left lies between all zeros and all ones."""
    seen = data.draw(st.integers(1, len(values)))
    found = after(values[:seen], population=len(values)).interval()
    total, left = sum(values[:seen]), len(values) - seen
    assert found.low >= total / len(values) - 1e-12
    assert found.high <= (total + left) / len(values) + 1e-12


def test_draws_without_replacement_are_covered() -> None:
    values = drawn(300, 5)
    missed = 0
    for seed in range(100):
        order = np.random.default_rng(seed).permutation(300)
        found = after(values[order[:150]], population=300).interval()
        missed += not found.low <= values.mean() <= found.high
    assert missed <= 100 * 0.05 + 3 * math.sqrt(100 * 0.05 * 0.95)


def test_more_values_than_there_are_is_an_error() -> None:
    sequence = after([1.0, 0.0], population=2)
    with pytest.raises(ValueError, match="population of 2"):
        sequence.add(1.0)


@pytest.mark.parametrize(("target", "answer"), [(0.5, True), (0.8, True), (0.99, False)])
def test_a_mean_far_from_the_target_is_told_soon(target: float, answer: bool) -> None:
    for seed in range(20):
        count, found = decided(target, drawn(400, seed))
        assert found is answer
        assert count < 400


def test_the_farther_the_sooner() -> None:
    counts = [
        np.median([decided(t, drawn(3000, seed))[0] for seed in range(20)])
        for t in (0.5, 0.8, 0.9, 0.93)
    ]
    assert counts == sorted(counts)
    assert counts[0] < 15


def test_a_mean_at_the_target_is_rarely_called_below() -> None:
    wrong = sum(decided(MEAN, drawn(500, seed))[1] is False for seed in range(200))
    assert wrong <= 200 * 0.05 + 3 * math.sqrt(200 * 0.05 * 0.95)


def test_a_decision_stands() -> None:
    test = MeanTest(0.5)
    for value in [*np.ones(50), *np.zeros(500)]:
        test.add(float(value))
    assert test.decision is True


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_targets_at_the_ends(target: float) -> None:
    _, found = decided(target, np.full(200, 0.5))
    assert found is (target == 0.0)
    assert decided(1.0, np.ones(300))[1] is None


def test_a_decided_population() -> None:
    test = MeanTest(0.5, population=20)
    for value in np.ones(12):
        test.add(float(value))
    assert test.decision is True
