"""An archive holds everything, moves between kinds of database, and is restored whole or not."""

from __future__ import annotations

import atexit
import json
import math
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select
from sqlalchemy.engine import make_url

from autorag.errors import ConflictError, InputError, StoreError
from autorag.telemetry import Observation
from store import backup as backup_module
from store import migrations
from store.apps import AppRepository
from store.backup import MANIFEST, backup, restore
from store.engine import connect, open_database, open_telemetry, sqlite_url
from store.hosts import HostRepository
from store.keys import KeyRepository
from store.layout import places
from store.repositories import SqlTrialLog
from store.rollups import roll_up
from store.stats import database_stats
from store.tables import metadata
from store.telemetry import TelemetryStore
from store.writer import BatchWriter
from tests.autorag.machines import profile
from tests.fakes import ManualClock
from tests.store.backends import start_postgres
from tests.store.freeze import ASSETS, fill
from tests.store.measured import CONFIG, a_measurement
from tests.store.registered import new_app
from tests.store.traces import ME, a_trace, kept_open, trace_id

KINDS = ("sqlite", "postgresql")
NewUrl = Callable[[str], str]
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def new_url(tmp_path: Path) -> Iterator[NewUrl]:
    """Makes empty databases of a kind."""
    with ExitStack() as stack:
        made: list[str] = []

        def make(kind: str) -> str:
            if kind == "postgresql":
                url = stack.enter_context(start_postgres().database(migrated=False))
            else:
                url = sqlite_url(tmp_path / f"db{len(made)}" / "autorag.db")
            made.append(url)
            return url

        yield make


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "autorag.zip"


