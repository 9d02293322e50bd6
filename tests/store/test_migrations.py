"""Migrations lead to the tables that the code uses, once, also when processes race."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, select, text

from store import migrations
from store.engine import open_database, sqlite_url
from store.keys import KeyRepository
from store.repositories import SqlTrialLog, StudyRepository
from store.tables import hosts, metadata, studies
from store.telemetry import TelemetryStore
from store.writer import BatchWriter
from tests.fakes import ManualClock
from tests.store.freeze import ASSETS, AT, HOST, KEY, REVOKED_KEY, freeze
from tests.store.processes import run_together
from tests.store.traces import ME, OTHER, a_trace, trace_id

DATABASES = 40

OPENER = f"""
from store.engine import open_database, sqlite_url
folder, me = sys.argv[1:]
open_database(sqlite_url(Path(folder) / f"first{{me}}.db")).dispose()
meet(folder, me)
started = time.monotonic()
for i in range({DATABASES}):
    while time.monotonic() < started + 0.06 * i:
        time.sleep(0.0005)
    open_database(sqlite_url(Path(folder) / f"race{{i}}.db")).dispose()
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(sqlite_url(tmp_path / "fresh.db"))
    yield engine
    engine.dispose()


def schema(engine: Engine) -> dict[str, Any]:
    """Everything that the database says about its tables."""
    look = inspect(engine)
    tables = [t for t in look.get_table_names() if t != "alembic_version"]
    return {
        table: {
            "columns": [{**c, "type": str(c["type"])} for c in look.get_columns(table)],
            "primary": look.get_pk_constraint(table)["constrained_columns"],
            "foreign": [
                (f["constrained_columns"], f["referred_table"], f["options"])
                for f in look.get_foreign_keys(table)
            ],
            "unique": [u["column_names"] for u in look.get_unique_constraints(table)],
            "indexes": sorted(
                (i["name"], i["column_names"], str(i["dialect_options"].get("sqlite_where")))
                for i in look.get_indexes(table)
            ),
            "rowid": look.get_table_options(table).get("sqlite_with_rowid", True),
        }
        for table in tables
    }


def dump(engine: Engine) -> list[Any]:
    """Every statement that would make this database."""
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        return list(raw.iterdump())


def test_alembic_sees_no_difference_to_the_tables(fresh: Engine) -> None:
    with fresh.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrated_schema_is_that_of_the_tables(fresh: Engine, tmp_path: Path) -> None:
    created = create_engine(sqlite_url(tmp_path / "created.db"))
    metadata.create_all(created)
    assert set(schema(created)) == {
        *("studies", "trials", "trial_queries"),
        *("keys", "hosts", "telemetry_sources", "traces", "spans", "observations"),
    }
    assert schema(fresh) == schema(created)
    created.dispose()


def test_upgrading_again_changes_nothing(fresh: Engine) -> None:
    with fresh.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO studies (identity, state, workload, workload_hash, settings, "
                "created_at) VALUES ('i', 'running', '{}', 'w', '{}', 1)"
            )
        )
    before = dump(fresh)
    migrations.upgrade(fresh)
    assert dump(fresh) == before


def test_a_migration_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    engine = create_engine(sqlite_url(tmp_path / "half.db"))
    monkeypatch.setattr(op, "create_index", broken)
    url = sqlite_url(tmp_path / "half.db")
    with pytest.raises(RuntimeError, match="broken"):
        open_database(url)
    assert inspect(engine).get_table_names() == []
    monkeypatch.undo()
    open_database(url).dispose()
    inspector = inspect(engine)
    assert "trials" in inspector.get_table_names()
    engine.dispose()


def test_processes_may_upgrade_at_once(tmp_path: Path) -> None:
    assert run_together(OPENER, tmp_path, 3) == [""] * 3
    for i in range(DATABASES):
        engine = create_engine(sqlite_url(tmp_path / f"race{i}.db"))
        with engine.connect() as connection:
            versions = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
        engine.dispose()
        assert len(versions) == 1


