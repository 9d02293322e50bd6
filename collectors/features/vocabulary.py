"""The vocabulary of a corpus: how many words, how they grow and how they are spread.

What grows with the amount of text is taken at a fixed amount by rarefaction (Hurlbert 1971): of
``N`` words of which word ``w`` stands ``c_w`` times, a draw of ``m`` without replacement holds
``Σ_w 1 - C(N - c_w, m) / C(N, m)`` distinct ones in expectation. No draw is made: it is exact.
"""

from __future__ import annotations

import math

import numpy as np

from collectors.features.sample import BLOCK_PASSAGES
from collectors.features.words import WordTable

RAREFIED_WORDS = 5000
FIRST_RANK, LAST_RANK, LEAST_COUNT = 10, 300, 5
"""Ranks between which Zipf's law is fitted, and how often the rarest must stand."""

FIRST_WORDS = 25
"""Words at the beginning of a passage among which distinct ones are counted."""


def rarefied(counts: np.ndarray, words: int) -> float | None:
    """Distinct words expected among ``words`` drawn, or None where there are fewer.

    Args:
        counts: how often each word stands, int64 ``(vocabulary,)``.
    """
    total = int(counts.sum())
    if words > total:
        return None
    often, spectrum = np.unique(counts[counts > 0], return_counts=True)
    return float(spectrum @ (1 - chance_of_missing(often, total, words)))


def chance_of_missing(often: np.ndarray, total: int, drawn: int) -> np.ndarray:
    """Chance that ``drawn`` of ``total`` things hold none of ``often``: ``C(total - often, drawn) /
    C(total, drawn)``."""
    log = np.full(len(often), -np.inf)
    possible = often <= total - drawn
    some, numbers = np.unique(often[possible], return_inverse=True)
    fixed = math.lgamma(total - drawn + 1) - math.lgamma(total + 1)
    logs = [math.lgamma(total - n + 1) - math.lgamma(total - n - drawn + 1) for n in some.tolist()]
    log[possible] = np.array(logs)[numbers] + fixed
    return np.asarray(np.exp(log))


def heaps_exponent(counts: np.ndarray) -> float | None:
    """Growth of the vocabulary between a quarter of ``RAREFIED_WORDS`` and all of them."""
    few, many = rarefied(counts, RAREFIED_WORDS // 4), rarefied(counts, RAREFIED_WORDS)
    return None if few is None or many is None else math.log(many / few, 4)


def extended_vocabulary(counts: np.ndarray, words: float) -> float | None:
    """Distinct words of a corpus of ``words`` words of which ``counts`` are a part."""
    total, distinct = int(counts.sum()), int((counts > 0).sum())
    half = rarefied(counts, total // 2)
    if total == 0 or half is None:
        return None
    slope = math.log2(distinct / half) if half > 0 else 1.0
    return float(distinct * max(1.0, words / total) ** slope)


def zipf_exponent(counts: np.ndarray) -> float | None:
    """Least squares of log frequency on log rank at ranks evenly spread in log."""
    ordered = np.sort(counts)[::-1]
    if len(ordered) < LAST_RANK or ordered[LAST_RANK - 1] < LEAST_COUNT:
        return None
    ranks = np.unique(np.geomspace(FIRST_RANK, LAST_RANK, 50).round().astype(int))
    slope, _ = np.polyfit(np.log(ranks), np.log(ordered[ranks - 1]), 1)
    return float(-slope)


def idf(passages: WordTable) -> tuple[float, float] | tuple[None, None]:
    """Mean and standard deviation of idf (nats) over the distinct words of every passage.

    Passages are counted within blocks of ``BLOCK_PASSAGES`` (all where there are fewer): idf grows
    with the logarithm of their number.
    """
    if len(passages) == 0:
        return None, None
    row, word = passages.incidence
    size = min(BLOCK_PASSAGES, len(passages))
    blocks = [word[row // size == i] for i in range(len(passages) // size)]
    found = np.concatenate([np.log(size / np.bincount(block)[block]) for block in blocks])
    return float(found.mean()), float(found.std())


def type_token_ratio(passages: WordTable) -> float | None:
    """Distinct words among the first ``FIRST_WORDS`` of a passage, mean over passages with as
    many."""
    start = passages.starts[:-1][np.diff(passages.starts) >= FIRST_WORDS]
    if len(start) == 0:
        return None
    first = np.sort(passages.ids[start[:, None] + np.arange(FIRST_WORDS)], axis=1)
    distinct = 1 + (np.diff(first, axis=1) != 0).sum(axis=1)
    return float(distinct.mean() / FIRST_WORDS)


def number_share(table: WordTable) -> float | None:
    """Words written in digits only."""
    if len(table.ids) == 0:
        return None
    digits = np.array([word.isnumeric() for word in table.vocabulary])
    return float(table.counts[digits].sum() / len(table.ids))
