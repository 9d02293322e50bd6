"""Live keys, looked up once in a while and not for every request.

A key that this service revokes is let in no longer at once; one that somebody else revokes, in the
database, a moment later.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from autorag.ports import Clock
from store.database import Database
from store.keys import Key

KEPT_S = 1.0
MOST_KEYS = 10_000


class KeyRing:
    """Keys by their hashes. Only what is let in is remembered."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: OrderedDict[str, tuple[Key, float]] = OrderedDict()
        self._forgotten = 0

    async def find(self, hash_: str) -> Key | None:
        """The live key with this hash."""
        now = self._clock.monotonic()
        known = self._known.get(hash_)
        if known is not None and now < known[1]:
            return known[0]
        asked_at = self._forgotten
        found: Key | None = await asyncio.to_thread(
            self._database.read, lambda session: session.keys.find(hash_)
        )
        if found is not None and asked_at == self._forgotten:
            self._known[hash_] = found, now + KEPT_S
            self._known.move_to_end(hash_)
            while len(self._known) > MOST_KEYS:
                self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        """Look every key up again: some are revoked."""
        self._forgotten += 1
        self._known.clear()
