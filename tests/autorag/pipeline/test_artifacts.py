"""The artifact store: all or nothing, corruption, eviction, several processes, kill -9."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autorag.pipeline.artifacts import (
    ABANDONED_S,
    ArtifactStore,
    from_json_array,
    json_array,
)

WRITER = """
import sys, itertools, numpy as np
from pathlib import Path
from autorag.pipeline.artifacts import ArtifactStore
store = ArtifactStore(Path(sys.argv[1]))
for i in itertools.count():
    store.save(f"w/{sys.argv[2]}{i % 3}", {"x": np.full(100_000, i)}, {"i": i})
    print(i, flush=True)
"""

SAME_NAME = """
import sys, numpy as np
from pathlib import Path
from autorag.pipeline.artifacts import ArtifactStore
store = ArtifactStore(Path(sys.argv[1]))
for i in range(60):
    store.save("same/name", {"x": np.full(5000, int(sys.argv[2]))}, {"by": sys.argv[2]})
"""

BUILDER = """
import sys, time
from pathlib import Path
from autorag.pipeline.artifacts import ArtifactStore
store = ArtifactStore(Path(sys.argv[1]))
with store.building("x"):
    with open(sys.argv[2], "a") as log:
        log.write("in\\n"); log.flush()
        time.sleep(0.3)
        log.write("out\\n")
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0


def age(store: ArtifactStore, name: str, seconds: float) -> None:
    """Pretend that an artifact was last used this long ago."""
    then = time.time() - seconds
    os.utime(store.root / f"{name}.npz", (then, then))


