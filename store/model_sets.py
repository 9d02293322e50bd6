"""Sets of trained models: which there are, their files, and which one answers.

A set and its file are written in one transaction, so that one is there when the other is, on every
machine that uses the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from autorag.errors import ConflictError, ModelError, NotFoundError
from autorag.model_sets import SHIPPED_VERSION, ModelSetRow, State, Verdict
from store.repositories import Repository
from store.tables import model_files, models

KEPT = 20
"""Newest sets that are kept, beside the one in production and the one before it."""


class ModelSetRepository(Repository):
    """Sets of trained models. One at most is in production."""

    def add(self, content: bytes, about: Mapping[str, Any], verdict: Verdict) -> ModelSetRow:
        """Record a candidate with its file."""
        row = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "state": "candidate",
            "about": dict(about),
            "verdict": verdict.to_json(),
            "created_at": self._now,
        }
        with self._transaction("the set of models could not be recorded") as connection:
            inserted = connection.execute(insert(models), row).inserted_primary_key
            assert inserted is not None
            file = {"version": inserted[0], "content": content}
            connection.execute(insert(model_files), file)
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

    def content(self, row: ModelSetRow) -> bytes:
        """The file of a set.

        Raises:
            ModelError: it is not there, or not what was written.
        """
        wanted = select(model_files.c.content).where(model_files.c.version == row.version)
        with self._reading() as connection:
            found: bytes | None = connection.scalar(wanted)
        if found is None or hashlib.sha256(found).hexdigest() != row.sha256:
            why = "is not there" if found is None else "is not what was written"
            raise ModelError(
                f"the file of set of models {row.version} {why}",
                key="version",
                value=str(row.version),
            )
        return found

    def production(self) -> ModelSetRow | None:
        """The set that answers; None for the one that ships."""
        with self._reading() as connection:
            row = connection.execute(select(models).where(models.c.state == "production")).first()
        return None if row is None else _row(row)

    def promote(self, version: int) -> ModelSetRow | None:
        """Put a set into production and archive the one that is there; None for the one that ships.
        A candidate must have been compared with the set that it takes over from; what answered
        before, and what ships, may come back.

        Raises:
            NotFoundError: there is none of this version.
            ConflictError: it is worse, was compared with another set, or is in production.
        """
        with self._transaction("the set of models could not be promoted") as connection:
            now = _production(connection)
            if version == now:
                raise _refused(version, "is in production already")
            if version == SHIPPED_VERSION:
                self._archive(connection)
                return None
            row = _get(connection, version)
            if row.state == "candidate":
                _check_verdict(row, now)
            self._archive(connection)
            self._answer(connection, version, replaced=now)
            return _get(connection, version)

    def roll_back(self, version: int) -> ModelSetRow | None:
        """Archive the set in production and put the one back that it replaced; None for the one
        that ships.

        Raises:
            NotFoundError: there is none of this version.
            ConflictError: it is not in production, or the one before it is not kept any more.
        """
        with self._transaction("the set of models could not be rolled back") as connection:
            row = _get(connection, version)
            if row.state != "production":
                raise _refused(version, f"is not in production but {row.state}")
            before = row.replaced or SHIPPED_VERSION
            if before and not connection.scalar(_one(before)):
                raise _refused(
                    version, f"took over from {before}, which is not kept: promote another"
                )
            self._archive(connection)
            if before == SHIPPED_VERSION:
                return None
            self._answer(connection, before)
            return _get(connection, before)

    def forget(self) -> None:
        """Delete sets beyond the ``KEPT`` newest."""
        with self._transaction("old sets of models could not be deleted") as connection:
            order = select(models.c.version).order_by(models.c.version.desc()).limit(KEPT)
            kept = {*connection.scalars(order)}
            wanted = select(models.c.version, models.c.replaced).where(
                models.c.state == "production"
            )
            for version, replaced in connection.execute(wanted):
                kept |= {version, replaced}
            for table in (model_files, models):
                connection.execute(delete(table).where(table.c.version.not_in(kept - {None})))

    def _archive(self, connection: Connection) -> None:
        """Archive what is in production."""
        values = {"state": "archived", "archived_at": self._now}
        connection.execute(update(models).where(models.c.state == "production").values(values))

    def _answer(self, connection: Connection, version: int, **more: Any) -> None:
        """Put a set into production."""
        now = {"state": "production", "promoted_at": self._now, "archived_at": None, **more}
        connection.execute(update(models).where(models.c.version == version).values(now))


def _check_verdict(row: ModelSetRow, now: int) -> None:
    if not row.verdict["better"]:
        raise _refused(row.version, f"is worse: {'; '.join(row.verdict['reasons'])}")
    if row.verdict["against"] != now:
        against = row.verdict["against"]
        raise _refused(row.version, f"was compared with {against}, and {now} answers: train again")


def _production(connection: Connection) -> int:
    """The version that answers."""
    wanted = select(models.c.version).where(models.c.state == "production")
    found: int | None = connection.scalar(wanted)
    return SHIPPED_VERSION if found is None else found


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
