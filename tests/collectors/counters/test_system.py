"""PSI and cgroups from files as the kernel writes them, in both versions of cgroups."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.counters.system import Pressure, Throttling, throttled
from collectors.pressure import waited_us
from tests.collectors.counters.conftest import around, nothing


def psi(some: int, full: int | None = None) -> str:
    lines = [f"some avg10=1.50 avg60=0.30 avg300=0.05 total={some}\n"]
    if full is not None:
        lines.append(f"full avg10=0.00 avg60=0.00 avg300=0.00 total={full}\n")
    return "".join(lines)


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)


def test_pressure_is_the_difference_of_totals(tmp_path: Path) -> None:
    write(tmp_path, cpu=psi(1000, 0), memory=psi(20, 10), io=psi(500, 400))
    with closing(Pressure(tmp_path)) as source:
        values = around(source, lambda: write(tmp_path, cpu=psi(1700, 0), io=psi(900, 650)))
    assert values == {
        "psi_cpu_some_us": 700,
        "psi_memory_some_us": 0,
        "psi_memory_full_us": 0,
        "psi_io_some_us": 400,
        "psi_io_full_us": 250,
    }
    assert source.missing == {}


def test_a_kernel_without_psi_is_a_reason(tmp_path: Path) -> None:
    source = Pressure(tmp_path)
    assert set(source.missing) == set(Pressure.METRICS)
    assert source.missing["psi_io_full_us"].startswith("ENOENT: ")
    assert "no PSI" in source.missing["psi_io_full_us"]
    assert str(tmp_path / "io") in source.missing["psi_io_full_us"]
    assert around(source, nothing) == {}


def test_one_missing_line_costs_one_metric(tmp_path: Path) -> None:
    write(tmp_path, cpu=psi(1), memory=psi(5), io=psi(7, 6))
    with closing(Pressure(tmp_path)) as source:
        values = around(source, nothing)
    assert set(source.missing) == {"psi_memory_full_us"}
    assert "no line 'full'" in source.missing["psi_memory_full_us"]
    assert set(values) == set(Pressure.METRICS) - {"psi_memory_full_us"}


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_both_lines_are_found(some: int, full: int) -> None:
    assert waited_us(psi(some, full), "some") == some
    assert waited_us(psi(some, full), "full") == full
    assert waited_us(psi(some), "full") is None


V1_STAT = "nr_periods 100\nnr_throttled {periods}\nthrottled_time {time}\n"
V2_STAT = "usage_usec 1\nuser_usec 1\nsystem_usec 0\nnr_periods 100\nnr_throttled {periods}\n"
V2_TIME = "throttled_usec {time}\nnr_bursts 0\nburst_usec 0\n"


def v1(periods: int, time_ns: int) -> str:
    return V1_STAT.format(periods=periods, time=time_ns)


def v2(periods: int, time_us: int) -> str:
    return (V2_STAT + V2_TIME).format(periods=periods, time=time_us)


def test_both_versions_tell_seconds_and_periods() -> None:
    assert throttled(v1(7, 2_500_000_000)) == (2.5, 7)
    assert throttled(v2(7, 2_500_000)) == (pytest.approx(2.5), 7)


@pytest.mark.parametrize(
    "text", ["", "usage_usec 1\nuser_usec 1\nsystem_usec 0\n", "nr_periods 3\n"]
)
def test_a_group_without_a_quota_cannot_be_throttled(text: str) -> None:
    assert throttled(text) is None


def process_in(root: Path, groups: str, mounts: Sequence[str]) -> None:
    write(root / "proc/self", cgroup=groups, mountinfo="".join(f"{m}\n" for m in mounts))


def tree_v2(root: Path) -> Path:
    """A container's group below a pod's, both with a quota."""
    process_in(
        root,
        "0::/pod/box\n",
        ["30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"],
    )
    return root / "sys/fs/cgroup"


def tree_v1(root: Path) -> Path:
    process_in(
        root,
        "3:cpu,cpuacct:/box\n1:name=systemd:/\n",
        ["33 25 0:29 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct"],
    )
    return root / "sys/fs/cgroup/cpu"


def throttling(root: Path, change: dict[Path, str]) -> dict[str, float]:
    """The values of a block in which these files change."""

    def block() -> None:
        for path, text in change.items():
            path.write_text(text)

    with closing(Throttling(root)) as source:
        assert source.missing == {}
        return around(source, block)


def test_version_2_adds_up_the_levels_and_leaves_the_root_out(tmp_path: Path) -> None:
    top = tree_v2(tmp_path)
    write(top, **{"cpu.stat": "usage_usec 9\nuser_usec 9\nsystem_usec 0\n"})
    write(top / "pod", **{"cpu.stat": v2(5, 1_000_000)})
    write(top / "pod/box", **{"cpu.stat": v2(10, 4_000_000)})
    changed = {
        top / "pod/cpu.stat": v2(6, 1_250_000),
        top / "pod/box/cpu.stat": v2(14, 4_500_000),
    }
    values = throttling(tmp_path, changed)
    assert values["cgroup_throttled_s"] == pytest.approx(0.75)
    assert values["cgroup_throttled_periods"] == 5


def test_version_1_is_read_from_the_cpu_controller(tmp_path: Path) -> None:
    top = tree_v1(tmp_path)
    write(top, **{"cpu.stat": v1(0, 0)})
    write(top / "box", **{"cpu.stat": v1(3, 10**9)})
    values = throttling(tmp_path, {top / "box/cpu.stat": v1(4, 3 * 10**9)})
    assert values == {"cgroup_throttled_s": pytest.approx(2), "cgroup_throttled_periods": 1}


def test_without_a_cpu_controller_there_is_a_reason(tmp_path: Path) -> None:
    top = tree_v2(tmp_path)
    write(top, **{"cpu.stat": "usage_usec 9\nuser_usec 9\nsystem_usec 0\n"})
    source = Throttling(tmp_path)
    assert set(source.missing) == set(Throttling.METRICS)
    assert "CPU controller" in source.missing["cgroup_throttled_s"]
