"""What a process may use: cgroup files of both versions, as kernels write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autorag.limits import (
    affinity_cores,
    cgroup_folders,
    cpu_quota,
    usable_cores,
    usable_memory_bytes,
)

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw shared:12 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 {root} /sys/fs/cgroup/memory rw master:3 - cgroup cgroup rw,memory
"""
NO_LIMIT_V1 = 9223372036854771712
MEMORY = 8 * 2**30


class Machine:
    """A folder with ``/proc`` and ``/sys``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/meminfo", f"MemTotal:       {MEMORY // 1024} kB\nMemFree:  1 kB\n")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def v2(self, group: str, files: dict[str, str]) -> None:
        self.write("proc/self/mountinfo", V2)
        self.write("proc/self/cgroup", f"0::{group}\n")
        for path, text in files.items():
            self.write(f"sys/fs/cgroup/{path}", text)

    def v1(self, group: str, files: dict[str, str], mounted: str = "/") -> None:
        self.write("proc/self/mountinfo", V1.format(root=mounted))
        self.write(
            "proc/self/cgroup", f"9:memory:{group}\n4:cpu,cpuacct:{group}\n1:name=systemd:/\n"
        )
        for path, text in files.items():
            self.write(f"sys/fs/cgroup/{path}", text)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def test_here() -> None:
    assert 1 <= usable_cores() <= affinity_cores()
    memory = usable_memory_bytes()
    assert memory is not None
    assert memory > 2**28


def test_no_cgroups_no_limit(machine: Machine) -> None:
    assert cpu_quota(machine.root) is None
    assert usable_memory_bytes(machine.root) == MEMORY


def test_nothing_to_read_is_unknown(tmp_path: Path) -> None:
    assert usable_memory_bytes(tmp_path) is None
    assert usable_cores(tmp_path) == affinity_cores()


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max", 8), ("400000", 4), ("250000", 2), ("50000", 1), ("1600000", 8)],
)
def test_a_quota_of_version_2_is_rounded_down(machine: Machine, quota: str, cores: int) -> None:
    machine.v2("/app", {"app/cpu.max": f"{quota} 100000\n"})
    assert usable_cores(machine.root) == cores


def test_the_smallest_limit_on_the_way_up_holds(machine: Machine) -> None:
    machine.v2(
        "/kubepods/pod1/app",
        {
            "kubepods/cpu.max": "300000 100000\n",
            "kubepods/pod1/cpu.max": "150000 100000\n",
            "kubepods/pod1/app/cpu.max": "max 100000\n",
            "kubepods/memory.max": f"{2**31}\n",
            "kubepods/pod1/app/memory.max": "max\n",
        },
    )
    assert cpu_quota(machine.root) == 1.5
    assert usable_memory_bytes(machine.root) == 2**31


def test_a_container_sees_its_limit_at_the_root(machine: Machine) -> None:
    machine.v2("/", {"cpu.max": "200000 100000\n", "memory.max": f"{2**30}\n"})
    assert cpu_quota(machine.root) == 2.0
    assert usable_memory_bytes(machine.root) == 2**30


def test_a_group_outside_of_the_mount_is_the_mount(machine: Machine) -> None:
    machine.v2("/../../other", {"cpu.max": "200000 100000\n"})
    assert list(cgroup_folders("cpu", machine.root)) == [machine.root / "sys/fs/cgroup"]
    assert cpu_quota(machine.root) == 2.0


def test_limits_of_version_1(machine: Machine) -> None:
    machine.v1(
        "/docker/abc",
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "350000\n",
            "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": f"{NO_LIMIT_V1}\n",
            "memory/docker/abc/memory.limit_in_bytes": f"{3 * 2**30}\n",
        },
    )
    assert cpu_quota(machine.root) == 3.5
    assert usable_memory_bytes(machine.root) == 3 * 2**30


def test_version_1_without_limits(machine: Machine) -> None:
    machine.v1(
        "/",
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": f"{NO_LIMIT_V1}\n",
        },
    )
    assert cpu_quota(machine.root) is None
    assert usable_memory_bytes(machine.root) == MEMORY


def test_a_version_1_container_mounts_its_own_group(machine: Machine) -> None:
    machine.v1(
        "/docker/abc",
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "50000\n",
            "memory/memory.limit_in_bytes": f"{2**29}\n",
        },
        mounted="/docker/abc",
    )
    assert cpu_quota(machine.root) == 2.0
    assert usable_memory_bytes(machine.root) == 2**29


def test_both_versions_at_once(machine: Machine) -> None:
    machine.v1("/app", {"memory/app/memory.limit_in_bytes": f"{2**30}\n"})
    mounts = (machine.root / "proc/self/mountinfo").read_text()
    groups = (machine.root / "proc/self/cgroup").read_text()
    unified = V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
    machine.write("proc/self/mountinfo", mounts + unified)
    machine.write("proc/self/cgroup", groups + "0::/\n")
    machine.write("sys/fs/cgroup/unified/cpu.max", "700000 100000\n")
    assert cpu_quota(machine.root) == 7.0
    assert usable_memory_bytes(machine.root) == 2**30


@pytest.mark.parametrize("text", ["", "max\n", "broken\n", "100000\n"])
def test_a_quota_that_cannot_be_read_is_none(machine: Machine, text: str) -> None:
    machine.v2("/app", {"app/cpu.max": text})
    assert cpu_quota(machine.root) is None
