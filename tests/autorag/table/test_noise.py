"""The noise floor, on tables whose noise is known."""

from __future__ import annotations

import math
from statistics import NormalDist, fmean

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.table.noise import half_noise, noise_floor, repeat_pairs
from tests.autorag.table.tables import Made, table

MEDIAN, P90 = (NormalDist().inv_cdf((1 + q) / 2) for q in (0.5, 0.9))
"""Quantiles of the absolute value of a standard normal number."""


def test_the_noise_of_times_is_what_was_put_in() -> None:
    floor = noise_floor(table(*(Made(f"w{i}", jitter=0.02, seed=i) for i in range(5))))
    noise = floor["latency_p95_ms"]
    assert noise.pairs == 5 * 78
    assert noise.median == pytest.approx(0.02 * math.sqrt(2) * MEDIAN, rel=0.15)
    assert noise.p90 == pytest.approx(0.02 * math.sqrt(2) * P90, rel=0.15)


def test_equal_repeats_have_none() -> None:
    floor = noise_floor(table(Made("quiet", noise=0.05)), ["latency_p50_ms", "ndcg_at_10"])
    assert {(n.median, n.p90) for n in floor.values()} == {(0.0, 0.0)}


def test_metrics_that_nobody_measured_twice_are_left_out() -> None:
    assert "ttft_p95_ms" not in noise_floor(table(Made("w")))
    assert noise_floor(table(Made("w", repeats=1))) == {}


def test_three_repeats_are_two_pairs() -> None:
    assert noise_floor(table(Made("w", repeats=3)))["query_s"].pairs == 2 * 78


def test_repeats_on_two_machines_are_no_pair() -> None:
    last_elsewhere = polars.when(polars.col("repeat") == 2).then(polars.lit("other"))
    frame = table(Made("w", repeats=3)).with_columns(
        hardware=last_elsewhere.otherwise(polars.col("hardware"))
    )
    assert noise_floor(frame)["query_s"].pairs == 78


times = st.floats(1e-3, 1e4)


@given(times, times)
def test_a_distance_is_relative_and_has_no_sign(one: float, other: float) -> None:
    of = {"workload": "w", "part": "quality", "config": "{}", "hardware": "machine"}
    frame = polars.DataFrame({**of, "repeat": [0, 1], "x": [one, other]})
    (distance,) = repeat_pairs(frame, "x")["distance"].to_list()
    swapped = frame.with_columns(x=polars.Series([other, one]))
    assert distance == pytest.approx(abs(one - other) / ((one + other) / 2))
    assert repeat_pairs(swapped, "x")["distance"].to_list() == pytest.approx([distance])


def test_the_error_of_quality_is_what_was_put_in() -> None:
    found = half_noise(table(*(Made(f"w{i}", noise=0.03) for i in range(5)))).values()
    errors = [noise.error for noise in found]
    assert fmean(errors) == pytest.approx(0.03 / math.sqrt(2), rel=0.1)
    for noise in found:
        assert noise.paired == pytest.approx(noise.error, rel=0.05)
        assert noise.common < 0.3 * noise.error
        assert 0.5 < noise.rank < 0.99


def test_a_harder_half_is_common_to_all_configs() -> None:
    frame = table(Made("w", noise=0.01, seed=1)).with_columns(polars.col("ndcg_at_10.a") + 0.2)
    noise = half_noise(frame)["w"]
    assert noise.common == pytest.approx(0.1, rel=0.05)
    assert noise.paired == pytest.approx(0.01 / math.sqrt(2), rel=0.2)


def test_pseudo_queries_have_noise_of_their_own() -> None:
    frame = table(Made("w", noise=0.02), Made("exact"))
    assert half_noise(frame, pseudo=True)["w"] != half_noise(frame)["w"]
    exact = half_noise(frame, "recall_at_10")["exact"]
    assert exact.error == pytest.approx(0.0, abs=1e-6)
    assert exact.rank == pytest.approx(1.0)
