"""Writes the frozen database of the newest revision: that of the revision before it, upgraded by
the code of today, with rows in the tables that the newest revision made.

    python -m tests.store.freeze [FOLDER]

A released database is never written again: only that of the revision that is being made is.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from autorag.model_sets import Verdict
from autorag.telemetry import Source
from store import migrations
from store.answers import Answer
from store.engine import open_database, sqlite_url
from store.model_sets import ModelSetRepository
from tests.fakes import ManualClock

ASSETS = Path(__file__).parent / "assets"
AT = 1_790_000_000.0

KEY, REVOKED_KEY = "0123456789abcdef" * 4, "fedcba9876543210" * 4
HOST = {
    "fingerprint": "5eed" * 4,
    "profile": {"identity": {"usable_cores": 2}},
    "capabilities": {"cycles": "not in this virtual machine", "page_faults": None},
    "recorded_at": int(AT),
}
"""Of revision 0002."""

APP, APP_KEY = "shop", "a" * 64
SPACE = {"include": ["retrieve.k"]}
DOCUMENTS = {"a": "1", "ä": "2"}
ANSWER = Answer("b" * 64, 201, {"Location": "/v1/apps/shop"}, b'{"name": "shop"}')
SENDER = Source(APP, revision="2")
VALUES = (1.0, 10.0, 100.0)
"""Of revision 0003."""

MODELS = b"models"
"""Of revision 0004."""


def freeze(folder: Path) -> Path:
    """Write the database of the newest revision into a folder."""
    newest, previous = revisions()
    path = folder / f"{newest}.db"
    with tempfile.TemporaryDirectory() as scratch:
        upgraded = shutil.copyfile(ASSETS / f"{previous}.db", Path(scratch) / "upgraded.db")
        engine = open_database(sqlite_url(upgraded))
        fill(engine)
        engine.dispose()
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(upgraded)) as connection:
            connection.execute("VACUUM INTO ?", (str(path),))
    return path


def revisions() -> tuple[str, str]:
    """The newest revision, and the one before it."""
    newest = ScriptDirectory(str(migrations.FOLDER)).get_revision("head")
    previous = newest.down_revision
    assert isinstance(previous, str)
    return newest.revision, previous


def fill(engine: Engine) -> None:
    """Rows in the table of revision 0004: a set of models that answers."""
    sets = ModelSetRepository(engine, ManualClock(AT))
    sets.promote(sets.add(MODELS, {"rows": 3}, Verdict(True, 0, ("not worse",))).version)


if __name__ == "__main__":
    written = freeze(Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS)
    sys.stdout.write(f"{written}\n")