@cache
def _filled_files() -> Path:
    """A folder with both files, filled."""
    folder = Path(mkdtemp(prefix="autorag-filled-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _fill(sqlite_url(folder / "autorag.db"))
    return folder


def filled(url: str) -> Rows:
    """A database with rows in every table, and everything that is in it."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        shutil.copytree(_filled_files(), Path(str(parsed.database)).parent, dirs_exist_ok=True)
    else:
        _fill(url)
    return everything(url)


def _fill(url: str) -> None:
    control, clock = open_database(url), ManualClock()
    fill(control)
    HostRepository(control, clock).record(profile(), {"cycles": "no", "page_faults": None})
    log = SqlTrialLog(control, clock, 1, "report")
    log.start(0, CONFIG)
    log.finish(0, a_measurement("q1", "q2"), 1.5)
    control.dispose()
    with kept_open(url) as stored:
        stored.add(a_trace())
        stored.settle_due()
        values = [1.5, -0.0, math.inf, 5e-324, 1.7976931348623157e308]
        rows = [(ME, Observation(1, None, "request", "x", v, "")) for v in values]
        stored.run(lambda store: store.add_observations(trace_id("batch"), rows)).result(10)
        stored.look(_roll_up)


def _roll_up(engine: Engine) -> None:
    with engine.begin() as connection:
        roll_up(connection, [(1, 1, None, "request", "x", 2.5, 1.0)], besides="nobody")


def everything(url: str) -> Rows:
    """Every row of both databases."""
    found: Rows = {}
    with places(url, existing=True) as both:
        for place in both:
            with place.engine.connect() as connection:
                for table in place.tables:
                    ordered = select(table).order_by(*table.primary_key)
                    rows = connection.execute(ordered).mappings()
                    found[table.name] = [dict(row) for row in rows]
    return found


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_what_is_restored_is_what_was_backed_up(
    new_url: NewUrl, archive: Path, source: str, to: str
) -> None:
    before, after = new_url(source), new_url(to)
    rows = filled(before)
    assert [name for name, had in rows.items() if not had] == []
    made = backup(before, archive, ManualClock(5.0))
    assert made.rows == {name: len(had) for name, had in rows.items()}
    assert (made.revision, made.made_at) == (migrations.head(), 5)
    assert restore(archive, after) == made
    assert everything(after) == rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_database_goes_on(new_url: NewUrl, archive: Path, kind: str) -> None:
    before, after = new_url("sqlite"), new_url(kind)
    rows = filled(before)
    backup(before, archive, ManualClock())
    restore(archive, after)
    engine = open_database(after)
    app = AppRepository(engine, ManualClock()).add(new_app("new"))
    key = KeyRepository(engine, ManualClock()).add("1" * 64, origin="http")
    engine.dispose()
    assert app.id > max(row["id"] for row in rows["apps"])
    assert key > max(row["id"] for row in rows["keys"])
    with kept_open(after) as stored:
        stored.add(a_trace("new"))
        stored.settle_due()
        assert trace_id("new") in {r["trace_id"] for r in stored.rows(metadata.tables["traces"])}


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_with_rows_is_replaced_only_by_force(
    new_url: NewUrl, archive: Path, kind: str
) -> None:
    before, after = new_url("sqlite"), new_url(kind)
    wanted = filled(before)
    backup(before, archive, ManualClock())
    open_database(after).dispose()
    engine = open_telemetry(after)
    with BatchWriter(engine) as writer:
        TelemetryStore(engine, writer, ManualClock()).add([(ME, a_trace("other"))]).result(10)
    engine.dispose()
    had = {**everything(after)}
    with pytest.raises(ConflictError, match=r"not empty: table .* has rows; --force") as caught:
        restore(archive, after)
    assert caught.value.key == "db"
    assert everything(after).items() >= had.items()
    restore(archive, after, force=True)
    assert everything(after) == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_backed_up_before_an_upgrade_is_upgraded_when_it_is_restored(
    new_url: NewUrl, archive: Path, tmp_path: Path, kind: str
) -> None:
    old = tmp_path / "old.db"
    for name in ("old.db", "old-telemetry.db"):
        shutil.copyfile(ASSETS / "0002.db", tmp_path / name)
    made = backup(sqlite_url(old), archive, ManualClock())
    assert made.revision == "0002"
    assert revision(sqlite_url(old)) == "0002"
    after = new_url(kind)
    restore(archive, after)
    assert revision(after) == migrations.head()
    assert {t: len(rows) for t, rows in everything(after).items() if rows} == {
        t: n for t, n in made.rows.items() if n
    }
    engine = open_database(after)
    assert KeyRepository(engine, ManualClock()).any_live()
    engine.dispose()


def revision(url: str) -> str | None:
    engine = connect(url)
    with engine.connect() as connection:
        found = migrations.current(connection)
    engine.dispose()
    return found


def test_databases_of_two_revisions_are_to_be_upgraded_first(tmp_path: Path, archive: Path) -> None:
    shutil.copyfile(ASSETS / "0002.db", tmp_path / "a.db")
    shutil.copyfile(ASSETS / "0003.db", tmp_path / "a-telemetry.db")
    with pytest.raises(ConflictError, match=r"0002.*0003.*autorag db upgrade"):
        backup(sqlite_url(tmp_path / "a.db"), archive, ManualClock())
    assert not archive.exists()


def test_without_telemetry_the_rest_is_backed_up(new_url: NewUrl, archive: Path) -> None:
    before, after = new_url("sqlite"), new_url("sqlite")
    open_database(before).dispose()
    made = backup(before, archive, ManualClock())
    assert "apps" in made.rows
    assert "spans" not in made.rows
    restore(archive, after)
    assert set(everything(after)) == set(metadata.tables)


def test_there_must_be_a_database(tmp_path: Path, archive: Path) -> None:
    path = tmp_path / "none.db"
    with pytest.raises(InputError, match=r"no database at .*none\.db"):
        backup(sqlite_url(path), archive, ManualClock())
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_can_read_an_archive(new_url: NewUrl, archive: Path) -> None:
    url = new_url("sqlite")
    filled(url)
    backup(url, archive, ManualClock())
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert [p.name for p in archive.parent.iterdir() if p.is_file()] == [archive.name]


def test_an_archive_takes_the_place_of_the_one_before_when_it_is_whole(
    new_url: NewUrl, archive: Path
) -> None:
    url = new_url("sqlite")
    filled(url)
    backup(url, archive, ManualClock(1.0))
    before = archive.read_bytes()

    def stop(table: str, _: int) -> None:
        if table == "trials":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(url, archive, ManualClock(2.0), stop)
    assert archive.read_bytes() == before
    assert [p.name for p in archive.parent.iterdir() if p.is_file()] == [archive.name]


def test_a_backup_is_one_state_and_keeps_nobody_from_writing(
    new_url: NewUrl, archive: Path
) -> None:
    url = new_url("sqlite")
    wanted = filled(url)
    engine = open_database(url)
    added: list[str] = []

    def write(table: str, _: int) -> None:
        added.append(f"during {table}")
        AppRepository(engine, ManualClock()).add(new_app(added[-1]))

    made = backup(url, archive, ManualClock(), write)
    engine.dispose()
    assert len(added) > 5
    assert made.rows["apps"] == len(wanted["apps"])


def test_a_folder_that_is_not_there_is_named(new_url: NewUrl, tmp_path: Path) -> None:
    url = new_url("sqlite")
    open_database(url).dispose()
    path = tmp_path / "none" / "a.zip"
    for work in (lambda: backup(url, path, ManualClock()), lambda: restore(path, url)):
        with pytest.raises(InputError, match=r"none/a\.zip: No such file"):
            work()


def change(archive: Path, name: str, make: Callable[[bytes], bytes | None]) -> None:
    """Change a file in an archive, or leave it out."""
    with zipfile.ZipFile(archive) as before:
        files = {i: before.read(i) for i in before.namelist()}
    with zipfile.ZipFile(archive, "w") as after:
        for member, content in files.items():
            new = make(content) if member == name else content
            if new is not None:
                after.writestr(member, new)


def said(content: bytes, **changed: Any) -> bytes:
    return json.dumps({**json.loads(content), **changed}).encode()


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes | None], str]] = {
    "a row less": ("apps.jsonl", lambda c: c[c.index(b"\n") + 1 :], "apps.jsonl is not as it was"),
    "another value": ("apps.jsonl", lambda c: c.replace(b"shop", b"shap"), "apps.jsonl is not as"),
    "half a row": ("apps.jsonl", lambda c: c[:-9], "apps.jsonl line 1"),
    "no bytes": ("traces.jsonl", lambda c: c.replace(b'"', b'"?', 1), "traces.jsonl line 1"),
    "a value less": ("apps.jsonl", lambda c: b"[1]\n", "apps.jsonl line 1: 1 values"),
    "a table less": ("apps.jsonl", lambda c: None, "apps.jsonl"),
    "no manifest": (MANIFEST, lambda c: None, "manifest.json"),
    "no JSON": (MANIFEST, lambda c: c[:-5], "damaged"),
    "a newer one": (MANIFEST, lambda c: said(c, revision="9999"), "newer AutoRAG .schema 9999"),
    "a newer format": (MANIFEST, lambda c: said(c, version=2), "version 2"),
    "another format": (MANIFEST, lambda c: said(c, format="x"), "of 'x' is not read"),
    "another table": (MANIFEST, lambda c: c.replace(b'"hosts"', b'"x; DROP"'), "'x; DROP' is not"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_archive_changes_nothing(new_url: NewUrl, archive: Path, damage: str) -> None:
    before, after = new_url("sqlite"), new_url("sqlite")
    filled(before)
    had = filled(after)
    backup(before, archive, ManualClock())
    name, make, message = DAMAGES[damage]
    change(archive, name, make)
    with pytest.raises(InputError, match=message) as caught:
        restore(archive, after, force=True)
    assert (caught.value.key, caught.value.value) == ("file", str(archive))
    assert everything(after) == had


@pytest.mark.parametrize("cut", [0, 10, -30, -3000])
def test_a_cut_or_foreign_file_is_no_archive(new_url: NewUrl, archive: Path, cut: int) -> None:
    url = new_url("sqlite")
    filled(url)
    backup(url, archive, ManualClock())
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"autorag\.zip"):
        restore(archive, new_url("sqlite"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_restore_that_fails_leaves_all_as_it_was(
    new_url: NewUrl, archive: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = new_url("sqlite"), new_url(kind)
    filled(before)
    had = filled(after)
    backup(before, archive, ManualClock())

    def stop(table: str, _: int) -> None:
        if table == "observations":
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="the disk is full"):
        restore(archive, after, force=True, progress=stop)
    assert everything(after) == had
    assert revision(after) == migrations.head()


def test_many_rows_are_read_and_written_in_pieces(
    new_url: NewUrl, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "ROWS", 3)
    before, after = new_url("sqlite"), new_url("sqlite")
    wanted = filled(before)
    steps: list[tuple[str, int]] = []
    backup(before, archive, ManualClock(), lambda *step: steps.append(step))
    restore(archive, after, progress=lambda *step: steps.append(step))
    assert everything(after) == wanted
    most = len(wanted["observations"])
    assert [n for t, n in steps if t == "observations"][:2] == [3, 6]
    assert steps.count(("observations", most)) == 2


def test_other_tables_stay_in_postgresql(new_url: NewUrl, archive: Path) -> None:
    before, after = new_url("sqlite"), new_url("postgresql")
    filled(before)
    backup(before, archive, ManualClock())
    engine = open_database(after)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE somebodys (x INTEGER)")
    restore(archive, after, force=True)
    assert "somebodys" in inspect(engine).get_table_names()
    engine.dispose()


def made_newer(url: str) -> Engine:
    """A database as a newer version might leave it."""
    open_telemetry(url).dispose()
    engine = open_database(url)
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE newer (app_id BIGINT REFERENCES apps (id))",
            "INSERT INTO newer VALUES (NULL)",
            "ALTER TABLE apps ADD COLUMN newer INTEGER",
            "UPDATE alembic_version SET version_num = '9999'",
        ):
            connection.exec_driver_sql(statement)
    return engine


def test_a_file_that_a_newer_version_made_is_replaced_whole(new_url: NewUrl, archive: Path) -> None:
    before, after = new_url("sqlite"), new_url("sqlite")
    wanted = filled(before)
    backup(before, archive, ManualClock())
    engine = made_newer(after)
    with pytest.raises(ConflictError, match="not empty: table 'newer' has rows"):
        restore(archive, after)
    restore(archive, after, force=True)
    assert everything(after) == wanted
    names = {*metadata.tables, migrations.TABLE}
    assert set(inspect(engine).get_table_names()) == names
    assert "newer" not in {c["name"] for c in inspect(engine).get_columns("apps")}
    engine.dispose()


def test_postgresql_that_a_newer_version_made_is_refused(new_url: NewUrl, archive: Path) -> None:
    before, after = new_url("sqlite"), new_url("postgresql")
    filled(before)
    backup(before, archive, ManualClock())
    engine = made_newer(after)
    with pytest.raises(ConflictError, match=r"schema 9999.*into an empty database") as caught:
        restore(archive, after, force=True)
    assert caught.value.key == "db"
    assert "newer" in inspect(engine).get_table_names()
    engine.dispose()


@pytest.mark.parametrize("kind", KINDS)
def test_stats_tell_what_is_there(new_url: NewUrl, kind: str) -> None:
    url = new_url(kind)
    rows = filled(url)
    found = database_stats(url)
    assert len(found) == (2 if kind == "sqlite" else 1)
    counted = {name: n for stats in found for name, n in stats.rows.items()}
    assert counted == {name: len(had) for name, had in rows.items()}
    assert {s.revision for s in found} == {migrations.head()}
    assert all(s.bytes > 10_000 for s in found)
    telemetry = found[-1]
    seen = [row["last_seen_at"] for row in rows["traces"]]
    assert (telemetry.oldest, telemetry.newest) == (min(seen), max(seen))
    assert [s.wal_bytes is None for s in found] == [kind == "postgresql"] * len(found)


def test_stats_of_nothing_make_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no database at"):
        database_stats(sqlite_url(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []


def test_stats_of_a_database_without_tables(new_url: NewUrl) -> None:
    (found,) = database_stats(new_url("postgresql"))
    assert (found.revision, found.rows, found.bytes) == (None, {}, 0)
    assert (found.oldest, found.newest) == (None, None)
