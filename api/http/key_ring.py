"""Live keys, looked up once in a while and not for every request.

A key that this service revokes is let in no longer at once; one that somebody else revokes, in the
database, a moment later.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from api.http.threads import Reads
from autorag.ports import Clock
from store.keys import Key

KEPT_S = 1.0
MOST_KEYS = 10_000


class KeyRing:
    """Keys by their hashes. Only what is let in is remembered."""

    def __init__(self, reads: Reads, clock: Clock) -> None:
        self._reads = reads
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._forgotten = 0

    def recognises(self, hash_: str) -> bool:
        """Whether the key was live when it was looked up last."""
        return hash_ in self._known

    async def find(self, hash_: str) -> Key | None:
        """The live key with this hash."""
        now = self._clock.monotonic()
        known = self._known.get(hash_)
        if known is not None and known.asked_at == self._forgotten and now < known.until:
            return known.key
        asked_at = self._forgotten
        found = await self._reads.read(lambda session: session.keys.find(hash_))
        if found is None:
            self._known.pop(hash_, None)
        else:
            self._known[hash_] = _Known(found, now + KEPT_S, asked_at)
            self._known.move_to_end(hash_)
            if len(self._known) > MOST_KEYS:
                self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        """Look every key up again: some are revoked."""
        self._forgotten += 1


@dataclass(frozen=True, slots=True)
class _Known:
    """A key that was live when it was looked up.

    Attributes:
        asked_at: how often keys had been forgotten by then.
    """

    key: Key
    until: float
    asked_at: int
