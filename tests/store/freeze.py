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
from dataclasses import asdict
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Engine, insert

from autorag.apps import Ack
from autorag.manifest import Manifest, difference
from autorag.model_sets import Verdict
from autorag.telemetry import Source
from store import migrations
from store.acks import AckRepository
from store.answers import Answer, AnswerRepository
from store.apps import AppRepository, NewApp
from store.engine import open_database, sqlite_url
from store.jobs import JobRepository
from store.keys import KeyRepository
from store.manifests import ManifestRepository
from store.model_sets import ModelSetRepository
from store.repositories import SqlTrialLog, StudyRepository
from store.retention import DELETED
from store.revisions import RevisionRepository
from store.rollups import roll_up
from store.schedules import ScheduleRepository
from store.suggestions import SuggestionRepository
from store.tables import sources
from tests.fakes import ManualClock
from tests.store.measured import CONFIG, OTHER

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
        add_newest(engine)
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


def add_newest(engine: Engine) -> None:
    """Rows in the tables of revision 0004: a set of models that answers."""
    sets = ModelSetRepository(engine, ManualClock(AT))
    sets.promote(sets.add(MODELS, {"rows": 3}, Verdict(True, 0, ("not worse",))).version)


def fill(engine: Engine) -> None:
    """Rows in the tables of revision 0003, an app that was tuned, reports and measures itself, and
    in those of the newest."""
    add_newest(engine)
    clock = ManualClock(AT)
    app = AppRepository(engine, clock).add(NewApp(APP, SPACE, "max ndcg_at_10", "approve", None))
    _deliver(engine, clock, app.id)
    KeyRepository(engine, clock).add_for_app(app.id, APP_KEY, ["ingest", "ack"], label="first")
    after = Manifest(DOCUMENTS)
    ManifestRepository(engine, clock).change(app.id, after, difference(Manifest({}), after))
    study = StudyRepository(engine, clock).open({"hash": "f" * 40}, {"seed": 7}, app_id=app.id).id
    SqlTrialLog(engine, clock, study, "search").start(0, CONFIG)
    SuggestionRepository(engine, clock).add(app.id, study, 0, "bench", int(AT) + 600)
    AnswerRepository(engine, clock).add("caller", "key", ANSWER)
    JobRepository(engine, clock).enqueue("tune", app.id, {"trials": 5})
    ScheduleRepository(engine, clock).add("prune", None, {}, "0 3 * * *")
    with engine.begin() as connection:
        sender = {**asdict(SENDER), "identity": "5eed" * 16, "first_seen_at": int(AT)}
        row = insert(sources).values(sender).returning(sources.c.id)
        number = connection.execute(row).scalar_one()
        measured = [(number, int(AT), "query", "retrieve", "duration_ms", v, 1.0) for v in VALUES]
        roll_up(connection, measured, besides=DELETED)


def _deliver(engine: Engine, clock: ManualClock, app: int) -> None:
    revisions, acks = RevisionRepository(engine, clock), AckRepository(engine, clock)
    for number, values in enumerate((CONFIG, OTHER), 1):
        revisions.add(app, values.to_json(), "operator", f"the {number}th")
        revisions.activate(app, number, values.to_json())
    acks.record(app, Ack("one", 2, "applied", {"chunk.tokens": 64}))
    delivered = {"revision": 2, "settings": OTHER.to_json(), "settings_version": 2}
    AppRepository(engine, clock).change(app, **delivered)


if __name__ == "__main__":
    written = freeze(Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS)
    sys.stdout.write(f"{written}\n")
