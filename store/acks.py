"""What instances did with the revisions that they got."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import insert, select, update

from autorag.apps import Ack
from store.repositories import Repository
from store.tables import acks, apps

_COLUMNS = [acks.c[f.name] for f in fields(Ack)]


class AckRepository(Repository):
    """One row for each instance and revision: what it said last. Saying the same again changes
    nothing, not even the time."""

    def record(self, app_id: int, ack: Ack) -> Ack:
        """Record what an instance says now; times of earlier states are kept. Late news never
        takes a revision back: ``received`` after ``applied`` changes nothing."""
        mine = (
            acks.c.app_id == app_id,
            acks.c.instance == ack.instance,
            acks.c.revision == ack.revision,
        )
        with self._transaction("the acknowledgement could not be recorded") as connection:
            row = connection.execute(select(*_COLUMNS).where(*mine)).first()
            if row is None:
                first = {f.name: getattr(ack, f.name) for f in fields(Ack)}
                first[f"{ack.state}_at"] = self._now
                connection.execute(insert(acks), {"app_id": app_id, **first})
            else:
                changed = self._changed(Ack(*row), ack)
                if changed:
                    connection.execute(update(acks).where(*mine).values(changed))
            return Ack(*connection.execute(select(*_COLUMNS).where(*mine)).one())

    def of_app(self, app_id: int) -> list[Ack]:
        """Everything that was acknowledged, by instance and revision."""
        query = select(*_COLUMNS).where(acks.c.app_id == app_id)
        ordered = query.order_by(acks.c.instance, acks.c.revision)
        with self._reading() as connection:
            return [Ack(*row) for row in connection.execute(ordered)]

    def applied(self) -> list[tuple[str, str, int, int]]:
        """(app, instance, revision, when) of every revision that was applied, in that order of
        time."""
        query = (
            select(apps.c.name, acks.c.instance, acks.c.revision, acks.c.applied_at)
            .join(apps, apps.c.id == acks.c.app_id)
            .where(acks.c.applied_at.is_not(None))
            .order_by(acks.c.applied_at, acks.c.revision)
        )
        with self._reading() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def _changed(self, before: Ack, ack: Ack) -> dict[str, Any]:
        if ack.state == "received" and before.state != "received":
            return {}
        said = {name: getattr(ack, name) for name in ("state", "values", "mismatched", "error")}
        if all(getattr(before, name) == value for name, value in said.items()):
            return {}
        return {**said, f"{ack.state}_at": self._now}
