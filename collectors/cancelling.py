"""Asking, while work runs, whether somebody wants it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

from autorag.errors import WorkCancelled

POLL_S = 1.0


def never() -> bool:
    """Nobody stops the work."""
    return False


class Cancelling:
    """Asks ``cancelled`` once a second at most, since the answer may lie in a database."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self._next = -float("inf")

    def check(self) -> None:
        """
        Raises:
            WorkCancelled: the work is to be stopped.
        """
        now = time.monotonic()
        if now >= self._next:
            self._next = now + POLL_S
            if self._cancelled():
                raise WorkCancelled("cancelled")