@pytest.fixture(params=sorted(p.name for p in ASSETS.glob("*.db")))
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database written by the code of an earlier revision, named by it."""
    path = tmp_path / request.param
    shutil.copyfile(ASSETS / request.param, path)
    engine = open_database(sqlite_url(path))
    yield engine
    engine.dispose()


def test_there_is_a_frozen_database_of_every_revision() -> None:
    versions = Path(migrations.FOLDER, "versions").glob("[0-9]*.py")
    released = {p.name.split("_")[0] for p in versions}
    assert {p.stem for p in ASSETS.glob("*.db")} == released


def test_a_frozen_database_gets_the_schema_of_today(frozen: Engine, fresh: Engine) -> None:
    assert schema(frozen) == schema(fresh)


def test_a_frozen_database_reads(frozen: Engine) -> None:
    with frozen.begin() as connection:
        study = connection.execute(select(studies)).one()
    assert (study.state, study.workload["name"], study.settings["seed"]) == ("running", "notes", 7)
    log = SqlTrialLog(frozen, ManualClock(), study.id, "search")
    finished, failed = log.trials()
    assert (finished.state, finished.metrics["ndcg_at_10"], finished.seconds) == (
        "finished",
        0.75,
        12.5,
    )
    assert dict(finished.config) == {"retrieve.mode": "dense", "chunk.tokens": 256}
    assert (failed.number, failed.state, failed.reason) == (1, "failed", "out of memory")
    first, second = log.query_results(0)
    assert (first.query, first.chunk_ids, first.scores) == (
        "q1",
        ["ab" * 20, "cd" * 20],
        [0.5, 0.25],
    )
    assert (second.query, second.stage_ms, second.prompt) == ("q2", {"embed": 1.5}, "ef" * 20)


@pytest.fixture
def frozen_telemetry(tmp_path: Path) -> Iterator[Engine]:
    """A database with telemetry in it, as revision 0002 was written."""
    path = shutil.copyfile(ASSETS / "0002.db", tmp_path / "0002.db")
    engine = open_database(sqlite_url(path))
    yield engine
    engine.dispose()


def test_frozen_telemetry_reads(frozen_telemetry: Engine) -> None:
    clock = ManualClock()
    with BatchWriter(frozen_telemetry) as writer:
        store = TelemetryStore(frozen_telemetry, writer, clock)
        assert store.sources() == [ME, OTHER]
        found = store.observations("_unassigned")
        clock.now = AT + 10
        (due,) = store.due(10.0, 200)
    for name in ("one", "two"):
        values = {(o.stage, o.metric): o.value for id_, o in found if id_ == trace_id(name)}
        assert values["retrieve", "duration_ms"] == 98.0
        assert values["generate", "quality.faithful"] == 0.75
        assert values["request", "query_chars"] == 12.0
    assert (due.trace_id, due.version) == (trace_id("waiting"), 1)
    assert sorted(due.spans, key=lambda s: s.span_id) == a_trace("waiting")[1:]


def test_frozen_telemetry_goes_on(frozen_telemetry: Engine) -> None:
    with BatchWriter(frozen_telemetry) as writer:
        store = TelemetryStore(frozen_telemetry, writer, ManualClock(AT + 1))
        store.add([(ME, a_trace("one"))]).result(10)
        assert store.sources() == [ME, OTHER]
        (due,) = store.due(10.0, 200)
    assert (due.trace_id, due.version) == (trace_id("one"), 2)
    assert sorted(due.spans, key=lambda s: s.span_id) == a_trace("one")


def test_frozen_keys_are_let_in(frozen_telemetry: Engine) -> None:
    keys = KeyRepository(frozen_telemetry, ManualClock())
    assert [keys.is_admin(key) for key in (KEY, REVOKED_KEY)] == [True, False]


def test_a_frozen_machine_reads(frozen_telemetry: Engine) -> None:
    with frozen_telemetry.begin() as connection:
        assert connection.execute(select(hosts)).mappings().one() == HOST


def test_the_newest_database_can_be_frozen_again(tmp_path: Path, fresh: Engine) -> None:
    path = freeze(tmp_path)
    assert path.name == max(p.name for p in ASSETS.glob("*.db"))
    engine = open_database(sqlite_url(path))
    assert schema(engine) == schema(fresh)
    with engine.begin() as connection:
        empty = [t.name for t in metadata.sorted_tables if not connection.execute(select(t)).all()]
    engine.dispose()
    assert empty == []


def test_postgresql_can_be_told_every_migration() -> None:
    said = io.StringIO()
    script = ScriptDirectory(str(migrations.FOLDER))
    options = {"as_sql": True, "output_buffer": said}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context):
        for revision in reversed(list(script.walk_revisions())):
            revision.module.upgrade()
    tables = set(re.findall(r"CREATE TABLE (\w+)", said.getvalue()))
    assert tables == set(metadata.tables)
    assert "trace_id BYTEA NOT NULL" in said.getvalue()
    assert "ON traces (last_seen_at) WHERE settled < version" in said.getvalue()


def test_the_study_of_a_frozen_database_goes_on(frozen: Engine) -> None:
    found = StudyRepository(frozen, ManualClock()).open({"hash": "w" * 40}, {"seed": 7})
    assert found.resumed
