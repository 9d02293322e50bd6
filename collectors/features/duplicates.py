"""Repetition between documents: exact by equality, near by MinHash (Broder 1997).

A document is the set of its runs of five words. Under a random hash the chance that two sets have
the same minimum is their Jaccard similarity; 64 hashes estimate it with a standard error of at most
.06. Candidates agree on all hashes of one of 16 bands of 4; documents of a band are compared with
their neighbour in it only, so that a thousand copies cost a thousand comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autorag.documents import Document
from collectors.features.words import WordTable

RUN_WORDS = 5
HASHES, BANDS = 64, 16
ALIKE = 0.8
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ over the golden ratio (Knuth's multiplicative hashing)."""


def duplicate_share(documents: Sequence[Document]) -> float | None:
    """Documents whose text an earlier one has, white space at its ends aside."""
    texts = [stripped for d in documents if (stripped := d.text.strip())]
    return 1 - len(set(texts)) / len(texts) if texts else None


def near_duplicate_share(table: WordTable, rng: np.random.Generator) -> float | None:
    """Documents that are at least ``ALIKE`` to another one, among those with a run of words."""
    lengths = np.diff(table.starts)
    long = np.flatnonzero(lengths >= RUN_WORDS)
    if len(long) == 0:
        return None
    signatures = _signatures(_runs(table.ids), table.starts[long], table.starts[long + 1], rng)
    found = np.zeros(len(long), dtype=bool)
    for band in np.split(signatures, BANDS, axis=1):
        order = np.lexsort(band.T)
        left, right = order[:-1], order[1:]
        same = (band[left] == band[right]).all(axis=1)
        left, right = left[same], right[same]
        alike = (signatures[left] == signatures[right]).mean(axis=1) >= ALIKE
        found[left[alike]] = True
        found[right[alike]] = True
    return float(found.mean())


def _runs(ids: np.ndarray) -> np.ndarray:
    """A hash of the ``RUN_WORDS`` words that begin at each place, uint64."""
    mixed = _mixed(ids.astype(np.uint64))
    runs = np.zeros(max(0, len(ids) - RUN_WORDS + 1), dtype=np.uint64)
    for i in range(RUN_WORDS):
        runs = _mixed(runs ^ mixed[i : len(runs) + i])
    return runs


def _signatures(
    runs: np.ndarray, start: np.ndarray, end: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The least of every hash over the runs of each document, uint64 ``(documents, HASHES)``."""
    bounds = np.stack([start, end - RUN_WORDS + 1], axis=1).ravel()
    padded = np.append(runs, np.uint64(0))
    factors, terms = rng.integers(2**63, size=(2, HASHES), dtype=np.uint64)
    hashes = (padded * (2 * a + np.uint64(1)) + b for a, b in zip(factors, terms, strict=True))
    return np.stack([np.minimum.reduceat(h, bounds)[::2] for h in hashes], axis=1)


def _mixed(values: np.ndarray) -> np.ndarray:
    """One to one on 64 bits, every input bit felt in the high and the low output bits."""
    values = (values ^ (values >> np.uint64(32))) * _MULTIPLIER
    values = (values ^ (values >> np.uint64(29))) * _MULTIPLIER
    return np.asarray(values ^ (values >> np.uint64(32)))
