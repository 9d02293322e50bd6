"""A machine's rates: taken, stood in for, or named as missing; its cache, its threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import InputError
from autorag.hardware import HardwareProfile, Rate
from models.analytic.machine import UNKNOWN_CACHE_KB, Machine, Operator
from tests.autorag.machines import VALUES, profile

byte_counts = st.floats(0, 1e12)


def without(*figures: str) -> HardwareProfile:
    whole = profile()
    return replace(
        whole,
        rates={f: r for f, r in whole.rates.items() if f not in figures},
        missing=dict.fromkeys(figures, "not measured within 42 s"),
    )


def test_a_figure_is_the_profiles() -> None:
    machine = Machine(profile())
    assert machine.rate("static_tokens_s") == VALUES["static_tokens_s"]
    assert machine.bandwidth == VALUES["flat_scan_gb_s"] * 1e9
    assert machine.miss_s == pytest.approx(175e-9)


@pytest.mark.parametrize(
    ("figure", "bound"),
    [
        ("embed_128_one_tokens_s", "gemm_f32_{}_gflops"),
        ("prefill_one_tokens_s", "gemm_int8_{}_gops"),
        ("decode_one_tokens_s", "triad_{}_gb_s"),
    ],
)
def test_one_core_is_taken_from_all_in_the_proportion_of_what_limits_it(
    figure: str, bound: str
) -> None:
    expected = VALUES[figure.replace("_one_", "_all_")]
    expected *= VALUES[bound.format("one")] / VALUES[bound.format("all")]
    assert Machine(without(figure)).rate(figure) == pytest.approx(expected)


def test_a_scan_that_was_not_timed_runs_at_memory_speed() -> None:
    machine = Machine(without("flat_scan_gb_s"))
    assert machine.bandwidth == pytest.approx(0.9 * VALUES["triad_one_gb_s"] * 1e9)


@pytest.mark.parametrize(
    "figures",
    [
        ("hnsw_distances_s",),
        ("static_tokens_s",),
        ("embed_32_one_tokens_s", "embed_32_all_tokens_s"),
        ("flat_scan_gb_s", "triad_one_gb_s"),
    ],
)
def test_what_cannot_be_had_is_named_with_the_reason(figures: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=f"{figures[0]}.*not measured within 42 s") as raised:
        Machine(without(*figures)).rate(figures[0])
    assert raised.value.key == figures[0]


def test_all_cores_together_are_as_fast_as_the_figure_on_all() -> None:
    machine = Machine(profile())
    one, every = VALUES["embed_32_one_tokens_s"], VALUES["embed_32_all_tokens_s"]
    found = machine.speedup("embed_32", "tokens_s", np.array([1.0, 2.0, 64.0]))
    assert found == pytest.approx([1, every / one, every / one])
    assert found[0] == machine.speedup("embed_32", "tokens_s", 1) == 1


def test_more_cores_that_measured_slower_are_no_faster_and_no_slower() -> None:
    whole = profile()
    slower = {**whole.rates, "embed_32_all_tokens_s": Rate(100.0, None, "tokens/s", 1)}
    assert Machine(replace(whole, rates=slower)).speedup("embed_32", "tokens_s", 2) == 1


@given(byte_counts, byte_counts)
def test_the_more_is_touched_the_more_is_gone(one: float, other: float) -> None:
    machine = Machine(profile())
    less, more = (machine.evicted(b) for b in sorted((one, other)))
    assert 0 <= less <= more <= 1


def test_the_cache_keeps_little_indexes_and_loses_all_after_a_transformer() -> None:
    machine = Machine(profile())
    assert machine.evicted(1e6) < 0.01
    assert machine.evicted(42e6) > 0.97


def test_an_unknown_cache_is_a_usual_one() -> None:
    whole = profile()
    machine = Machine(replace(whole, identity=replace(whole.identity, caches=())))
    assert 0 < machine.cache_bytes < UNKNOWN_CACHE_KB * 1024


def test_an_operator_is_bound_by_the_slower_of_computing_and_moving() -> None:
    machine = Machine(profile())
    step = Operator(1e-3, scanned=machine.bandwidth * 5e-3)
    assert step.seconds(machine, 0) == pytest.approx(1e-3)
    assert step.seconds(machine, 1e12) == pytest.approx(5e-3)


def test_waking_costs_a_miss_a_line() -> None:
    machine = Machine(profile())
    step = Operator(1e-3, lines=100)
    assert step.seconds(machine, 1e12) - step.seconds(machine, 0) == pytest.approx(100 * 175e-9)


@given(st.floats(0.001, 1))
def test_what_is_used_seldom_is_out_of_the_cache_more_often(share: float) -> None:
    machine = Machine(profile())
    often, seldom = Operator(0.0, lines=10), Operator(0.0, lines=10, share=share)
    assert seldom.seconds(machine, 5e6) >= often.seconds(machine, 5e6)
