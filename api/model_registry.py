"""The files of trained models: ``models/sets/{sha256}.zip`` in the home folder.

A file is complete before a row names it (``store.model_sets``), and its name says what is in it: a
damaged one, or another one under its name, is refused.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag.errors import ConflictError, ModelError
from autorag.model_sets import SHIPPED_VERSION, ModelSetRow, State

if TYPE_CHECKING:
    from models.training import ModelSet

SWEPT_AFTER_S = 86_400
"""Age of a file that no row names before it is deleted: its row may be about to be written."""


class Registry:
    """The files of sets of models.

    Args:
        home: the home folder.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "models" / "sets"

    def keep(self, models: ModelSet, about: Mapping[str, Any]) -> str:
        """Write a set; returns the SHA-256 of its file."""
        from models.files import write_models

        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / "new.zip"
        sha256 = write_models(models, about, draft)
        draft.replace(self.file(sha256))
        return sha256

    def read(self, row: ModelSetRow | None) -> tuple[ModelSet, dict[str, Any]]:
        """The models of a set, and what was kept with it; those that ship for None.

        Raises:
            ModelError: the file is not there, damaged, another one, or of another schema.
        """
        from models.files import SHIPPED, read_models

        if row is None:
            return read_models(SHIPPED)
        file = self.file(row.sha256)
        found = read_models(file)
        with file.open("rb") as raw:
            if hashlib.file_digest(raw, "sha256").hexdigest() != row.sha256:
                raise ModelError(
                    f"{file}: is not the file that was made", key="model", value=str(file)
                )
        return found

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

    def list(self, rows: Sequence[ModelSetRow]) -> list[ModelSetRow]:
        """All sets, with the one that ships as the last."""
        _, about = self.read(None)
        state: State = "archived" if any(r.state == "production" for r in rows) else "production"
        verdict = {"better": True, "against": SHIPPED_VERSION, "reasons": ["it ships"]}
        none = (None, 0, None, None)
        return [*rows, ModelSetRow(SHIPPED_VERSION, "", state, about, verdict, *none)]

    def file(self, sha256: str) -> Path:
        """Where a set lies."""
        return self.folder / f"{sha256}.zip"

    def sweep(self, kept: Collection[str]) -> None:
        """Delete old files that no row names."""
        for file in self.folder.glob("*.zip"):
            old = time.time() - file.stat().st_mtime > SWEPT_AFTER_S
            if old and file.stem not in kept:
                file.unlink(missing_ok=True)
