"""``autorag train``: learn from all that was measured, or make a file of a measured table."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from api.cli.console import progress_console
from api.cli.progress import LiveProgress
from api.settings import Settings
from api.train_job import learn
from api.training import OWN_TABLE, make, of_table
from autorag.ports import SystemClock
from models.files import check_writable, write_models
from store.database import Database
from store.engine import open_database


def run_train(
    out: Path | None,
    table: Path | None,
    promote: bool,
    seed: int,
    db: str | None,
    as_json: bool,
) -> None:
    """Train, and tell what became of it."""
    with LiveProgress(progress_console(quiet=as_json)) as progress:
        if out is None:
            row = _learned(table or OWN_TABLE, promote, seed, db, progress)
        else:
            row = _written(out, table or OWN_TABLE, seed, progress)
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(row), indent=None)
        return
    for name, value in row.items():
        Console().print(f"{name}: {escape(str(value))}", highlight=False)


def _learned(
    table: Path, promote: bool, seed: int, db: str | None, progress: LiveProgress
) -> Mapping[str, Any]:
    """A new version of the home's models, as a train job makes it."""
    settings = Settings.from_environment()
    engine = open_database(db or settings.database_url)
    try:
        database = Database(engine, SystemClock())
        return learn(database, table, seed, promote, progress.progress, database.write)
    finally:
        engine.dispose()


def _written(out: Path, table: Path, seed: int, progress: LiveProgress) -> Mapping[str, Any]:
    """A file of models of a measured table alone."""
    check_writable(out)
    material = of_table(table)
    started = time.perf_counter()
    made = make(material, seed, progress.progress)
    return {
        **{name: value for name, value in made.about.items() if name != "corpora_digests"},
        "file": str(out),
        "sha256": write_models(made.models, made.about, out),
        "bytes": out.stat().st_size,
        "seconds": round(time.perf_counter() - started, 1),
    }
