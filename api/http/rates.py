"""How often one may ask: a token bucket for each caller, refilled all the time.

A bucket is kept as the one time at which it is full again (the generic cell rate algorithm). Those
that were used longest ago are dropped when there are too many.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping

from autorag.ports import Clock

BURST_S = 2.0
"""Seconds' worth of requests that may come at once."""

MOST_CALLERS = 10_000


class Rates:
    """Buckets that refill at ``per_s`` requests a second (0: no limit)."""

    def __init__(self, clock: Clock, per_s: float, most_callers: int = MOST_CALLERS) -> None:
        self._clock = clock
        self._per_s = per_s
        self._most_callers = most_callers
        self._burst = max(1.0, per_s * BURST_S)
        self._full_at: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, caller: bytes) -> float:
        """Take a request from the caller's bucket; returns the seconds after which there is one,
        when there is none now, else 0."""
        if not self._per_s:
            return 0.0
        now = self._clock.monotonic()
        full_at = max(now, self._full_at.pop(caller, now)) + 1.0 / self._per_s
        wait_s = full_at - now - self._burst / self._per_s
        # Sums of many small fractions are off by less than this.
        if wait_s > 1e-6:
            full_at -= 1.0 / self._per_s
        self._full_at[caller] = full_at
        if len(self._full_at) > self._most_callers:
            self._full_at.popitem(last=False)
        return wait_s if wait_s > 1e-6 else 0.0

    def give_back(self, caller: bytes) -> None:
        """Undo a request that was taken a moment ago."""
        if caller in self._full_at:
            self._full_at[caller] -= 1.0 / self._per_s

    def headers(self, wait_s: float, policy: str) -> Mapping[str, str]:
        """What a refused client is told (draft-ietf-httpapi-ratelimit-headers)."""
        window_s = math.ceil(self._burst / self._per_s)
        after_s = math.ceil(wait_s)
        return {
            "Retry-After": str(after_s),
            "RateLimit-Policy": f'"{policy}";q={math.floor(self._burst)};w={window_s}',
            "RateLimit": f'"{policy}";r=0;t={after_s}',
        }
