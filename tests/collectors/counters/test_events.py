"""Performance events: the real kernel's, and the arithmetic of taking turns."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.counters.events import GROUPS, PerfEvents, total
from collectors.counters.perf_event import (
    HARDWARE,
    SOFTWARE,
    SYSCALL,
    Event,
    Reading,
    attributes,
    open_event,
    why_not,
)
from tests.collectors.counters.conftest import PAGE, around, burn, nothing, touch

SOFTWARE_EVENTS = GROUPS[:1]
CLOCK = GROUPS[0][0]


def software_works() -> bool:
    try:
        with closing(PerfEvents(SOFTWARE_EVENTS)) as events:
            return not events.missing
    except OSError:
        return False


software = pytest.mark.skipif(not software_works(), reason="no software events for this user")


@pytest.fixture
def events() -> Iterator[PerfEvents]:
    with closing(PerfEvents(SOFTWARE_EVENTS)) as opened:
        yield opened


def pack(enabled: int, running: int, *counts: int) -> bytes:
    return struct.pack(f"{3 + len(counts)}Q", len(counts), enabled, running, *counts)


@software
def test_the_task_clock_is_the_time_on_the_cpu(events: PerfEvents) -> None:
    values = around(events, lambda: burn(0.05))
    assert 0.05 <= values["perf_task_clock_s"] <= 0.07


@software
def test_faults_count_from_the_first_moment() -> None:
    """Also before the thread is scheduled again."""
    for _ in range(5):
        with closing(PerfEvents(SOFTWARE_EVENTS)) as fresh:
            values = around(fresh, lambda: touch(1).close())
            assert 1_000_000 / PAGE <= values["perf_page_faults"] <= 1_000_000 / PAGE + 50


@software
def test_threads_that_run_already_count_and_so_do_later_ones() -> None:
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        go.wait()
        burn(0.03)
        touch(4).close()

    def wait() -> None:
        done.wait()

    early = [threading.Thread(target=work) for _ in range(3)]
    idle = threading.Thread(target=wait)
    for thread in (*early, idle):
        thread.start()

    def block() -> None:
        late = threading.Thread(target=work)
        late.start()
        go.set()
        for thread in (*early, late):
            thread.join()

    with closing(PerfEvents(SOFTWARE_EVENTS)) as events:
        values = around(events, block)
    done.set()
    idle.join()
    assert 0.12 <= values["perf_task_clock_s"] <= 0.3
    assert values["perf_page_faults"] >= 4 * 4_000_000 / PAGE


@software
def test_a_thread_that_ended_does_not_lose_its_counts(events: PerfEvents) -> None:
    def block() -> None:
        for _ in range(5):
            thread = threading.Thread(target=burn, args=(0.01,))
            thread.start()
            thread.join()

    values = around(events, block)
    assert values["perf_task_clock_s"] >= 0.05


@software
def test_child_processes_do_not_count(events: PerfEvents) -> None:
    program = "import time\nwhile time.process_time() < 0.3: pass"
    values = around(events, lambda: subprocess.run([sys.executable, "-c", program], check=True))
    assert values["perf_task_clock_s"] < 0.15


def test_without_hardware_counters_the_reason_is_told() -> None:
    try:
        open_event(GROUPS[1][0], 0, -1).close()
        pytest.skip("this machine has hardware counters")
    except OSError as error:
        if error.errno != errno.ENOENT:
            pytest.skip(f"this machine refuses for another reason: {error}")
    with closing(PerfEvents(GROUPS)) as opened:
        values = around(opened, nothing)
    for metric in ("perf_cycles", "perf_llc_load_misses"):
        assert metric not in values
        assert opened.missing[metric].startswith("ENOENT: ")
        assert "virtual machine" in opened.missing[metric]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_what_a_user_may_not_count_names_the_setting() -> None:
    program = (
        "import json, os, sys\n"
        "from collectors.counters import capabilities\n"
        "import psutil\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "print(json.dumps(capabilities()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    found = json.loads(done.stdout)
    with open("/proc/sys/kernel/perf_event_paranoid") as file:
        level = int(file.read())
    if level < 2:
        pytest.skip("this host lets everybody count")
    reason = found["perf_context_switches"]
    assert reason.startswith("EACCES: ")
    assert f"perf_event_paranoid is {level}" in reason
    assert "CAP_PERFMON" in reason
    assert found["wall_s"] is None
    assert found["cpu_user_s"] is None


@pytest.mark.parametrize(
    ("code", "told"),
    [(errno.EPERM, "CAP_PERFMON"), (errno.EMFILE, "threads"), (errno.EINVAL, "perf_event_open")],
)
def test_reasons_are_in_words(code: int, told: str) -> None:
    reason = why_not(OSError(code, os.strerror(code)), Event("perf_cycles", HARDWARE, 0))
    assert reason.startswith(errno.errorcode[code])
    assert told in reason


def test_an_unknown_machine_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    with closing(PerfEvents()) as opened:
        assert "pdp11" in opened.missing["perf_task_clock_s"]
        assert around(opened, nothing) == {}
    assert {"x86_64", "aarch64"} <= SYSCALL.keys()


def test_too_many_threads_for_the_descriptors_leave_no_half_count() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    open_now = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 10, hard))
    try:
        with closing(PerfEvents(SOFTWARE_EVENTS)) as opened:
            values = around(opened, nothing)
        assert len(os.listdir("/proc/self/fd")) == open_now
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        done.set()
        for thread in threads:
            thread.join()
    assert values == {}
    assert set(opened.missing) == {event.metric for event in GROUPS[0]}


def test_a_group_that_ran_half_the_time_is_doubled() -> None:
    before, after = Reading(1000, 500, (10, 20)), Reading(3000, 1500, (60, 220))
    assert (after - before).scaled() == (100, 400)


def test_a_group_that_never_ran_is_unknown_and_one_never_enabled_is_nothing() -> None:
    assert Reading(1000, 0, (0,)).scaled() is None
    assert Reading(0, 0, (0, 0)).scaled() == (0, 0)


def test_threads_are_added_before_scaling() -> None:
    """A thread too short-lived for its turn does not make the rest unknown."""
    both = total([pack(1000, 500, 30), pack(100, 0, 0)])
    assert both == Reading(1100, 500, (30,))
    assert both.scaled() == (30 * 1100 / 500,)


@given(
    st.integers(1, 10**12),
    st.floats(0.01, 1),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=4),
)
def test_scaling_never_lessens_and_keeps_ratios(
    enabled: int, share: float, counts: list[int]
) -> None:
    running = max(1, int(enabled * share))
    scaled = Reading(enabled, running, tuple(counts)).scaled()
    assert scaled is not None
    for count, value in zip(counts, scaled, strict=True):
        assert value >= count
        assert value == pytest.approx(count * enabled / running)


def test_the_attributes_have_the_kernels_layout() -> None:
    flags = {True: 0b1000010, False: 0b1100010}
    for kernel, bits in flags.items():
        data = attributes(Event("x", SOFTWARE, 3, kernel=kernel), 0)
        assert len(data) == 64
        kind, size, config, period, sample, form, told = struct.unpack_from("IIQQQQQ", data)
        assert (kind, size, config, period, sample) == (1, 64, 3, 0, 0)
        assert form == 0b1011
        assert told == bits
