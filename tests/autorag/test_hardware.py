"""The hardware profile: what it says survives JSON, and a machine is known again by what it is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.hardware import FIGURES, Cache, Gpu, HardwareProfile, Identity, Rate
from tests.autorag.machines import machine, profile

positive = st.floats(1e-3, 1e9)


@given(st.lists(positive, min_size=1, max_size=9))
def test_a_rate_lies_within_its_repeats(values: list[float]) -> None:
    rate = Rate.of(values, "GB/s", pressure=0.1, note="n = 2")
    assert min(values) <= rate.median <= max(values)
    assert rate.repeats == len(values)
    assert (rate.spread is None) == (len(values) == 1)
    if rate.spread is not None:
        assert 0 <= rate.spread * rate.median <= (max(values) - min(values)) * (1 + 1e-9)
    assert (rate.unit, rate.pressure, rate.note) == ("GB/s", 0.1, "n = 2")


def test_the_spread_is_that_of_the_quartiles() -> None:
    assert Rate.of([1.0, 2.0, 3.0, 4.0, 100.0], "s").spread == pytest.approx((4 - 2) / 3)


def test_a_profile_survives_json() -> None:
    known = profile()
    text = json.dumps(known.to_json())
    assert HardwareProfile.from_json(json.loads(text)) == known


def test_json_tells_fingerprint_and_business() -> None:
    calm = profile()
    assert calm.to_json()["fingerprint"] == machine().fingerprint
    assert calm.to_json()["busy"] is False
    disturbed = {**calm.rates, "copy_one_gb_s": replace(calm.rates["copy_one_gb_s"], busy=True)}
    assert replace(calm, rates=disturbed).to_json()["busy"] is True


def test_what_is_missing_has_no_value() -> None:
    known = profile()
    assert known.value("copy_one_gb_s") == known.rates["copy_one_gb_s"].median
    assert replace(known, rates={}).value("copy_one_gb_s") is None


def test_a_fingerprint_stays() -> None:
    here = machine()
    again = machine()
    assert here.fingerprint == again.fingerprint
    assert here.memory_mb is not None
    less = here.memory_mb - 100
    assert replace(here, memory_mb=less).fingerprint == here.fingerprint
    assert replace(here, kernel="6.1.0-99-generic").fingerprint == here.fingerprint


OTHERS = {
    "cpu": replace(machine(), cpu_model="another"),
    "instruction sets": replace(machine(), isa=("avx2",)),
    "caches": replace(machine(), caches=(Cache(3, "unified", 65536, 1),)),
    "cores": replace(machine(), usable_cores=1),
    "memory limit": replace(machine(), memory_mb=4096.0),
    "small memory limit": replace(machine(), memory_mb=512.0),
    "unknown memory": replace(machine(), memory_mb=None),
    "gpu": replace(machine(), gpus=(Gpu(name="a GPU", memory_mb=16e3),)),
    "kernel series": replace(machine(), kernel="6.2.0-1-generic"),
    "library": replace(machine(), software={**machine().software, "numpy": "9.9"}),
    "a library more": replace(machine(), software={**machine().software, "xllamacpp": "1"}),
}


def test_every_change_is_another_machine() -> None:
    assert len({o.fingerprint for o in OTHERS.values()}) == len(OTHERS)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_fingerprint_changes_with(other: Identity) -> None:
    assert other.fingerprint != machine().fingerprint


def test_the_last_level_cache_of_one_core_and_of_all() -> None:
    two = replace(machine(), caches=(Cache(2, "unified", 1024, 8), Cache(3, "unified", 16384, 2)))
    assert two.last_level_kb(every=False) == 16384
    assert two.last_level_kb(every=True) == 2 * 16384
    assert replace(two, caches=()).last_level_kb(every=True) is None


def test_figures_end_in_their_units() -> None:
    ends = {"GFLOP/s": "gflops", "GOP/s": "gops", "GB/s": "gb_s", "MB/s": "mb_s", "ns": "ns"}
    ends |= {"ms": "ms", "/s": "_s", "tokens/s": "tokens_s", "pairs/s": "pairs_s"}
    assert all(name.endswith(ends[info.unit]) for name, info in FIGURES.items())
