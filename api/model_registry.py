"""Sets of models as they are read: from the database, or the one that ships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autorag.errors import ConflictError, ModelError
from autorag.model_sets import SHIPPED_VERSION, ModelSetRow, State
from store.database import Database

if TYPE_CHECKING:
    from models.training import ModelSet


class Registry:
    """Reads sets of models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, row: ModelSetRow | None) -> tuple[ModelSet, dict[str, Any]]:
        """The models of a set, and what was kept with it; those that ship for None.

        Raises:
            ModelError: the file is not there, damaged, or of another schema.
            StoreError: the database cannot be read.
        """
        from models.files import SHIPPED, read_models, unpack_models

        if row is None:
            return read_models(SHIPPED)
        content = self._database.read(lambda session: session.model_sets.content(row))
        return unpack_models(content, f"set of models {row.version}")

    def answering(self, row: ModelSetRow | None) -> tuple[ModelSet, dict[str, Any], int]:
        """The set that answers where this one is in production, what was kept with it, and its
        version: the one that ships where that cannot be read."""
        try:
            return *self.read(row), SHIPPED_VERSION if row is None else row.version
        except ModelError:
            if row is None:
                raise
            return *self.read(None), SHIPPED_VERSION

    def check(self, row: ModelSetRow) -> None:
        """
        Raises:
            ConflictError: the models cannot be read.
        """
        try:
            self.read(row)
        except ModelError as error:
            raise ConflictError(
                f"set of models {row.version} cannot be read: {error}",
                key="version",
                value=str(row.version),
            ) from error


def unreadable(version: int) -> str:
    """What is said where a set that should answer cannot."""
    return f"the models in production (version {version}) cannot be read"


def listed(rows: Sequence[ModelSetRow]) -> list[ModelSetRow]:
    """All sets, with the one that ships as the last."""
    from models.files import SHIPPED, read_about

    about = read_about(SHIPPED)
    state: State = "archived" if any(r.state == "production" for r in rows) else "production"
    verdict = {"better": True, "against": SHIPPED_VERSION, "reasons": ["it ships"]}
    none = (None, 0, None, None)
    return [*rows, ModelSetRow(SHIPPED_VERSION, "", state, about, verdict, *none)]
