"""Profiling: real child processes, repeats when the machine was busy, a memory by fingerprint."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from autorag.hardware import HardwareProfile, Rate
from autorag.ports import SystemClock
from collectors import pressure
from collectors.hardware import Machine, machine_profile, measure_profile, profile, read_identity
from collectors.hardware.job import Job
from collectors.hardware.profile import profile_path, read_profile
from collectors.hardware.sampling import QUICK
from collectors.trial_process import PASSES
from tests.collectors.hardware.settings import quick

COPY = ("copy_one_gb_s", "copy_all_gb_s")


@pytest.fixture(autouse=True)
def lease_of_this_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A lease that no other measurement on this host holds."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "home", tmp_path / "models", SystemClock())


def measured(machine: Machine, *figures: str) -> HardwareProfile:
    return measure_profile(machine, *read_identity(), effort=QUICK, figures=figures)


def test_children_measure_what_is_asked_for(machine: Machine) -> None:
    told: list[tuple[str, int, int]] = []
    watched = replace(machine, progress=lambda *step: told.append(step))
    before = time.time()
    found = measured(watched, *COPY, "triad_one_gb_s")
    assert set(found.rates) == {*COPY, "triad_one_gb_s", "triad_all_gb_s"}
    assert all(r.median > 0 and r.repeats == QUICK.repeats for r in found.rates.values())
    assert found.effort == "quick"
    assert before <= found.measured_at <= time.time()
    assert 0 < found.seconds < profile.LIMIT_S
    assert ("memory bandwidth, one core", 0, 1) in told
    assert ("memory bandwidth, all cores", 0, 1) in told


def test_a_figure_that_cannot_be_had_has_a_reason(machine: Machine) -> None:
    found = measured(machine, "static_tokens_s")
    assert found.rates == {}
    assert "not made yet" in found.missing["static_tokens_s"]


def test_a_child_that_takes_too_long_is_stopped(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "LIMIT_S", 0.1)
    found = measured(machine, *COPY)
    assert found.rates == {}
    assert all("not measured within" in found.missing[f] for f in COPY)


def test_a_child_that_dies_says_how(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    found = measured(machine, *COPY)
    assert found.rates == {}
    assert "the probing process ended with" in found.missing["copy_one_gb_s"]


@contextmanager
def busy_machine() -> Iterator[None]:
    """More work than cores."""
    context = multiprocessing.get_context("spawn")
    busy = [context.Process(target=spin) for _ in range(2 * (os.cpu_count() or 1))]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.join()


def spin() -> None:
    while True:
        pass


@pytest.mark.skipif(not pressure.FILE.exists(), reason="this kernel has no PSI")
def test_a_busy_machine_is_measured_again_and_told(machine: Machine) -> None:
    with busy_machine():
        found = measured(machine, "gemm_f32_all_gflops")
    rate = found.rates["gemm_f32_all_gflops"]
    assert rate.busy
    assert rate.passes == PASSES
    assert found.busy


def test_the_calmer_of_two_passes_is_kept() -> None:
    found = profile._Found()
    found.add("copy_one_gb_s", Rate(1.0, 0.0, "GB/s", 3, pressure=0.9, busy=True))
    found.add("copy_one_gb_s", Rate(2.0, 0.0, "GB/s", 3, pressure=0.1))
    found.add("copy_one_gb_s", Rate(3.0, 0.0, "GB/s", 3, pressure=0.5, busy=True))
    rate = found.rates["copy_one_gb_s"]
    assert (rate.median, rate.pressure, rate.passes, rate.busy) == (2.0, 0.1, 3, False)


def test_a_profile_is_remembered_for_its_machine(machine: Machine) -> None:
    identity, _ = read_identity()
    known = HardwareProfile(identity, {"copy_one_gb_s": Rate(20.0, 0.1, "GB/s", 7)})
    path = profile_path(machine.home, identity)
    profile.write_profile(known, path)
    assert machine_profile(machine) == known
    assert [p.name for p in path.parent.iterdir()] == [f"{identity.fingerprint}.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"identity": 3}', "null"])
def test_a_broken_file_is_no_profile(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    assert read_profile(path) is None
    assert read_profile(tmp_path / "absent.json") is None


def test_a_job_survives_its_way_to_the_child(tmp_path: Path) -> None:
    job = Job(quick(tmp_path, "all", 4), COPY, 12.5)
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def remembered(machine: Machine, *, age_s: float) -> HardwareProfile:
    """A profile with a busy figure and one that there was no time for, measured a while ago."""
    found = measured(machine, *COPY)
    busy = {f: replace(r, busy=True, pressure=1.0) for f, r in found.rates.items()}
    late = {"triad_one_gb_s": f"{profile.OUT_OF_TIME} 20 s"}
    old = replace(
        found,
        rates=busy,
        missing={**found.missing, **late},
        measured_at=machine.clock.time() - age_s,
    )
    profile.write_profile(old, profile_path(machine.home, found.identity))
    return old


def test_what_was_measured_badly_is_measured_again_by_a_later_call(machine: Machine) -> None:
    old = remembered(machine, age_s=2 * profile.SETTLED_AFTER_S)
    found = machine_profile(machine)
    assert found.effort == "quick"
    assert found.rates["triad_one_gb_s"].median > 0
    assert "triad_one_gb_s" not in found.missing
    assert found.measured_at > old.measured_at
    for figure, rate in old.rates.items():
        taken = found.rates[figure]
        assert taken == rate or (taken.pressure or 0.0) <= (rate.pressure or 0.0)
    assert machine_profile(machine) == found


def test_a_busy_machine_is_not_asked_again_at_once(machine: Machine) -> None:
    old = remembered(machine, age_s=0.0)
    assert machine_profile(machine) == old


def test_who_needs_all_of_it_has_the_rest_measured_at_once(machine: Machine) -> None:
    old = remembered(machine, age_s=0.0)
    found = machine_profile(machine, whole=True)
    assert "triad_one_gb_s" in old.missing
    assert found.rates["triad_one_gb_s"].median > 0
    assert profile.unfinished(found) == []
    assert machine_profile(machine, whole=True) == found
