"""What instances did with the revisions that they got."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import and_, case, func, insert, or_, select, update

from autorag.apps import Ack
from store.repositories import Repository
from store.tables import acks, apps

MOST = 1_000

SAID_AT = case(
    (acks.c.state == "applied", acks.c.applied_at),
    (acks.c.state == "failed", acks.c.failed_at),
    else_=acks.c.received_at,
)
"""When an instance came to the state that it is in with a revision."""

_COLUMNS = [acks.c[f.name] for f in fields(Ack)]


class AckRepository(Repository):
    """One row for each instance and revision: what it said last. Saying the same again changes
    nothing, not even the time."""

    def record(self, app_id: int, ack: Ack) -> Ack:
        """Record what an instance says now; times of earlier states are kept, and so is that when
        it first applied a revision. Late news never takes a revision back: ``received`` after
        ``applied`` changes nothing."""
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

    def of_app(self, app_id: int, *, revision: int | None = None, limit: int = MOST) -> list[Ack]:
        """What was acknowledged, the newest first.

        Args:
            revision: of this one only.
        """
        query = select(*_COLUMNS).where(acks.c.app_id == app_id)
        if revision is not None:
            query = query.where(acks.c.revision == revision)
        newest = (SAID_AT.desc(), acks.c.revision.desc(), acks.c.instance)
        with self._reading() as connection:
            return [Ack(*row) for row in connection.execute(query.order_by(*newest).limit(limit))]

    def applied(self, since: int) -> list[tuple[str, str, int, int]]:
        """(app, instance, revision, when) of what was applied since then (seconds since the epoch),
        and of what each instance had applied last before, in the order of time."""
        c = acks.c
        earlier = (
            select(c.app_id, c.instance, func.max(c.applied_at).label("at"))
            .where(c.applied_at < since)
            .group_by(c.app_id, c.instance)
            .subquery()
        )
        mine = and_(earlier.c.app_id == c.app_id, earlier.c.instance == c.instance)
        query = (
            select(apps.c.name, c.instance, c.revision, c.applied_at)
            .join(apps, apps.c.id == c.app_id)
            .outerjoin(earlier, mine)
            .where(or_(c.applied_at >= since, c.applied_at == earlier.c.at))
            .order_by(c.applied_at, c.revision)
        )
        with self._reading() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def _changed(self, before: Ack, ack: Ack) -> dict[str, Any]:
        if ack.state == "received" and before.state != "received":
            return {}
        said = {name: getattr(ack, name) for name in ("state", "values", "mismatched", "error")}
        if all(getattr(before, name) == value for name, value in said.items()):
            return {}
        if before.applied_at is not None and ack.state == "applied":
            return said  # telemetry since then ran with it
        return {**said, f"{ack.state}_at": self._now}
