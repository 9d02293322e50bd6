"""The probes measure what they say: real matrices, lists, disks, indexes and models, but small."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import numpy as np
import pytest

from autorag.hardware import FIGURES
from autorag.pipeline.tokens import token_counts
from collectors.hardware import disk, int8, pipeline_rates, roofline
from collectors.hardware.child import probes
from collectors.hardware.profile import span_of
from collectors.hardware.sampling import Probe, Span
from tests.collectors.hardware.settings import quick, taken

SHARED_MEMORY = Path("/dev/shm")
CHEAP = [
    *roofline.probes("one"),
    int8.probe("one"),
    disk.probe(),
    *(p for p in pipeline_rates.probes("one") if p.name != "static embedder"),
]


@pytest.mark.parametrize("probe", CHEAP, ids=lambda p: p.name)
def test_a_probe_gives_its_figures(probe: Probe, tmp_path: Path) -> None:
    setting = quick(tmp_path)
    assert probe.lacks(setting) is None
    found: dict[str, list[float]] = {}
    for values, _ in taken(probe, setting):
        found |= {figure: list(repeats) for figure, repeats in values.items()}
    assert set(found) == set(probe.figures)
    assert all(v > 0 for repeats in found.values() for v in repeats)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("span", ["one", "all"])
def test_every_figure_has_one_probe(span: Span) -> None:
    figures = [f for p in probes(span) for f in p.figures]
    assert sorted(figures) == sorted(f for f in FIGURES if span_of(f) == span)


def test_bandwidth_uses_every_thread(tmp_path: Path) -> None:
    probe = roofline.probes("all")[1]
    names = {f for values, _ in taken(probe, quick(tmp_path, "all", 3)) for f in values}
    assert names == {"copy_all_gb_s", "triad_all_gb_s"}


def test_the_list_visits_every_line_once() -> None:
    memory = mmap.mmap(-1, 1 << 16)
    lines = np.frombuffer(memory, dtype=np.uint64).reshape(-1, 8)
    base, seen = lines.ctypes.data, []
    at = roofline._random_list(lines)
    while at:
        seen.append((at - base) // roofline.LINE_BYTES)
        at = int(lines[seen[-1], 1])
    assert sorted(seen) == list(range(len(lines)))
    assert seen != sorted(seen)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "_obstack_allocated_p"), reason="the walker is glibc's"
)
def test_the_walker_walks_to_the_end_of_the_list() -> None:
    """An address inside the last chunk is found there; one nowhere is not."""
    walk = ctypes.CDLL(None)._obstack_allocated_p
    walk.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    memory = mmap.mmap(-1, 1 << 12)
    lines = np.frombuffer(memory, dtype=np.uint64).reshape(-1, 8)
    obstack = (ctypes.c_uint64 * 16)(0, roofline._random_list(lines))
    last = int(np.flatnonzero(lines[:, 1] == 0)[0])
    inside = lines.ctypes.data + last * roofline.LINE_BYTES + 8
    lines[last, 0] = inside + 8
    assert walk(ctypes.addressof(obstack), inside) == 1
    assert walk(ctypes.addressof(obstack), 2**64 - 1) == 0


def test_the_int8_model_multiplies_matrices() -> None:
    import onnxruntime

    rng = np.random.default_rng(0)
    # 7 bits: without VNNI, pairs of products are added up in 16 bits, which saturate
    weights = rng.integers(-64, 64, (64, 64), dtype=np.int8)
    given = rng.integers(0, 256, (64, 64), dtype=np.uint8)
    session = onnxruntime.InferenceSession(
        int8.matrix_product_model(weights), providers=["CPUExecutionProvider"]
    )
    (product,) = session.run(None, {"a": given})
    expected = given.astype(np.int32) @ weights.astype(np.int32)
    np.testing.assert_array_equal(product, expected)


@pytest.mark.parametrize("tokens", [10, 30, 508])
def test_texts_have_exactly_the_tokens_asked_for(tokens: int) -> None:
    assert token_counts([pipeline_rates._text(tokens)]) == [tokens]


def test_the_longest_text_is_read_in_windows_of_256(tmp_path: Path) -> None:
    probe = next(p for p in pipeline_rates.probes("one") if p.name == "embedding")
    notes = [note for _, note in taken(probe, quick(tmp_path))]
    assert notes == ["", "", "2 windows of 256"]


def test_the_static_embedder_is_missing_until_it_is_made(tmp_path: Path) -> None:
    reason = pipeline_rates.lacks_static(quick(tmp_path))
    assert reason is not None
    assert "tune" in reason


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    reason = pipeline_rates.lacks("numpy", "no_such_package")(quick(tmp_path))
    assert reason == "not installed: no_such_package"


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="no file system in memory here")
def test_a_disk_in_memory_says_so() -> None:
    (_, note), *_ = taken(disk.probe(), quick(SHARED_MEMORY))
    assert "memory" in note


def test_a_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(
        "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
        "40 22 0:33 / /data rw,relatime shared:5 - xfs /dev/vdb rw\n"
    )
    assert disk.file_system(Path("/data/deep/folder"), tmp_path) == "xfs"
    assert disk.file_system(Path("/database"), tmp_path) == "ext4"
    assert disk.file_system(Path("/data"), tmp_path / "nowhere") is None