@contextmanager
def no_file_handles() -> Iterator[None]:
    """Use up this process's file handles."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    held = []
    try:
        with suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for handle in held:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


arrays = st.dictionaries(
    st.sampled_from(("rows", "starts", "keys")),
    hnp.arrays(
        st.sampled_from((np.float32, np.int64, np.uint8, np.int8)), hnp.array_shapes(min_side=0)
    ),
    min_size=1,
)


@given(arrays, st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9)))
def test_what_is_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, parts: dict[str, np.ndarray], meta: dict[str, object]
) -> None:
    store = ArtifactStore(tmp_path_factory.getbasetemp() / "round-trip")
    store.save("a/b", parts, meta)
    loaded = store.load("a/b")
    assert loaded is not None
    assert loaded.meta == meta
    assert loaded.arrays.keys() == parts.keys()
    for name, array in parts.items():
        assert loaded.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_missing_is_none(store: ArtifactStore) -> None:
    assert store.load("no/such") is None
    assert "no/such" not in store
    assert store.names("no") == []


def test_saving_again_replaces(store: ArtifactStore) -> None:
    store.save("a", {"x": np.arange(3)})
    store.save("a", {"y": np.arange(4)})
    loaded = store.load("a")
    assert loaded is not None
    assert list(loaded.arrays) == ["y"]


def test_any_flipped_byte_is_noticed_or_harmless(store: ArtifactStore) -> None:
    original = np.arange(20, dtype=np.int32)
    store.save("a/x", {"x": original}, {"n": 1})
    path = store.root / "a" / "x.npz"
    good = path.read_bytes()
    removed = 0
    for position, mask in itertools.product(range(len(good)), (0x01, 0x20, 0xFF)):
        bad = bytearray(good)
        bad[position] ^= mask
        path.write_bytes(bad)
        loaded = store.load("a/x")
        if loaded is None:
            removed += 1
            assert not path.exists()
        else:
            assert loaded.meta == {"n": 1}
            np.testing.assert_array_equal(loaded.arrays["x"], original)
    assert removed > len(good)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_artifact_counts_as_missing(store: ArtifactStore, share: float) -> None:
    store.save("a/x", {"x": np.arange(1000)})
    path = store.root / "a" / "x.npz"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert store.load("a/x") is None
    assert "a/x" not in store
    store.save("a/x", {"x": np.arange(1000)})
    assert store.load("a/x") is not None


def test_an_artifact_that_cannot_be_opened_now_is_kept(store: ArtifactStore) -> None:
    """Running out of file handles says nothing about the artifact."""
    store.save("a/x", {"x": np.arange(10)})
    with no_file_handles(), suppress(OSError):
        store.load("a/x")
    assert "a/x" in store


def test_check_counts_and_removes_corrupt_artifacts(store: ArtifactStore) -> None:
    for i in range(3):
        store.save(f"a/{i}", {"x": np.arange(10)})
    (store.root / "a" / "1.npz").write_bytes(b"PK nonsense")
    assert store.check() == {"artifacts": 3, "corrupt": 1}
    assert store.check() == {"artifacts": 2, "corrupt": 0}


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, limit_bytes=250_000)
    for i, name in enumerate(("old", "used", "newer")):
        store.save(name, {"x": np.zeros(10_000)})
        age(store, name, 100 - i)
    assert store.load("old") is not None
    store.save("newest", {"x": np.zeros(10_000)})
    assert {n for n in ("old", "used", "newer", "newest") if n in store} == {
        "old",
        "newer",
        "newest",
    }


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3000)), min_size=1, max_size=12))
def test_the_limit_is_respected(
    tmp_path_factory: pytest.TempPathFactory, saves: list[tuple[int, int]]
) -> None:
    store = ArtifactStore(tmp_path_factory.mktemp("limit"), limit_bytes=30_000)
    for name, length in saves:
        store.save(f"f/{name}", {"x": np.zeros(length)})
        assert store.size_bytes() <= 30_000
        assert f"f/{name}" in store


def test_the_artifact_just_written_is_kept_even_when_too_large(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, limit_bytes=100)
    store.save("a", {"x": np.zeros(10)})
    store.save("b", {"x": np.zeros(10)})
    assert "a" not in store
    assert store.load("b") is not None


def test_two_processes_write_the_same_name(store: ArtifactStore) -> None:
    writers = [start(SAME_NAME, store.root, i) for i in (1, 2)]
    while any(w.poll() is None for w in writers):
        loaded = store.load("same/name")
        if loaded is not None:
            assert set(loaded.arrays["x"].tolist()) == {int(loaded.meta["by"])}
    finish(*writers)
    assert store.check() == {"artifacts": 1, "corrupt": 0}


def test_killed_writers_leave_only_readable_artifacts(store: ArtifactStore) -> None:
    rng = np.random.default_rng(0)
    for round_ in range(8):
        writer = start(WRITER, store.root, f"r{round_}-")
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.03))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    assert store.check()["artifacts"] >= 8
    assert store.check()["corrupt"] == 0


def test_abandoned_drafts_go_and_fresh_ones_stay(store: ArtifactStore) -> None:
    store.save("a/x", {"x": np.arange(3)})
    abandoned, fresh = (store.root / "a" / f".{n}.draft" for n in ("abandoned", "fresh"))
    abandoned.touch()
    fresh.touch()
    then = time.time() - ABANDONED_S - 10
    os.utime(abandoned, (then, then))
    store.save("b", {"x": np.arange(3)})
    assert not abandoned.exists()
    assert fresh.exists()


def test_a_failed_save_leaves_nothing(store: ArtifactStore) -> None:
    with pytest.raises(TypeError):
        store.save("a/x", {"x": np.arange(3)}, {"not json": object()})
    assert [p for p in store.root.rglob("*") if p.is_file()] == []


def test_only_one_process_builds_a_name(store: ArtifactStore, tmp_path: Path) -> None:
    log = tmp_path / "log"
    finish(*[start(BUILDER, store.root, log) for _ in range(2)])
    assert log.read_text().split() == ["in", "out", "in", "out"]


@given(st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v, max_size=3)))
def test_json_round_trip(value: object) -> None:
    assert from_json_array(json_array(value)) == value
