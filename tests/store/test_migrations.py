"""Migrations lead to the tables that the code uses, once, also when processes race."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, create_engine, insert, inspect, select, text

from autorag.errors import StoreError
from autorag.histogram import Histogram
from store import migrations
from store.acks import AckRepository
from store.answers import AnswerRepository
from store.apps import AppRepository
from store.engine import connect, open_database, sqlite_url
from store.jobs import JobRepository
from store.keys import KeyRepository
from store.manifests import ManifestRepository
from store.model_sets import ModelSetRepository
from store.repositories import SqlTrialLog, StudyRepository
from store.revisions import RevisionRepository
from store.rollups import read_rollups
from store.schedules import ScheduleRepository
from store.suggestions import SuggestionRepository
from store.tables import hosts, metadata, studies
from store.telemetry import TelemetryStore
from store.writer import BatchWriter
from tests.fakes import ManualClock
from tests.store.backends import Backend, Postgres
from tests.store.freeze import (
    ANSWER,
    APP,
    APP_KEY,
    ASSETS,
    AT,
    DOCUMENTS,
    HOST,
    KEY,
    MODELS,
    REVOKED_KEY,
    SPACE,
    VALUES,
    freeze,
)
from tests.store.measured import CONFIG
from tests.store.measured import OTHER as CONFIG_2
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


TELEMETRY_OPENER = """
from store.engine import open_database, open_telemetry
folder, me, url = sys.argv[1:]
meet(folder, me)
(open_telemetry if me == "1" else open_database)(url).dispose()
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


