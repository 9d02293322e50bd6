"""Bearer keys, by their hashes."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import insert, select, update

from store.repositories import Repository
from store.tables import keys

Origin = Literal["environment", "generated"]

ADMIN = "admin"


class KeyRepository(Repository):
    """Keys that are live until they are revoked."""

    def add(self, hash_: str, *, origin: Origin) -> None:
        """Let an admin key in."""
        with self._transaction("a key could not be recorded") as connection:
            connection.execute(insert(keys), self._row(hash_, origin))

    def set_environment_key(self, hash_: str) -> None:
        """Let in the admin key that the environment names, and neither the one that it named before
        nor the one that was made for want of it."""
        with self._transaction("a key could not be recorded") as connection:
            now = int(self._clock.time())
            mine = keys.c.origin.in_(("environment", "generated"))
            others = update(keys).where(mine, keys.c.hash != hash_, keys.c.revoked_at.is_(None))
            connection.execute(others.values(revoked_at=now))
            again = update(keys).where(keys.c.hash == hash_)
            live = again.values(revoked_at=None, origin="environment")
            if connection.execute(live).rowcount == 0:
                connection.execute(insert(keys), self._row(hash_, "environment"))

    def any_live(self) -> bool:
        """Whether any admin key is let in."""
        with self._reading() as connection:
            live = select(keys.c.id).where(keys.c.scope == ADMIN, keys.c.revoked_at.is_(None))
            return connection.scalar(live.limit(1)) is not None

    def is_admin(self, hash_: str) -> bool:
        """Whether this is a live admin key."""
        live = keys.c.revoked_at.is_(None)
        wanted = select(keys.c.id).where(keys.c.hash == hash_, keys.c.scope == ADMIN, live)
        with self._reading() as connection:
            return connection.scalar(wanted) is not None

    def _row(self, hash_: str, origin: Origin) -> dict[str, object]:
        now = int(self._clock.time())
        return {"hash": hash_, "scope": ADMIN, "origin": origin, "created_at": now}
