"""The installed command ``autorag``, run as its users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        """Start it with its outputs piped."""
        mine = {"AUTORAG_HOME": str(self.home), "TMPDIR": str(self.temporary), "COLUMNS": "300"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(
            [str(SCRIPT), *map(str, arguments)],
            env={**os.environ, **mine},
            cwd=self.temporary,
            text=True,
            **pipes,
        )

    def run(self, *arguments: object) -> Ended:
        """Run it to its end."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        return Ended(process.returncode, out, err)


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
