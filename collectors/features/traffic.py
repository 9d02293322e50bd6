"""Features of traffic, from when requests came and which queries were equal.

Burstiness is that of Goh and Barabási (2008), from mean and deviation of the gaps between requests,
in the form of Kim and Jo (2016) for a finite number of gaps ``n``: with ``r`` = deviation / mean,
``(√(n+1) r - √(n-1)) / ((√(n+1) - 2) r + √(n-1))``. Slow changes of the rate (day and night) count
as bursts too; give a stretch of time over which the rate is one figure.
"""

from __future__ import annotations

import math

import numpy as np

from autorag.features import TrafficFeatures

WINDOW = 1000
"""Consecutive requests among which repetition is counted."""


def traffic_features(times_s: np.ndarray, query_hashes: np.ndarray) -> TrafficFeatures:
    """Features of requests.

    Args:
        times_s: seconds since the epoch, ``(n,)``, in any order; not finite: not known when.
        query_hashes: equal for equal queries, ``(n,)``, any type that has an equality.
    """
    known = np.isfinite(times_s)
    order = np.argsort(times_s[known], kind="stable")
    times = times_s[known][order].astype(np.float64)
    gaps = np.diff(times)
    span = float(gaps.sum())
    return TrafficFeatures(
        arrival_per_s=len(gaps) / span if span > 0 else None,
        burstiness=burstiness(gaps),
        repetition_share=repetition(query_hashes[known][order]),
    )


def burstiness(gaps: np.ndarray) -> float | None:
    """Between -1 (regular) and 1; None for fewer than two gaps or when all are 0."""
    n, mean = len(gaps), float(gaps.mean()) if len(gaps) else 0.0
    if n < 2 or mean == 0:
        return None
    ratio = float(gaps.std()) / mean
    high, low = math.sqrt(n + 1), math.sqrt(n - 1)
    return (high * ratio - low) / ((high - 2) * ratio + low)


def repetition(hashes: np.ndarray) -> float | None:
    """Requests that repeat an earlier one of their window, over all but the last part window."""
    if len(hashes) < 2:
        return None
    whole = max(1, len(hashes) // WINDOW)
    windows = [hashes[i * WINDOW : (i + 1) * WINDOW] for i in range(whole)]
    return 1 - sum(len(np.unique(w)) for w in windows) / sum(map(len, windows))
