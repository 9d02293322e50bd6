"""The suite: the workloads of the measured table, one line each, in TOML.

    [workloads]
    xquad_en = { docs = "$AUTORAG_WORKLOADS/xquad_en", family = "wiki" }
    stdlib-docs = { family = "docs" }

``docs`` is what ``--docs`` is, with environment variables; without it the workload is the built-in
demo. ``corpus`` names what variants share (default: the workload's name), ``documents`` and
``queries`` are how many are kept, ``parts`` which parts of the design are measured.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autorag.errors import InputError
from autorag.table.schema import Part

DOCUMENTS = 800
QUERIES = 500


class SuiteWorkload(BaseModel):
    """One workload of a suite."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[\w.-]+$")
    family: str = Field(min_length=1)
    docs: str | None = None
    corpus: str = ""
    documents: int = Field(default=DOCUMENTS, ge=10)
    queries: int = Field(default=QUERIES, ge=10)
    parts: tuple[Part, ...] = ("quality",)

    @property
    def folder(self) -> Path | None:
        """Where the documents are; None is the demo.

        Raises:
            InputError: an environment variable of ``docs`` is not set.
        """
        if self.docs is None:
            return None
        expanded = os.path.expandvars(self.docs)
        unset = re.search(r"\$\{?\w+", expanded)
        if unset is not None:
            raise InputError(
                f"{self.name}: docs = {self.docs!r}: {unset[0]} is not set",
                key="docs",
                value=self.docs,
            )
        return Path(expanded)

    def check(self) -> None:
        """
        Raises:
            InputError: the documents are not there.
        """
        if self.folder is not None and not self.folder.exists():
            raise InputError(
                f"{self.name}: docs = {self.docs!r}: no such file or folder: {self.folder}",
                key="docs",
                value=self.docs,
            )


def read_suite(path: Path) -> list[SuiteWorkload]:
    """The workloads of a suite, in file order.

    Raises:
        InputError: missing file, malformed TOML, an unknown key or a wrong value.
    """
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"--suite {path}: {error.strerror}", key="suite", value=str(path)
        ) from None
    except ValueError as error:
        raise InputError(f"--suite {path}: {error}", key="suite", value=str(path)) from None
    rows = read.get("workloads")
    if not isinstance(rows, dict) or not rows:
        raise InputError(f"--suite {path}: no [workloads]", key="workloads", value=rows)
    return [_workload(path, name, row) for name, row in rows.items()]


def _workload(path: Path, name: str, row: Any) -> SuiteWorkload:
    if not isinstance(row, Mapping):
        raise InputError(f"{path}: {name}: expected a table, got {row!r}", key=name, value=row)
    try:
        found = SuiteWorkload(**{"corpus": name, **row, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(p) for p in first["loc"])
        hint = f" (parts: {', '.join(get_args(Part))})" if key.startswith("parts") else ""
        raise InputError(
            f"{path}: {name}: {key} = {first['input']!r}: {first['msg']}{hint}",
            key=key,
            value=first["input"],
        ) from None
    return found
