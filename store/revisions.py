"""Revisions of the settings of apps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from autorag.apps import Origin, Revision
from autorag.errors import ConflictError, NotFoundError
from store.repositories import Repository
from store.tables import revisions

_COLUMNS = [revisions.c[f.name] for f in fields(Revision)]


class RevisionRepository(Repository):
    """Revisions, numbered from 1 for each app without gaps; one of them is active at most. Whoever
    adds or activates one holds the app's lock (``AppRepository.get(…, lock=True)``)."""

    def add(
        self, app_id: int, config: Mapping[str, Any], origin: Origin, reason: str | None
    ) -> Revision:
        """Propose the next revision."""
        mine = revisions.c.app_id == app_id
        with self._transaction("the revision could not be recorded") as connection:
            last = connection.scalar(select(func.max(revisions.c.number)).where(mine)) or 0
            new = Revision(last + 1, dict(config), None, "proposed", origin, reason, self._now)
            row = {f.name: getattr(new, f.name) for f in fields(Revision)}
            connection.execute(insert(revisions), {"app_id": app_id, **row})
        return new

    def activate(self, app_id: int, number: int, delivered: Mapping[str, Any]) -> None:
        """Make a proposed revision the active one; the active one and what was proposed before it
        are superseded.

        Args:
            delivered: what of it the app gets.

        Raises:
            NotFoundError: there is no such revision.
            ConflictError: it is not proposed.
        """
        c = revisions.c
        waiting = (c.state == "proposed") & (c.number < number)
        others = update(revisions).where(c.app_id == app_id, waiting | (c.state == "active"))
        mine = update(revisions).where(c.app_id == app_id, c.number == number)
        with self._transaction("the revision could not be activated") as connection:
            state = self._state(connection, app_id, number)
            if state != "proposed":
                raise ConflictError(
                    f"revision {number} is {state}, not proposed", key="revision", value=number
                )
            connection.execute(others.values(state="superseded", ended_at=self._now))
            connection.execute(
                mine.values(state="active", delivered=dict(delivered), activated_at=self._now)
            )

    def get(self, app_id: int, number: int) -> Revision:
        """One revision.

        Raises:
            NotFoundError: there is no such revision.
        """
        query = select(*_COLUMNS).where(revisions.c.app_id == app_id, revisions.c.number == number)
        with self._reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFoundError(f"there is no revision {number}", key="revision", value=number)
        return Revision(*row)

    def newest(self, app_id: int, limit: int, *, before: int | None = None) -> list[Revision]:
        """Revisions of an app, the newest first.

        Args:
            before: only those with a smaller number.
        """
        query = select(*_COLUMNS).where(revisions.c.app_id == app_id)
        if before is not None:
            query = query.where(revisions.c.number < before)
        query = query.order_by(revisions.c.number.desc()).limit(limit)
        with self._reading() as connection:
            return [Revision(*row) for row in connection.execute(query)]

    def _state(self, connection: Connection, app_id: int, number: int) -> str:
        c = revisions.c
        query = select(c.state).where(c.app_id == app_id, c.number == number)
        state: str | None = connection.scalar(query)
        if state is None:
            raise _unknown(number)
        return state


def _unknown(number: int) -> NotFoundError:
    return NotFoundError(f"there is no revision {number}", key="revision", value=number)
