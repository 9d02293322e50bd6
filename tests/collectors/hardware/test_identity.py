"""The machine's identity: real files of x86-64 and Arm machines, and this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autorag.hardware import Cache
from collectors.hardware.identity import (
    cpu_model,
    instruction_sets,
    read_caches,
    read_identity,
    software,
)

X86 = {
    "model name": "AMD EPYC",
    "cpu family": "25",
    "model": "17",
    "stepping": "1",
    "flags": "fpu vme avx avx2 fma avx512f avx512_vnni hypervisor",
}
ARM = {"CPU implementer": "0x41", "CPU part": "0xd40", "Features": "fp asimd asimddp i8mm sve"}


def write_cache(root: Path, cpu: int, index: int, values: dict[str, str]) -> None:
    folder = root / f"sys/devices/system/cpu/cpu{cpu}/cache/index{index}"
    folder.mkdir(parents=True)
    for name, value in values.items():
        (folder / name).write_text(value + "\n")


def test_a_generic_name_is_told_apart_by_its_numbers() -> None:
    assert cpu_model(X86) == "AMD EPYC (family 25, model 17, stepping 1)"
    assert cpu_model({**X86, "model": "1"}) != cpu_model(X86)


def test_arm_has_an_implementer_and_a_part() -> None:
    assert cpu_model(ARM) == "implementer 0x41, part 0xd40"


def test_a_name_alone_and_no_name() -> None:
    assert cpu_model({"model name": "Some CPU"}) == "Some CPU"
    assert cpu_model({}) is None


def test_instruction_sets_that_matter() -> None:
    assert instruction_sets(X86) == ("avx", "avx2", "fma", "avx512f", "avx512_vnni")
    assert instruction_sets(ARM) == ("asimd", "asimddp", "i8mm", "sve")
    assert instruction_sets({}) == ()


def test_a_shared_cache_counts_once(tmp_path: Path) -> None:
    for cpu in range(4):
        own = {"level": "1", "type": "Data", "size": "32K", "shared_cpu_list": str(cpu)}
        write_cache(tmp_path, cpu, 0, own)
        write_cache(tmp_path, cpu, 1, {**own, "type": "Instruction"})
        pair = "0-1" if cpu < 2 else "2-3"
        last = {"level": "3", "type": "Unified", "size": "16384K", "shared_cpu_list": pair}
        write_cache(tmp_path, cpu, 3, last)
    data, last_level = Cache(1, "data", 32, 4), Cache(3, "unified", 16384, 2)
    assert read_caches(tmp_path, [0, 1, 2, 3]) == (data, last_level)
    assert read_caches(tmp_path, [0, 1]) == (Cache(1, "data", 32, 2), Cache(3, "unified", 16384, 1))
    assert read_caches(tmp_path / "elsewhere", [0]) == ()


def test_a_whole_machine_from_its_files(tmp_path: Path) -> None:
    lines = "\n".join(f"{name}\t: {value}" for name, value in X86.items())
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor\t: 0\n{lines}\n\nprocessor\t: 1\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal:        2048000 kB\n")
    identity, missing = read_identity(tmp_path)
    assert identity.cpu_model == cpu_model(X86)
    assert identity.memory_mb == pytest.approx(2097.152)
    assert identity.usable_cores == identity.affinity_cores
    assert "caches" in missing
    assert missing.keys().isdisjoint({"cpu_model", "memory"})


def test_what_nobody_tells_is_unknown_with_a_reason(tmp_path: Path) -> None:
    identity, missing = read_identity(tmp_path)
    assert (identity.cpu_model, identity.memory_mb, identity.caches) == (None, None, ())
    assert {"cpu_model", "memory", "caches"} <= missing.keys()
    assert all(missing.values())


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="not Linux")
def test_this_machine() -> None:
    identity, _ = read_identity()
    assert identity.cpu_model
    assert 1 <= identity.usable_cores <= (os.cpu_count() or 1)
    assert identity.fingerprint == read_identity()[0].fingerprint


def test_versions_of_what_sets_the_rates() -> None:
    versions = software()
    assert {"probes", "numpy"} <= versions.keys()
    assert all(versions.values())
