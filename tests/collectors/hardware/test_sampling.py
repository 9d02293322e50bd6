"""Sampling: work over time, arrays larger than the caches, repeats that end."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.hardware import sampling
from collectors.hardware.sampling import FULL, QUICK, Effort, rates, repeated
from tests.collectors.hardware.settings import quick


def test_a_rate_is_work_over_time() -> None:
    found = rates(lambda: time.sleep(0.002), 10.0, Effort("test", 3, 0.004, 1.0))
    assert len(found) == 3
    assert all(100 < rate <= 5000 for rate in found)


def test_short_calls_are_timed_many_at_a_time() -> None:
    calls = 0

    def run() -> None:
        nonlocal calls
        calls += 1

    rates(run, 1.0, Effort("test", 2, 0.01, 1.0))
    assert calls > 100


def test_repeats_end_on_a_machine_that_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "LONGEST_S", 0.0)
    assert repeated(lambda: 1, 7) == [1] * sampling.LEAST_REPEATS
    assert repeated(lambda: 1, 1) == [1]


@given(cache_mb=st.integers(1, 2000), memory_gb=st.integers(1, 4000))
def test_arrays_exceed_the_cache_or_say_that_they_do_not(cache_mb: int, memory_gb: int) -> None:
    setting = replace(
        quick(Path()), effort=FULL, cache_bytes=cache_mb << 20, memory_bytes=memory_gb << 30
    )
    size, note = setting.array_bytes()
    assert size % (1 << 20) == 0
    assert size <= max(1 << 20, (memory_gb << 30) // 16)
    assert size <= sampling.LARGEST_ARRAY_BYTES
    assert (note == "") == (size > setting.cache_bytes)


def test_a_quick_profile_has_smaller_problems() -> None:
    setting = quick(Path())
    assert setting.size(1600) == 100
    assert replace(setting, effort=FULL).size(1600) == 1600
    assert QUICK.repeats < FULL.repeats
