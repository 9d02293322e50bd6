"""Traffic: rate, bursts and repetition, whatever the length of the record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.features import TrafficFeatures, unknown
from collectors.features import traffic_features
from collectors.features.traffic import WINDOW, burstiness, repetition

START = 1_700_000_000.0


def described(times: list[float], hashes: list[str] | None = None) -> TrafficFeatures:
    named = hashes if hashes is not None else [str(i) for i in range(len(times))]
    return traffic_features(START + np.array(times), np.array(named, dtype=object).astype(str))


def test_regular_requests() -> None:
    found = described([0, 2, 4, 6])
    assert found.arrival_per_s == pytest.approx(0.5)
    assert found.burstiness == pytest.approx(-1)
    assert found.repetition_share == 0


def test_one_long_pause_is_as_bursty_as_it_gets() -> None:
    assert described([0, 0, 0, 0, 9]).burstiness == pytest.approx(1)


@pytest.mark.parametrize("count", [20, 200, 2000])
def test_random_requests_are_not_bursty_however_many(count: int) -> None:
    rng = np.random.default_rng(0)
    found = [burstiness(rng.exponential(size=count)) for _ in range(4000 // count + 200)]
    assert np.mean([f for f in found if f is not None]) == pytest.approx(0, abs=0.02)


def test_bursts_are_bursty() -> None:
    rng = np.random.default_rng(0)
    gaps = np.concatenate([np.append(rng.exponential(0.1, 20), 60.0) for _ in range(50)])
    found = burstiness(gaps)
    assert found is not None
    assert 0.4 < found < 1


def test_order_and_unknown_times_do_not_matter() -> None:
    mixed = traffic_features(np.array([4.0, np.nan, 0.0, 2.0]), np.array(["a", "b", "a", "c"]))
    assert mixed == traffic_features(np.array([0.0, 2.0, 4.0]), np.array(["a", "c", "a"]))


@pytest.mark.parametrize("times", [[], [5.0]])
def test_too_few_requests_say_nothing(times: list[float]) -> None:
    assert described(times) == unknown(TrafficFeatures)


def test_requests_at_one_moment_have_no_rate() -> None:
    found = described([3, 3, 3], ["a", "a", "b"])
    assert (found.arrival_per_s, found.burstiness) == (None, None)
    assert found.repetition_share == pytest.approx(1 / 3)


def test_repetition_does_not_grow_with_the_record() -> None:
    rng = np.random.default_rng(0)
    short, long = (repetition(rng.integers(5000, size=n)) for n in (2 * WINDOW, 40 * WINDOW))
    assert short == pytest.approx(long, abs=0.02)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.sampled_from("abc")), max_size=30))
def test_figures_stay_in_their_range(requests: list[tuple[float, str]]) -> None:
    found = described([t for t, _ in requests], [h for _, h in requests])
    assert found.arrival_per_s is None or found.arrival_per_s > 0
    assert found.burstiness is None or -1 - 1e-9 <= found.burstiness <= 1 + 1e-9
    assert found.repetition_share is None or 0 <= found.repetition_share < 1
