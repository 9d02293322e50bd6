"""Bearer keys, by their hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import insert, select, update

from autorag.errors import ConflictError, NotFoundError
from store.repositories import Repository
from store.tables import apps, keys

Origin = Literal["environment", "generated", "http"]

ADMIN, APP = "admin", "app"

MOST_LIVE = 2
"""Live keys of an app: one in use, and one to move to."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret.

    Attributes:
        admin: it opens everything.
        app: name of the app that it opens, None for an admin key.
        scopes: what it opens there.
    """

    id: int
    admin: bool
    app: str | None
    app_id: int | None
    scopes: tuple[str, ...]
    label: str | None
    origin: str
    created_at: int
    revoked_at: int | None


class KeyRepository(Repository):
    """Keys that are live until they are revoked. The environment names one admin key at most; an
    app has two live keys at most; the last admin key that is live stays so."""

    def add(self, hash_: str, *, origin: Origin, label: str | None = None) -> int:
        """Let an admin key in; returns its id."""
        with self._transaction("a key could not be recorded") as connection:
            self._check_new(connection, hash_)
            row = {**self._row(hash_, origin), "label": label}
            return _inserted(connection.execute(insert(keys), row))

    def add_for_app(
        self, app_id: int, hash_: str, scopes: Sequence[str], *, label: str | None = None
    ) -> int:
        """Let a key of an app in; returns its id.

        Raises:
            ConflictError: the app has as many live keys as it may, or the key is there already.
        """
        live = select(keys.c.id).where(keys.c.app_id == app_id, keys.c.revoked_at.is_(None))
        with self._transaction("a key could not be recorded") as connection:
            self._check_new(connection, hash_)
            if len(connection.scalars(live).all()) >= MOST_LIVE:
                raise ConflictError(
                    f"the app has {MOST_LIVE} live keys: delete one of them first", key="app"
                )
            row = {
                **self._row(hash_, "http"),
                "scope": APP,
                "app_id": app_id,
                "scopes": list(scopes),
                "label": label,
            }
            return _inserted(connection.execute(insert(keys), row))

    def set_environment_key(self, hash_: str) -> None:
        """Let in the admin key that the environment names, and neither the one that it named before
        nor the one that was made for want of it."""
        with self._transaction("a key could not be recorded") as connection:
            mine = keys.c.origin.in_(("environment", "generated"))
            others = update(keys).where(mine, keys.c.hash != hash_, keys.c.revoked_at.is_(None))
            connection.execute(others.values(revoked_at=self._now))
            again = update(keys).where(keys.c.hash == hash_)
            live = again.values(revoked_at=None, origin="environment", scope=ADMIN, app_id=None)
            if connection.execute(live).rowcount == 0:
                connection.execute(insert(keys), self._row(hash_, "environment"))

    def any_live(self) -> bool:
        """Whether any admin key is let in."""
        with self._reading() as connection:
            live = select(keys.c.id).where(keys.c.scope == ADMIN, keys.c.revoked_at.is_(None))
            return connection.scalar(live.limit(1)) is not None

    def find(self, hash_: str) -> Key | None:
        """The live key with this hash."""
        with self._reading() as connection:
            wanted = _KEYS.where(keys.c.hash == hash_, keys.c.revoked_at.is_(None))
            row = connection.execute(wanted).first()
        return None if row is None else _key(row)

    def all(self) -> list[Key]:
        """Every key that there ever was, the oldest first."""
        with self._reading() as connection:
            return [_key(row) for row in connection.execute(_KEYS.order_by(keys.c.id))]

    def revoke(self, key_id: int) -> None:
        """Let a key in no longer; one that is revoked already stays so.

        Raises:
            NotFoundError: there is no such key.
            ConflictError: it is the environment's, or the last admin key.
        """
        with self._transaction("a key could not be revoked") as connection:
            row = connection.execute(_KEYS.where(keys.c.id == key_id)).first()
            if row is None:
                raise NotFoundError(f"there is no key {key_id}", key="key", value=key_id)
            key = _key(row)
            if key.revoked_at is not None:
                return
            if key.origin == "environment":
                raise ConflictError(
                    f"key {key_id} is AUTORAG_ADMIN_KEY: change it there", key="key", value=key_id
                )
            if key.admin and self._only_admin(connection, key_id):
                raise ConflictError(
                    f"key {key_id} is the only admin key: make another first",
                    key="key",
                    value=key_id,
                )
            revoked = update(keys).where(keys.c.id == key_id).values(revoked_at=self._now)
            connection.execute(revoked)

    def _check_new(self, connection: Any, hash_: str) -> None:
        if connection.scalar(select(keys.c.id).where(keys.c.hash == hash_)) is not None:
            raise ConflictError("this very key was made before", key="key")

    def _only_admin(self, connection: Any, key_id: int) -> bool:
        live = (keys.c.scope == ADMIN, keys.c.revoked_at.is_(None), keys.c.id != key_id)
        return connection.scalar(select(keys.c.id).where(*live).limit(1)) is None

    def _row(self, hash_: str, origin: Origin) -> dict[str, object]:
        return {"hash": hash_, "scope": ADMIN, "origin": origin, "created_at": self._now}


_KEYS = select(
    keys.c.id,
    keys.c.scope,
    apps.c.name,
    keys.c.app_id,
    keys.c.scopes,
    keys.c.label,
    keys.c.origin,
    keys.c.created_at,
    keys.c.revoked_at,
).outerjoin(apps, apps.c.id == keys.c.app_id)


def _key(row: Any) -> Key:
    id_, scope, app, app_id, scopes, *rest = tuple(row)
    return Key(id_, scope == ADMIN, app, app_id, tuple(scopes or ()), *rest)


def _inserted(result: Any) -> int:
    return int(result.inserted_primary_key[0])
