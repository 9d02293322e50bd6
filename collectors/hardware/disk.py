"""Sequential disk bandwidth under ``AUTORAG_HOME``, past this machine's page cache.

By ``O_DIRECT`` where the file system has it; else written with ``fsync``, and dropped from the
cache by ``posix_fadvise`` before it is read. What is under the file system, such as a hypervisor's
cache, is not seen and is part of the figure.
"""

from __future__ import annotations

import mmap
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autorag.limits import ROOT
from collectors.hardware.sampling import Probe, Sampling, Setting, repeated

BLOCK_BYTES = 4 << 20
FILE_BYTES = 256 << 20
LONGEST_WRITE_S = 0.4
"""A repeat writes for at most this long, so that a slow disk takes no longer."""

REPEATS = 5
IN_MEMORY = ("tmpfs", "ramfs")
SEED = 0


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file without a name, so that nothing is left of it, past the page cache or through it."""

    descriptor: int
    direct: bool
    note: str


def disk(setting: Setting) -> Iterator[Sampling]:
    """Write a file and read it back."""
    block = mmap.mmap(-1, BLOCK_BYTES)  # whole pages, as O_DIRECT wants
    block.write(np.random.default_rng(SEED).bytes(BLOCK_BYTES))
    blocks = max(1, setting.size(FILE_BYTES) // BLOCK_BYTES)
    repeats = min(REPEATS, setting.effort.repeats)
    file = open_file(setting.home, block)

    def take() -> dict[str, list[float]]:
        pairs = repeated(lambda: (_write(file, block, blocks), _read(file, block)), repeats)
        return {"disk_write_mb_s": [w for w, _ in pairs], "disk_read_mb_s": [r for _, r in pairs]}

    try:
        yield Sampling(take, file.note)
    finally:
        os.close(file.descriptor)


def open_file(folder: Path, block: mmap.mmap) -> OpenFile:
    """Past the page cache, where writing a block that way works."""
    system = file_system(folder) or "unknown file system"
    if system in IN_MEMORY:
        return OpenFile(_nameless(folder, 0), False, f"{system}: memory, not a disk")
    direct = _direct(folder, block)
    if direct is not None:
        return OpenFile(direct, True, f"O_DIRECT, {system}")
    note = f"through the page cache, with fsync and fadvise, {system}"
    return OpenFile(_nameless(folder, 0), False, note)


def _direct(folder: Path, block: mmap.mmap) -> int | None:
    """A file past the page cache, or None where it cannot be had or written."""
    if not hasattr(os, "O_DIRECT"):
        return None
    try:
        descriptor = _nameless(folder, os.O_DIRECT)
    except OSError:
        return None
    try:
        os.write(descriptor, block)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _nameless(folder: Path, flags: int) -> int:
    """An open file that is gone from its folder."""
    path = folder / f".disk-probe-{uuid.uuid4().hex}"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    finally:
        path.unlink(missing_ok=True)


def file_system(folder: Path, root: Path = ROOT) -> str | None:
    """The type of the file system that a folder is on, by ``/proc/self/mountinfo``."""
    try:
        lines = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    mounts = {}
    for line in lines:
        fields, _, kind = line.partition(" - ")
        mounts[Path(fields.split(" ")[4])] = kind.split(" ")[0]
    resolved = folder.resolve()
    return next((mounts[p] for p in (resolved, *resolved.parents) if p in mounts), None)


def _write(file: OpenFile, block: mmap.mmap, blocks: int) -> float:
    """MB/s of writing at most so many blocks, down to the device."""
    os.ftruncate(file.descriptor, 0)
    os.lseek(file.descriptor, 0, os.SEEK_SET)
    started = time.perf_counter()
    written = os.write(file.descriptor, block)
    while written < blocks * BLOCK_BYTES and time.perf_counter() - started < LONGEST_WRITE_S:
        written += os.write(file.descriptor, block)
    os.fsync(file.descriptor)
    return written / 1e6 / (time.perf_counter() - started)


def _read(file: OpenFile, block: mmap.mmap) -> float:
    """MB/s of reading what was written."""
    if not file.direct and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(file.descriptor, 0, os.SEEK_SET)
    started = time.perf_counter()
    total = 0
    while count := os.readv(file.descriptor, [block]):
        total += count
    return total / 1e6 / (time.perf_counter() - started)


def probe() -> Probe:
    return Probe("disk", ("disk_write_mb_s", "disk_read_mb_s"), disk)
