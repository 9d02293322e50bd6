"""What many may ask for at any time, without a key, and what costs a look at the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from autorag.ports import Clock

KEPT_S = 1.0

T = TypeVar("T")


class Recent(Generic[T]):
    """Looks at most once a second, whoever asks."""

    def __init__(self, look: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._looking = asyncio.Lock()
        self._found: tuple[T, float] | None = None

    async def get(self) -> T:
        """What was found a moment ago."""
        async with self._looking:
            now = self._clock.monotonic()
            if self._found is None or now >= self._found[1]:
                self._found = await self._look(), now + KEPT_S
            return self._found[0]
