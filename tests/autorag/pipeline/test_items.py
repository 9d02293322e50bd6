"""Per-item caches: only what is missing is computed, and a kill loses at most one batch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.hashing import text_id
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.items import ItemCache, fixed_batches

KILLED_BUILD = """
import os, signal, sys, numpy as np
from pathlib import Path
from autorag.hashing import text_id
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.items import ItemCache, fixed_batches
def compute(positions):
    if 7 in positions:
        os.kill(os.getpid(), signal.SIGKILL)
    return [np.full((1, 2), i, np.float32) for i in positions]
keys = [text_id(str(i)) for i in range(10)]
cache = ItemCache(ArtifactStore(Path(sys.argv[1])), "embed", "n")
cache.fill(keys, compute, fixed_batches(10, 3))
"""


def keys(*numbers: int) -> list[bytes]:
    return [text_id(str(n)) for n in numbers]


def rows_of(number: int) -> np.ndarray:
    """The item of a number: as many rows as its last digit."""
    return np.full((number % 10, 3), number, dtype=np.int32)


def fill(cache: ItemCache, numbers: Sequence[int], size: int = 3) -> tuple[list[int], list[int]]:
    """Fill a cache with these; returns which were computed, and the size of each batch."""
    computed: list[int] = []
    sizes: list[int] = []

    def compute(positions: Sequence[int]) -> list[np.ndarray]:
        computed.extend(numbers[i] for i in positions)
        sizes.append(len(positions))
        return [rows_of(numbers[i]) for i in positions]

    filled = cache.fill(keys(*numbers), compute, fixed_batches(len(numbers), size))
    assert len(filled.items) == len(numbers)
    assert filled.computed == len(computed)
    for i, number in enumerate(numbers):
        np.testing.assert_array_equal(filled.items[i], rows_of(number))
    return computed, sizes


@pytest.fixture
def cache(store: ArtifactStore) -> ItemCache:
    return ItemCache(store, "embed", "space")


def test_everything_is_computed_once_in_batches(cache: ItemCache) -> None:
    assert fill(cache, [5, 3, 8, 1, 9, 2, 7]) == ([5, 3, 8, 1, 9, 2, 7], [3, 3, 1])
    assert fill(cache, [5, 3, 8, 1, 9, 2, 7]) == ([], [])


def test_only_missing_items_are_computed(cache: ItemCache) -> None:
    fill(cache, [11, 12, 13])
    assert fill(cache, [14, 13, 12, 15, 11]) == ([14, 15], [2])
    assert len(set(keys(11, 15, 16, 17)) - cache.known()) == 2


numbers = st.lists(st.integers(0, 60), unique=True, max_size=20)


@given(st.lists(numbers, max_size=4), st.integers(1, 7))
def test_items_come_back_in_the_order_asked(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[int]], size: int
) -> None:
    cache = ItemCache(ArtifactStore(tmp_path_factory.mktemp("order")), "embed", "n")
    known: set[int] = set()
    for wanted in rounds:
        computed, _ = fill(cache, wanted, size)
        assert computed == [n for n in wanted if n not in known]
        known.update(wanted)


def test_another_namespace_knows_nothing(store: ArtifactStore) -> None:
    fill(ItemCache(store, "embed", "one"), [1, 2])
    assert fill(ItemCache(store, "embed", "two"), [1, 2])[0] == [1, 2]


def test_an_item_may_have_no_rows(cache: ItemCache) -> None:
    fill(cache, [10, 20])
    assert fill(cache, [20, 3, 10]) == ([3], [1])


def test_a_corrupt_segment_is_computed_again(cache: ItemCache) -> None:
    fill(cache, [1, 2, 3, 4, 5, 6])
    first, second = cache.store.names(cache.folder)
    segment = cache.store.load(first)
    assert segment is not None
    lost = {int(v) for v in segment.arrays["rows"][:, 0]}
    path = cache.store.root / f"{first}.npz"
    path.write_bytes(path.read_bytes()[:-30])
    assert set(fill(cache, [6, 5, 4, 3, 2, 1])[0]) == lost
    assert second in cache.store.names(cache.folder)


def test_a_killed_build_keeps_its_finished_batches(store: ArtifactStore) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_BUILD, str(store.root)], check=False)
    assert killed.returncode == -9
    cache = ItemCache(store, "embed", "n")
    assert len(set(keys(*range(10))) - cache.known()) == 4

    def compute(positions: Sequence[int]) -> list[np.ndarray]:
        return [np.full((1, 2), i, np.float32) for i in positions]

    filled = cache.fill(keys(*range(10)), compute, fixed_batches(10, 3))
    assert filled.computed == 4
    assert filled.items.rows[:, 0].tolist() == list(range(10))


def test_a_failed_batch_keeps_those_before(cache: ItemCache) -> None:
    def compute(positions: Sequence[int]) -> list[np.ndarray]:
        if 4 in positions:
            raise OSError("no more")
        return [rows_of(i) for i in positions]

    with pytest.raises(OSError, match="no more"):
        cache.fill(keys(*range(6)), compute, fixed_batches(6, 2))
    assert len(set(keys(*range(6))) - cache.known()) == 2


@given(st.integers(0, 50), st.integers(1, 20))
def test_batches_cover_everything_once(total: int, size: int) -> None:
    batches = fixed_batches(total, size)
    covered = [i for b in batches for i in range(total)[b]]
    assert covered == list(range(total))
