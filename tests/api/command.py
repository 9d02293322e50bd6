"""The command ``autorag``, run as its users run it.

Starting a process takes seconds: most tests run the command's entry point inside their own, and of
every command one or more run what is installed.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from api.cli import main
from autorag.documents import document_to_json
from tests.autorag.pipeline.corpus import documents

SCRIPT = Path(sys.executable).with_name("autorag")
DOCUMENTS, QUERIES = 30, 24


@dataclass(frozen=True)
class Command:
    """The command with ``AUTORAG_HOME`` and a folder for temporary files, where the measuring
    lease is, so that it waits for nobody else on this host."""

    home: Path
    temporary: Path

    @classmethod
    def in_home(cls, home: Path, models: Path) -> Command:
        """A new home with the models and the hardware profile of another."""
        temporary = home.with_name(home.name + "-tmp")
        for folder in (home, temporary):
            folder.mkdir(parents=True)
        (home / "models").symlink_to(models, target_is_directory=True)
        (home / "hardware").symlink_to(models / "hardware", target_is_directory=True)
        return cls(home, temporary)

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """Start what is installed, with its outputs piped."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(
            [str(SCRIPT), *map(str, arguments)],
            env={**os.environ, **self._environment()},
            cwd=self.temporary,
            text=True,
            **pipes,
        )

    def run_installed(self, *arguments: object) -> Ended:
        """Run what is installed to its end, in a process of its own."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        return Ended(process.returncode, out, err)

    def run(self, *arguments: object) -> Ended:
        """Run the entry point to its end, within this process. What it does not foresee is raised
        here, where the process would print a traceback."""
        code, out, err = 0, io.StringIO(), io.StringIO()
        with self._surroundings(arguments), redirect_stdout(out), redirect_stderr(err):
            try:
                main.run()
            except SystemExit as ended:
                code = ended.code
        return Ended(code, out.getvalue(), err.getvalue())

    def _environment(self) -> dict[str, str]:
        return {"AUTORAG_HOME": str(self.home), "TMPDIR": str(self.temporary), "COLUMNS": "300"}

    @contextmanager
    def _surroundings(self, arguments: Iterable[object]) -> Iterator[None]:
        """What the process would have: arguments, environment, working and temporary folder."""
        with (
            pytest.MonkeyPatch.context() as patch,
            mock.patch.dict(os.environ, self._environment()),
            chdir(self.temporary),
        ):
            patch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
            patch.setattr(sys, "excepthook", sys.excepthook)
            patch.setattr(tempfile, "tempdir", None)
            yield


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one object on standard output of a command that ended well."""
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1
        row = json.loads(self.out)
        assert isinstance(row, dict)
        return row


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_workload(folder: Path) -> Path:
    """Thirty short documents, and a question each for the first of them."""
    some = documents()[:DOCUMENTS]
    write_lines(folder / "corpus.jsonl", map(document_to_json, some))
    write_lines(
        folder / "queries.jsonl",
        (
            {"id": f"q{i}", "question": f"What is known about {d.title}?", "relevant": [d.id]}
            for i, d in enumerate(some[:QUERIES])
        ),
    )
    return folder
