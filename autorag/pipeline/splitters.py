"""Four splitters. Each cuts one document's tokens into chunks of at most ``tokens`` tokens
(content-defined: at most twice as many).

* ``fixed``: every chunk full, cut between words.
* ``sentence``: whole sentences packed until full.
* ``recursive``: paragraphs packed until full; one that is too long is cut at lines, then
  sentences, then words.
* ``content_defined``: cut where a hash of the last few tokens says so (as in LBFS, Muthitacharoen
  et al., 2001), between half and twice the target. An edit moves only the boundaries near it.

The first three cut disjoint *cores* and then extend each backwards by ``overlap``: cores are
smaller by that share, so that a chunk never exceeds ``tokens``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from autorag.sentences import sentence_ends

WINDOW = 4
"""Tokens hashed by content-defined chunking."""

Range = tuple[int, int]


@dataclass(frozen=True)
class Tokens:
    """One tokenized text: ``offsets`` int32 ``(n, 2)`` characters, ``ids`` int64 ``(n,)``."""

    text: str
    offsets: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def split(tokens: Tokens, splitter: str, size: int, overlap: float) -> np.ndarray:
    """Chunk boundaries of one text.

    Args:
        size: tokens a chunk.
        overlap: share of ``size`` that consecutive chunks have in common; ignored by
            ``content_defined``.

    Returns:
        int32 ``(chunks, 3)``: start and end character, number of tokens.
    """
    if splitter == "content_defined":
        ranges = _content_defined(tokens, size)
    else:
        shared = int(size * overlap)
        levels = [_cuts(tokens, kind) for kind in _LEVELS[splitter]]
        cores = list(_pack(0, len(tokens), levels, max(1, size - shared)))
        ranges = _extended(cores, levels, shared)
    rows = [(tokens.offsets[a, 0], tokens.offsets[b - 1, 1], b - a) for a, b in ranges]
    return np.array(rows, dtype=np.int32).reshape(-1, 3)


_LEVELS = {
    "fixed": ("words",),
    "sentence": ("sentences", "words"),
    "recursive": ("paragraphs", "lines", "sentences", "words"),
}


def _cuts(tokens: Tokens, kind: str) -> np.ndarray:
    """Token positions at which a unit of this kind starts, ascending, without 0."""
    if kind == "words":
        gap = tokens.offsets[1:, 0] > tokens.offsets[:-1, 1]
        return np.asarray(np.flatnonzero(gap) + 1)
    if kind == "sentences":
        ends: Iterable[int] = sentence_ends(tokens.text)
    else:
        pattern = r"\n\s*\n" if kind == "paragraphs" else r"\n"
        ends = (m.end() for m in re.finditer(pattern, tokens.text))
    cuts = np.searchsorted(tokens.offsets[:, 0], np.fromiter(ends, dtype=np.int64))
    return np.unique(cuts[(cuts > 0) & (cuts < len(tokens))])


def _pack(start: int, end: int, levels: Sequence[np.ndarray], size: int) -> Iterable[Range]:
    """Cut ``start:end`` into ranges of at most ``size``, at the coarsest level that allows it."""
    at = start
    while end - at > size:
        if not levels:
            yield at, at + size
            at += size
            continue
        cuts = levels[0]
        cut = _last_cut(cuts, at, at + size)
        if cut is not None:
            yield at, cut
            at = cut
            continue
        after = int(np.searchsorted(cuts, at, side="right"))
        unit_end = min(end, int(cuts[after])) if after < len(cuts) else end
        yield from _pack(at, unit_end, levels[1:], size)
        at = unit_end
    if at < end:
        yield at, end


def _last_cut(cuts: np.ndarray, after: int, until: int) -> int | None:
    """The last cut in ``(after, until]``."""
    i = int(np.searchsorted(cuts, until, side="right")) - 1
    return int(cuts[i]) if i >= 0 and cuts[i] > after else None


def _extended(cores: Sequence[Range], levels: Sequence[np.ndarray], shared: int) -> list[Range]:
    """Extend every core but the first backwards by at most ``shared`` tokens, to where the
    coarsest unit starts that does so within them. A core that its successor takes in is dropped."""
    if not shared:
        return list(cores)
    ranges = [(_extended_start(a, levels, shared) if a else a, b) for a, b in cores]
    return [r for r, after in pairwise([*ranges, (cores[-1][1], 0)]) if after[0] > r[0]]


def _extended_start(start: int, levels: Sequence[np.ndarray], shared: int) -> int:
    lowest = max(0, start - shared)
    for cuts in levels:
        i = int(np.searchsorted(cuts, lowest))
        if i < len(cuts) and cuts[i] < start:
            return int(cuts[i])
    return lowest


def _content_defined(tokens: Tokens, size: int) -> list[Range]:
    smallest, largest = max(1, size // 2), 2 * size
    marks = _marks(tokens.ids, max(1, size - smallest))
    ranges, at = [], 0
    while at < len(tokens):
        i = int(np.searchsorted(marks, at + smallest))
        cut = int(marks[i]) if i < len(marks) else len(tokens)
        end = min(cut, at + largest, len(tokens))
        ranges.append((at, end))
        at = end
    return ranges


def _marks(ids: np.ndarray, spacing: int) -> np.ndarray:
    """Positions after which the hash of the last ``WINDOW`` tokens is 0 modulo ``spacing``."""
    hashes = np.zeros(len(ids), dtype=np.uint64)
    for back in range(WINDOW):
        shifted = np.zeros(len(ids), dtype=np.uint64)
        shifted[back:] = ids[: len(ids) - back].astype(np.uint64) + np.uint64(1)
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + shifted
    hashes ^= hashes >> np.uint64(32)
    return np.asarray(np.flatnonzero(hashes % np.uint64(spacing) == 0) + 1)
