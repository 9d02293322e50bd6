"""Per-item caches over the artifact store: chunk boundaries per document, vectors per chunk.

An item is an array of rows (one row for an embedding, one per token for late interaction, one per
chunk for boundaries). Items live in *segments*: artifacts of many items under the cache's
namespace, written whenever a batch is done, so a killed build loses one batch. Looking items up
reads the keys of every segment, and the rows of those that hold any of them. A segment remembers
the seconds that its items took, so what making any of them costs is known afterwards too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from autorag.hashing import ADDRESS_BYTES
from autorag.pipeline.artifacts import ArtifactStore

KEY_TYPE = np.dtype(f"V{ADDRESS_BYTES}")

Compute = Callable[[Sequence[int]], Sequence[np.ndarray]]
"""Maps positions of missing items to their rows, same order."""


@dataclass(frozen=True, slots=True)
class Ragged:
    """Items of different lengths: item ``i`` is ``rows[starts[i]:starts[i + 1]]``."""

    rows: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, item: int) -> np.ndarray:
        return self.rows[self.starts[item] : self.starts[item + 1]]


@dataclass(frozen=True, slots=True)
class Filled:
    """All items asked for.

    Attributes:
        computed: how many of them had to be computed.
        seconds: what computing all of them took, whenever that was.
    """

    items: Ragged
    computed: int
    seconds: float


class _Segment(NamedTuple):
    """Items that were saved together, and the seconds that each of them took."""

    items: Ragged
    item_s: float


class ItemCache:
    """Items of one namespace. Keys are ``ADDRESS_BYTES`` raw bytes."""

    def __init__(self, store: ArtifactStore, stage: str, namespace: str) -> None:
        self.store = store
        self.folder = f"{stage}/{namespace}"

    def fill(self, keys: Sequence[bytes], compute: Compute, batches: Iterable[slice]) -> Filled:
        """The items of these distinct keys; missing ones are computed batch by batch and saved.

        Args:
            batches: slices of the list of missing positions, each computed and saved together.
        """
        with self.store.building(self.folder):
            segments, where = self._locate(set(keys))
            absent = [i for i, k in enumerate(keys) if k not in where]
            for batch in batches:
                positions = absent[batch]
                if positions:
                    segments.append(self._computed(keys, positions, compute))
                    for row, i in enumerate(positions):
                        where[keys[i]] = (len(segments) - 1, row)
        places = [where[k] for k in keys]
        seconds = sum(segments[segment].item_s for segment, _ in places)
        return Filled(_gather([s.items for s in segments], places), len(absent), seconds)

    def add(self, keys: Sequence[bytes], items: Sequence[np.ndarray], seconds: float) -> None:
        """Save items that were computed elsewhere, in so many seconds."""
        if keys:
            self._save(keys, items, seconds)

    def known(self) -> set[bytes]:
        """The keys that are there."""
        return {k for name in self.store.names(self.folder) for k in self._keys(name)}

    def _locate(self, wanted: set[bytes]) -> tuple[list[_Segment], dict[bytes, tuple[int, int]]]:
        """The segments that hold any of these keys, and where each is: (segment, item)."""
        segments: list[_Segment] = []
        where: dict[bytes, tuple[int, int]] = {}
        for name in self.store.names(self.folder):
            keys = self._keys(name)
            artifact = None if wanted.isdisjoint(keys) else self.store.load(name)
            if artifact is not None:
                where.update({k: (len(segments), i) for i, k in enumerate(keys)})
                items = Ragged(artifact.arrays["rows"], artifact.arrays["starts"])
                segments.append(_Segment(items, artifact.meta.get("seconds", 0.0) / len(items)))
        return segments, where

    def _keys(self, name: str) -> list[bytes]:
        raw = self.store.peek(name, "keys")
        keys: list[bytes] = [] if raw is None else raw.view(KEY_TYPE).ravel().tolist()
        return keys

    def _computed(
        self, keys: Sequence[bytes], positions: Sequence[int], compute: Compute
    ) -> _Segment:
        """Compute and save a batch."""
        started = time.perf_counter()
        found = compute(positions)
        return self._save([keys[i] for i in positions], found, time.perf_counter() - started)

    def _save(self, keys: Sequence[bytes], items: Sequence[np.ndarray], seconds: float) -> _Segment:
        segment = _ragged(items)
        raw = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), ADDRESS_BYTES)
        arrays = {"keys": raw, "rows": segment.rows, "starts": segment.starts}
        self.store.save(f"{self.folder}/{uuid.uuid4().hex}", arrays, {"seconds": seconds})
        return _Segment(segment, seconds / len(keys))


def fixed_batches(total: int, size: int) -> list[slice]:
    """Slices of ``size`` that cover ``total``."""
    return [slice(i, i + size) for i in range(0, total, size)]


def _ragged(items: Sequence[np.ndarray]) -> Ragged:
    lengths = [len(i) for i in items]
    return Ragged(np.concatenate(items), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def _gather(segments: Sequence[Ragged], places: Sequence[tuple[int, int]]) -> Ragged:
    """Items from several segments as one, in order of ``places``."""
    if not places:
        return Ragged(np.empty((0, 0), dtype=np.float32), np.zeros(1, dtype=np.int64))
    segment, item = np.array(places).T
    first = np.empty(len(places), dtype=np.int64)
    lengths = np.empty(len(places), dtype=np.int64)
    for number, part in enumerate(segments):
        mine = segment == number
        first[mine] = part.starts[item[mine]]
        lengths[mine] = part.starts[item[mine] + 1] - first[mine]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.empty((starts[-1], *segments[0].rows.shape[1:]), dtype=segments[0].rows.dtype)
    for number, part in enumerate(segments):
        mine = np.flatnonzero(segment == number)
        to, source = (_positions(at[mine], lengths[mine]) for at in (starts, first))
        rows[to] = part.rows[source]
    return Ragged(rows, starts)


def _positions(first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """``first[i], first[i] + 1, ...`` for ``lengths[i]`` numbers, one item after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.asarray(np.arange(total) - np.repeat(ends - lengths - first, lengths))