def test_alembic_sees_no_difference_to_the_tables(backend: Backend) -> None:
    with backend.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrated_schema_is_that_of_the_tables(fresh: Engine, tmp_path: Path) -> None:
    created = create_engine(sqlite_url(tmp_path / "created.db"))
    metadata.create_all(created)
    assert set(schema(created)) == {
        *("studies", "trials", "trial_queries"),
        *("keys", "hosts", "telemetry_sources", "traces", "spans", "observations"),
        *("apps", "revisions", "acks", "documents", "suggestions", "answers", "jobs"),
        *("schedules", "rollups", "models", "model_files"),
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


def test_a_schema_that_a_newer_version_made_is_refused_and_stays(backend: Backend) -> None:
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    with backend.engine.begin() as connection:
        connection.execute(newer)
    before = schema(backend.engine)
    with pytest.raises(StoreError, match=r"cannot open .*schema \(9999\) was made by a newer"):
        open_database(backend.url)
    assert schema(backend.engine) == before


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


def test_a_database_without_tables_gets_all_of_them(postgres: Postgres) -> None:
    with postgres.database(migrated=False) as url:
        engine = open_database(url)
        with engine.begin() as connection:
            assert migrations.current(connection) == migrations.head()
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
        engine.dispose()


def test_processes_may_upgrade_postgresql_at_once(postgres: Postgres, tmp_path: Path) -> None:
    with postgres.database(migrated=False) as url:
        assert run_together(TELEMETRY_OPENER, tmp_path, 3, url) == [""] * 3
        engine = open_database(url)
        with engine.begin() as connection:
            versions = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
        engine.dispose()
    assert versions == [migrations.head()]


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
        study = connection.execute(select(studies).order_by(studies.c.id)).first()
    assert study is not None
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


@pytest.fixture(params=sorted(p.name for p in ASSETS.glob("*.db") if p.stem >= "0002"))
def frozen_telemetry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with telemetry in it, as revision 0002 made it first."""
    path = shutil.copyfile(ASSETS / request.param, tmp_path / request.param)
    engine = open_database(sqlite_url(path))
    yield engine
    engine.dispose()


@pytest.fixture(params=sorted(p.name for p in ASSETS.glob("*.db") if p.stem >= "0003"))
def frozen_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with an app in it, as revision 0003 made it first."""
    path = shutil.copyfile(ASSETS / request.param, tmp_path / request.param)
    engine = open_database(sqlite_url(path))
    yield engine
    engine.dispose()


def test_frozen_telemetry_reads(frozen_telemetry: Engine) -> None:
    clock = ManualClock()
    with BatchWriter(frozen_telemetry) as writer:
        store = TelemetryStore(frozen_telemetry, writer, clock)
        assert store.sources()[:2] == [ME, OTHER]
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
        assert store.sources()[:2] == [ME, OTHER]
        (due,) = store.due(10.0, 200)
    assert (due.trace_id, due.version) == (trace_id("one"), 2)
    assert sorted(due.spans, key=lambda s: s.span_id) == a_trace("one")


def test_frozen_keys_are_let_in(frozen_telemetry: Engine) -> None:
    keys = KeyRepository(frozen_telemetry, ManualClock())
    found = keys.find(KEY)
    assert found is not None
    assert found.admin
    assert keys.find(REVOKED_KEY) is None


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


def test_a_frozen_app_reads(frozen_service: Engine) -> None:
    clock = ManualClock(AT)
    app = AppRepository(frozen_service, clock).get(APP)
    assert (app.space, app.policy, app.revision) == (SPACE, "approve", 2)
    assert (app.settings, app.settings_version) == (CONFIG_2.to_json(), 2)
    newest, first = RevisionRepository(frozen_service, clock).newest(app.id, 10)
    assert (newest.state, first.state, first.config) == ("active", "superseded", CONFIG.to_json())
    assert newest.delivered == CONFIG_2.to_json()
    (ack,) = AckRepository(frozen_service, clock).of_app(app.id)
    assert (ack.instance, ack.revision, ack.applied_at) == ("one", 2, int(AT))
    assert dict(ManifestRepository(frozen_service, clock).load(app.id)) == DOCUMENTS
    key = KeyRepository(frozen_service, clock).find(APP_KEY)
    assert key is not None
    assert (key.app, key.scopes, key.label) == (APP, ("ingest", "ack"), "first")
    (suggestion,) = SuggestionRepository(frozen_service, clock).pending(app.id)
    assert (suggestion.client, suggestion.config) == ("bench", CONFIG.to_json())


def test_frozen_work_goes_on(frozen_service: Engine) -> None:
    clock = ManualClock(AT + 60)
    assert AnswerRepository(frozen_service, clock).find("caller", "key") == ANSWER
    job = JobRepository(frozen_service, clock).claim("me", 60)
    assert job is not None
    assert (job.kind, job.app, job.arguments) == ("tune", APP, {"trials": 5})
    (schedule,) = ScheduleRepository(frozen_service, clock).all()
    assert (schedule.kind, schedule.cron) == ("prune", "0 3 * * *")
    (histogram,) = read_rollups(frozen_service, APP).values()
    assert histogram == Histogram.of(np.array(VALUES))


def test_an_upgrade_keeps_every_row(tmp_path: Path) -> None:
    for older in sorted(ASSETS.glob("*.db"))[:-1]:
        path = shutil.copyfile(older, tmp_path / older.name)
        before = create_engine(sqlite_url(path))
        rows = all_rows(before)
        before.dispose()
        engine = open_database(sqlite_url(path))
        after = all_rows(engine)
        engine.dispose()
        for table, had in rows.items():
            assert [{k: v for k, v in row.items() if k in had[0]} for row in after[table]] == had


def test_an_upgrade_keeps_every_row_on_postgresql(postgres: Postgres) -> None:
    frozen = create_engine(sqlite_url(ASSETS / "0002.db"))
    with postgres.database(migrated=False) as url:
        engine = connect(url)
        with engine.begin() as connection:
            migrations.upgrade_within(connection, "0002")
            old = MetaData()
            old.reflect(connection)
            had = all_rows(frozen)
            for table in (t for t in old.sorted_tables if t.name in had):
                connection.execute(insert(table), had[table.name])
        rows = all_rows(engine)
        migrations.upgrade(engine)
        after = all_rows(engine)
        engine.dispose()
    frozen.dispose()
    assert rows == had
    for table, had in rows.items():
        assert [{k: v for k, v in row.items() if k in had[0]} for row in after[table]] == had


def all_rows(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Every row of the tables that have any."""
    found = {}
    with engine.connect() as connection:
        for name in inspect(connection).get_table_names():
            if name == "alembic_version":
                continue
            there = {c["name"] for c in inspect(connection).get_columns(name)}
            table = metadata.tables[name]
            query = select(*(c for c in table.c if c.name in there)).order_by(*table.primary_key)
            if rows := [dict(row) for row in connection.execute(query).mappings()]:
                found[name] = rows
    return found


def test_the_study_of_a_frozen_database_goes_on(frozen: Engine) -> None:
    found = StudyRepository(frozen, ManualClock()).open({"hash": "w" * 40}, {"seed": 7})
    assert found.resumed


@pytest.fixture(params=sorted(p.name for p in ASSETS.glob("*.db") if p.stem >= "0004"))
def frozen_models(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with a set of models in it, as revision 0004 made it first."""
    path = shutil.copyfile(ASSETS / request.param, tmp_path / request.param)
    engine = open_database(sqlite_url(path))
    yield engine
    engine.dispose()


def test_frozen_models_read(frozen_models: Engine) -> None:
    sets = ModelSetRepository(frozen_models, ManualClock(AT))
    row = sets.production()
    assert row is not None
    assert (row.version, row.about, row.replaced, row.promoted_at) == (1, {"rows": 3}, 0, int(AT))
    assert sets.content(row) == MODELS
