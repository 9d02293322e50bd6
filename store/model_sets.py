"""Sets of trained models: which there are, and which one answers.

The files lie elsewhere; a row is written when its file is complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from autorag.errors import ConflictError, NotFoundError
from autorag.model_sets import SHIPPED_VERSION, ModelSetRow, State, Verdict
from store.repositories import Repository
from store.tables import models

KEPT = 20
"""Newest sets that are kept, beside the one in production and the one before it."""


class ModelSetRepository(Repository):
    """Sets of trained models. One at most is in production."""

    def add(self, sha256: str, about: Mapping[str, Any], verdict: Verdict) -> ModelSetRow:
        """Record a candidate."""
        row = {
            "sha256": sha256,
            "state": "candidate",
            "about": dict(about),
            "verdict": verdict.to_json(),
            "created_at": self._now,
        }
        with self._transaction("the set of models could not be recorded") as connection:
            inserted = connection.execute(insert(models), row).inserted_primary_key
            assert inserted is not None
            return _get(connection, inserted[0])

    def all(self) -> list[ModelSetRow]:
        """Every set, the newest first."""
        with self._reading() as connection:
            rows = connection.execute(select(models).order_by(models.c.version.desc()))
            return [_row(row) for row in rows]

    def get(self, version: int) -> ModelSetRow:
        """One set.

        Raises:
            NotFoundError: there is none of this version.
        """
        with self._reading() as connection:
            return _get(connection, version)

    def production(self) -> ModelSetRow | None:
        """The set that answers; None for the one that ships."""
        with self._reading() as connection:
            row = connection.execute(select(models).where(models.c.state == "production")).first()
        return None if row is None else _row(row)

    def promote(self, version: int) -> ModelSetRow:
        """Put a set into production and archive the one that is there.

        Raises:
            NotFoundError: there is none of this version.
            ConflictError: its verdict is against it, or it is in production.
        """
        with self._transaction("the set of models could not be promoted") as connection:
            row = _get(connection, version)
            if row.state == "production":
                raise _refused(version, "is in production already")
            if not row.verdict["better"]:
                raise _refused(version, f"is worse: {'; '.join(row.verdict['reasons'])}")
            before = self._archive(connection)
            now = {"state": "production", "promoted_at": self._now, "archived_at": None}
            self._set(connection, version, {**now, "replaced": before})
            return _get(connection, version)

    def roll_back(self, version: int) -> ModelSetRow | None:
        """Archive the set in production and put the one before it back; None for the one that
        ships.

        Raises:
            NotFoundError: there is none of this version.
            ConflictError: it is not in production, or the one before it is not kept any more.
        """
        with self._transaction("the set of models could not be rolled back") as connection:
            row = _get(connection, version)
            if row.state != "production":
                raise _refused(version, f"is not in production but {row.state}")
            before = row.replaced
            if before and not connection.scalar(_one(before)):
                raise _refused(version, f"took over from version {before}, which is not kept")
            self._archive(connection)
            if not before:
                return None
            now = {"state": "production", "promoted_at": self._now, "archived_at": None}
            self._set(connection, before, now)
            return _get(connection, before)

    def forget(self) -> Sequence[str]:
        """Delete sets beyond the ``KEPT`` newest; returns the SHA-256 of all that stay."""
        with self._transaction("old sets of models could not be deleted") as connection:
            order = select(models.c.version).order_by(models.c.version.desc()).limit(KEPT)
            kept = {*connection.scalars(order)}
            wanted = select(models.c.version, models.c.replaced).where(
                models.c.state == "production"
            )
            for version, replaced in connection.execute(wanted):
                kept |= {version, replaced}
            connection.execute(delete(models).where(models.c.version.not_in(kept - {None})))
            return list(connection.scalars(select(models.c.sha256)))

    def _archive(self, connection: Connection) -> int:
        """Archive what is in production; returns its version."""
        production = select(models.c.version).where(models.c.state == "production")
        now: int | None = connection.scalar(production)
        if now is None:
            return SHIPPED_VERSION
        self._set(connection, now, {"state": "archived", "archived_at": self._now})
        return now

    def _set(self, connection: Connection, version: int, values: Mapping[str, Any]) -> None:
        connection.execute(update(models).where(models.c.version == version).values(values))


def _one(version: int) -> Any:
    return select(models.c.version).where(models.c.version == version)


def _get(connection: Connection, version: int) -> ModelSetRow:
    row = connection.execute(select(models).where(models.c.version == version)).first()
    if row is None:
        raise NotFoundError(
            f"there is no set of models {version}", key="version", value=str(version)
        )
    return _row(row)


def _row(row: Row[Any]) -> ModelSetRow:
    state: State = row.state
    values = {**row._mapping, "state": state}
    return ModelSetRow(**values)


def _refused(version: int, why: str) -> ConflictError:
    return ConflictError(f"set of models {version} {why}", key="version", value=str(version))
