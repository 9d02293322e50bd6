"""Counters around real work: what a block did is what its counters say."""

from __future__ import annotations

import errno
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from collectors.counters import METRICS, Counters, capabilities
from collectors.counters.memory import Memory, peak_in_status_kb
from collectors.counters.process import Io
from collectors.counters.system import Pressure
from tests.collectors.counters.conftest import PAGE, Measure, around, burn, known, nothing, touch

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells")
MB = 1_000_000


def used(values: Mapping[str, float | None]) -> float:
    """CPU seconds. (Short blocks may be all user or all system: the kernel samples which.)"""
    return known(values["cpu_user_s"]) + known(values["cpu_system_s"])


def test_every_metric_has_a_number_or_a_reason(measure: Measure, counters: Counters) -> None:
    values = measure(lambda: burn(0.02))
    assert tuple(values) == METRICS == tuple(counters.capabilities)
    for metric, reason in counters.capabilities.items():
        assert (values[metric] is None) == (reason is not None), metric
        assert reason is None or len(reason) > 10


def test_the_values_are_json(measure: Measure) -> None:
    values = dict(measure(nothing))
    assert json.loads(json.dumps(values)) == values


def test_a_busy_thread_uses_its_time_on_the_cpu(measure: Measure) -> None:
    values = measure(lambda: burn(0.1))
    assert 0.1 <= used(values) <= 0.15
    assert known(values["wall_s"]) >= 0.99 * used(values)


