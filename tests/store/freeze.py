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

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, insert

from store import migrations
from store.engine import open_database, sqlite_url
from store.keys import KeyRepository
from store.tables import hosts
from store.telemetry import TelemetryStore
from store.writer import BatchWriter
from tests.fakes import ManualClock
from tests.store.traces import OTHER, Stored, a_trace

ASSETS = Path(__file__).parent / "assets"
AT = 1_790_000_000.0

KEY, REVOKED_KEY = "0123456789abcdef" * 4, "fedcba9876543210" * 4
HOST = {
    "fingerprint": "5eed" * 4,
    "profile": {"identity": {"usable_cores": 2}},
    "capabilities": {"cycles": "not in this virtual machine", "page_faults": None},
    "recorded_at": int(AT),
}


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
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_revision("head")
    previous = newest.down_revision
    assert isinstance(previous, str)
    return newest.revision, previous


def fill(engine: Engine) -> None:
    """Rows in the tables of revision 0002: two settled traces, and one that is yet to settle."""
    clock = ManualClock(AT)
    keys = KeyRepository(engine, clock)
    keys.set_environment_key(REVOKED_KEY)
    keys.set_environment_key(KEY)
    with engine.begin() as connection:
        connection.execute(insert(hosts), HOST)
    with BatchWriter(engine) as writer:
        store = TelemetryStore(engine, writer, clock)
        stored = Stored(lambda use: use(store), lambda use: use(engine), clock)
        stored.add(a_trace("one"))
        stored.add(a_trace("two"), OTHER)
        stored.settle_due()
        stored.add(a_trace("waiting")[1:])


if __name__ == "__main__":
    written = freeze(Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS)
    sys.stdout.write(f"{written}\n")
