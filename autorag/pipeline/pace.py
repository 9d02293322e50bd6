"""Whether the machine runs at its own speed right now.

In a virtual machine, who else uses a core is out of sight: for seconds at a time code runs up to
twice as slowly while the kernel reports neither pressure nor stolen time
(``python -m benchmarks.pace_peaks`` shows both). A fixed loop, timed on the thread's own CPU clock,
tells: calm and slow moments are two peaks, and a moment is slow when the loop takes ``SLOW`` times
its least lately. Waiting for calm moments and working again in them take no longer in all than the
work did, so that a machine which stays slow is measured as it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

SLOW = 1.3
"""Between the peaks."""

LOOP = 4000
"""Steps of the loop: about 0.2 ms."""

POLL_S = 0.05
FIRST_WAIT_S = 0.5
"""Seconds that may be waited before any work."""

LATELY_S = 300.0
"""The least of the last one to two spans of so many seconds is the machine's own speed."""


class Pace:
    """The machine's speed at this moment, against its best lately.

    Args:
        loop: returns the seconds that a fixed piece of work took.
    """

    def __init__(
        self,
        loop: Callable[[], float] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop or _loop
        self._sleep = sleep
        self._monotonic = monotonic
        self._least = (math.inf, math.inf)
        self._since = monotonic()
        self._spare_s = FIRST_WAIT_S
        for _ in range(20):
            self.now()

    def now(self) -> float:
        """Seconds that the loop takes now."""
        seconds, now = self._loop(), self._monotonic()
        this, before = self._least
        if now - self._since > LATELY_S:
            this, before, self._since = math.inf, this, now
        self._least = min(this, seconds), before
        return seconds

    def slow(self, seconds: float) -> bool:
        """Whether a loop that took so long ran in a slow moment."""
        return seconds > SLOW * min(self._least)

    def worked(self, seconds: float) -> None:
        """The work took so long."""
        self._spare_s += seconds

    def worked_again(self, seconds: float) -> None:
        """A part of it was done again, and took so long."""
        self._spare_s -= seconds

    def wait(self) -> bool:
        """Wait for a calm moment; False when no time is left for it."""
        while self._spare_s > 0:
            if not self.slow(self.now()):
                return True
            self._sleep(POLL_S)
            self._spare_s -= POLL_S
        return False


def _loop() -> float:
    started, total = time.thread_time(), 0
    for i in range(LOOP):
        total += i & 7
    return time.thread_time() - started
