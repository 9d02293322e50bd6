"""Callers whose keys are known without a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from api.auth import hashed
from api.http.callers import Callers
from api.http.key_ring import KeyRing
from api.http.rates import Rates
from autorag.ports import Clock
from store.keys import Key
from tests.fakes import ManualClock

ADMIN = Key(1, True, None, None, (), None, "http", 0, None)


class Ring(KeyRing):
    """A ring on which these keys are live; ``looked_up`` counts."""

    def __init__(self, *keys: str) -> None:
        self.live = {hashed(key) for key in keys}
        self.looked_up = 0
        self._seen: set[str] = set()

    def recognises(self, hash_: str) -> bool:
        return hash_ in self._seen

    async def find(self, hash_: str) -> Key | None:
        self.looked_up += 1
        await asyncio.sleep(0)
        if hash_ not in self.live:
            return None
        self._seen.add(hash_)
        return ADMIN


def callers(*keys: str, clock: Clock | None = None, per_s: float = 0) -> Callable[[], Callers]:
    """Callers with these live keys, as the limits take them."""
    made = Callers(Ring(*keys), Rates(clock or ManualClock(), per_s))
    return lambda: made