def test_all_threads_count(measure: Measure) -> None:
    def work() -> None:
        threads = [threading.Thread(target=burn, args=(0.05,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    values = measure(work)
    assert used(values) >= 0.2
    if values["perf_task_clock_s"] is not None:
        assert values["perf_task_clock_s"] >= 0.2


def test_sleep_takes_time_but_no_cpu(measure: Measure) -> None:
    values = measure(lambda: [time.sleep(0.01) for _ in range(5)])
    assert known(values["wall_s"]) >= 0.05
    assert used(values) < 0.04


def test_a_block_that_fails_is_counted_and_its_error_is_raised(counters: Counters) -> None:
    def fail() -> None:
        burn(0.02)
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"), counters:
        fail()
    assert used(counters.values) >= 0.02


def test_before_the_first_block_there_are_no_values(counters: Counters) -> None:
    with pytest.raises(LookupError, match="no block"):
        _ = counters.values


def test_values_outlive_closing(counters: Counters) -> None:
    with counters:
        burn(0.02)
    counters.close()
    assert used(counters.values) >= 0.02


def test_nested_blocks_count_their_own(counters: Counters) -> None:
    with counters:
        burn(0.03)
        with counters:
            burn(0.02)
        inner = counters.values
        burn(0.03)
    outer = counters.values
    assert 0.02 <= used(inner) <= 0.05
    assert 0.08 <= used(outer) <= 0.15


def test_blocks_may_overlap_without_nesting() -> None:
    with closing(Counters()) as one, closing(Counters()) as other:
        one.start()
        burn(0.02)
        other.start()
        burn(0.02)
        one.stop()
        burn(0.02)
        other.stop()
        for values in (one.values, other.values):
            assert 0.04 <= used(values) <= 0.058


@linux
def test_sleeping_is_switching_voluntarily(measure: Measure) -> None:
    values = measure(lambda: [time.sleep(0.001) for _ in range(20)])
    assert known(values["context_switches_voluntary"]) >= 20


@linux
def test_fresh_memory_is_faults_and_resident(measure: Measure) -> None:
    before = measure(nothing)
    kept = []
    values = measure(lambda: kept.append(touch(40)))
    assert known(values["page_faults_minor"]) >= 40 * MB / PAGE
    assert known(values["rss_mb"]) - known(before["rss_mb"]) == pytest.approx(40, abs=4)
    assert known(values["rss_peak_mb"]) == pytest.approx(known(values["rss_mb"]), abs=2)
    assert known(before["page_faults_minor"]) < 100


@linux
def test_the_peak_is_of_the_block(measure: Measure) -> None:
    touch(60).close()
    before = known(measure(nothing)["rss_mb"])
    values = measure(lambda: touch(30).close())
    assert known(values["rss_peak_mb"]) == pytest.approx(before + 30, abs=4)
    assert known(values["rss_mb"]) == pytest.approx(before, abs=4)


@linux
def test_an_inner_block_does_not_hide_the_peak_of_the_outer(counters: Counters) -> None:
    with counters:
        base = known_rss()
        touch(40).close()
        with counters:
            touch(15).close()
        inner = counters.values
    assert known(inner["rss_peak_mb"]) == pytest.approx(base + 15, abs=4)
    assert known(counters.values["rss_peak_mb"]) == pytest.approx(base + 40, abs=4)


def known_rss() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE / MB


@linux
def test_the_peak_is_not_the_parents() -> None:
    """A process inherits its parent's peak in ``ru_maxrss`` when it is started by ``vfork``."""
    program = (
        "from contextlib import closing\n"
        "from collectors.counters import Counters\n"
        "with closing(Counters()) as counters:\n"
        "    with counters: pass\n"
        "    print(counters.values['rss_peak_mb'])\n"
    )
    memory = touch(300)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    memory.close()
    assert 5 < float(done.stdout) < 150


@linux
def test_a_peak_below_the_known_least_is_read_where_it_is_right() -> None:
    memory = touch(50)
    with closing(Memory()) as source:
        memory.close()
        values = around(source, nothing)
    assert values["rss_peak_mb"] == pytest.approx(known_rss(), abs=4)
    assert values["rss_peak_mb"] <= peak_in_status_kb() * 1024 / MB + 4


@linux
def test_writing_to_a_file_is_io(measure: Measure, tmp_path: Path) -> None:
    data = b"x" * MB

    def write() -> None:
        with (tmp_path / "file").open("wb", buffering=0) as file:
            for _ in range(3):
                file.write(data)
            os.fsync(file.fileno())

    values = measure(write)
    assert values["io_write_syscall_bytes"] == 3 * MB
    assert values["io_write_syscalls"] == 3
    if not is_memory(tmp_path):
        assert known(values["io_write_bytes"]) >= 3 * MB


def is_memory(folder: Path) -> bool:
    """Whether a folder is on a file system without storage."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    best = max((m for m in mounts if folder.is_relative_to(m[1])), key=lambda m: len(m[1]))
    return best[2] in ("tmpfs", "ramfs")


@linux
def test_reading_a_file_is_io_but_reading_counters_is_not(measure: Measure, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"y" * MB)
    idle = measure(nothing)
    assert {m: v for m, v in idle.items() if m.startswith("io_") and v} == {}
    values = measure(file.read_bytes)
    assert values["io_read_syscall_bytes"] == MB
    assert known(values["io_read_syscalls"]) >= 1


@linux
def test_descriptors_do_not_leak() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with closing(Counters()) as counters:
            for _ in range(50):
                with counters:
                    pass
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@linux
def test_a_block_opens_nothing(counters: Counters) -> None:
    with counters:
        pass
    before = len(os.listdir("/proc/self/fd"))
    counters.start()
    assert len(os.listdir("/proc/self/fd")) == before
    counters.stop()


def test_a_read_that_fails_costs_the_metrics_of_its_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As that of a cgroup does that was removed."""
    gone = threading.Event()
    real = os.pread

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if gone.is_set() and os.readlink(f"/proc/self/fd/{descriptor}").endswith("/io"):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return real(descriptor, size, offset)

    monkeypatch.setattr("os.pread", pread)
    with closing(Counters()) as counters:
        with counters:
            gone.set()
        unknown = {m for m, v in counters.values.items() if v is None}
        here = {m for m, why in counters.capabilities.items() if why is None}
        assert unknown & here == {*Io.METRICS, *Pressure.METRICS}
        gone.clear()
        with counters:
            pass
        assert counters.values["io_read_syscalls"] == 0


def test_capabilities_are_those_of_counters(counters: Counters) -> None:
    found = capabilities()
    assert found == counters.capabilities
    assert json.loads(json.dumps(found)) == found
    assert found["wall_s"] is None


def test_elsewhere_than_on_linux_the_rest_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with closing(Counters()) as counters, counters:
        burn(0.05)
        memory = touch(10)
    memory.close()
    told = {m for m, v in counters.values.items() if v is not None}
    assert told >= {"wall_s", "cpu_user_s", "cpu_system_s", "rss_mb"}
    assert {m for m, why in counters.capabilities.items() if why is None} == told
    assert 0.04 <= used(counters.values) <= 0.1
    assert "darwin" in (counters.capabilities["psi_cpu_some_us"] or "")


@linux
def test_the_portable_source_agrees_with_the_kernels_files(
    counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with closing(Counters()) as portable, portable, counters:
        burn(0.1)
    ours, theirs = counters.values, portable.values
    assert used(theirs) == pytest.approx(used(ours), abs=0.03)
    assert theirs["rss_mb"] == pytest.approx(known(ours["rss_mb"]), abs=2)
