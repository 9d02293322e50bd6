"""``autorag db``: upgrade, backup, restore, prune, stats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table

from api.cli.console import progress_console
from api.settings import Settings
from autorag.ports import SystemClock
from store.backup import backup, restore
from store.deleting import Pruned
from store.engine import open_database, open_telemetry
from store.pruning import prune_all
from store.stats import DatabaseStats, database_stats


def run_upgrade(database: str | None, as_json: bool) -> None:
    """Bring the schema of both databases up to date."""
    url = _url(database)
    with _busy("upgrading", as_json):
        for engine in (open_database(url), open_telemetry(url)):
            engine.dispose()
        found = database_stats(url)
    rows = [{"database": s.database, "revision": s.revision} for s in found]
    told = [f"{r['database']}: schema {r['revision']}" for r in rows]
    _print({"databases": rows}, told, as_json)


def run_backup(file: Path, database: str | None, as_json: bool) -> None:
    """Write an archive."""
    with _busy("backing up", as_json) as status:
        made = backup(_url(database), file, SystemClock(), _rows_told(status, "backing up"))
    size, rows = file.stat().st_size, sum(made.rows.values())
    row = {"file": str(file), "bytes": size, "revision": made.revision, "rows": made.rows}
    told = f"{file}: {rows:,} rows in {len(made.rows)} tables, {_size(size)}"
    _print(row, [told], as_json)


def run_restore(file: Path, force: bool, database: str | None, as_json: bool) -> None:
    """Make the databases what an archive says."""
    with _busy("checking the archive", as_json) as status:
        made = restore(file, _url(database), force=force, progress=_rows_told(status, "restoring"))
    row = {"file": str(file), "revision": made.revision, "rows": made.rows}
    when = _time(made.made_at)
    told = f"{file}: {sum(made.rows.values()):,} rows restored, as they were at {when}"
    _print(row, [told], as_json)


def run_prune(days: int | None, database: str | None, as_json: bool) -> None:
    """Delete what is older than is kept, as a prune job does."""
    settings = Settings.from_environment()
    kept = settings.retention_days if days is None else days
    with _busy("pruning", as_json) as status:

        def progress(done: Pruned) -> None:
            status.update(f"pruning: {done.traces:,} of {done.expected:,} traces")

        done = prune_all(
            _url(database, settings),
            SystemClock(),
            days=kept,
            rollup_days=settings.rollup_days,
            progress=progress,
        )
    row = {"days": kept, "rollup_days": settings.rollup_days, **asdict(done)}
    _print(row, _pruned_told(done, kept, settings.rollup_days), as_json)


def run_stats(database: str | None, as_json: bool) -> None:
    """Tell what is in the databases."""
    found = database_stats(_url(database))
    if as_json:
        _print({"databases": [asdict(stats) for stats in found]}, [], as_json)
        return
    console = Console()
    for stats in found:
        for line in _summary(stats):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        console.print(_table(stats.rows))


def _pruned_told(done: Pruned, days: int, rollup_days: int) -> Iterator[str]:
    yield (
        f"{done.traces:,} traces older than {days} days with {done.observations:,} observations "
        f"became histograms, {done.rollups:,} histograms older than {rollup_days} days were deleted"
    )
    yield (
        f"deleted: {done.trial_queries:,} results of single queries, {done.acks:,} "
        f"acknowledgements, {done.jobs:,} jobs, {done.answers:,} answers to requests"
    )
    yield f"others waited {done.longest_lock_s * 1e3:.0f} ms at most"


def _url(given: str | None, settings: Settings | None = None) -> str:
    return given or (settings or Settings.from_environment()).database_url


def _summary(stats: DatabaseStats) -> Iterator[str]:
    yield f"{stats.database}: schema {stats.revision}"
    parts = [_size(stats.bytes)]
    if stats.free_bytes is not None:
        parts.append(f"{_size(stats.free_bytes)} of it free")
    if stats.wal_bytes is not None:
        parts.append(f"{_size(stats.wal_bytes)} of log")
    yield ", ".join(parts)
    if stats.oldest is not None and stats.newest is not None:
        yield f"telemetry that came from {_time(stats.oldest)} to {_time(stats.newest)}"


def _table(rows: Mapping[str, int]) -> Table:
    table = Table()
    table.add_column("table")
    table.add_column("rows", justify="right")
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    return table


@contextmanager
def _busy(what: str, quiet: bool) -> Iterator[Status]:
    with progress_console(quiet).status(what) as status:
        yield status


def _rows_told(status: Status, what: str) -> Any:
    return lambda table, rows: status.update(f"{what}: {rows:,} rows of {table}")


def _print(row: Mapping[str, Any], told: Iterable[str], as_json: bool) -> None:
    console = Console(soft_wrap=True, markup=False, highlight=False)
    if as_json:
        console.print_json(json.dumps(row), indent=None)
    else:
        for line in told:
            console.print(line)


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ").replace("+00:00", " UTC")
