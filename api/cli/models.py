"""``autorag models``: which sets of models there are, what they are worth, which one answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.model_registry import Registry, listed, unreadable
from api.settings import Settings
from autorag.errors import NotFoundError
from autorag.model_sets import SHIPPED_VERSION, ModelSetRow
from autorag.ports import SystemClock
from models.accuracy import Accuracy
from models.experience import effect_on
from models.files import SHIPPED, read_models
from models.hosts import HostEffect
from models.training import ModelSet
from store.database import Database
from store.engine import open_database

NAMES = ("what", "worst corpus")
"""Headings of columns that hold no numbers."""


def run_list(db: str | None, as_json: bool) -> None:
    """List all sets."""
    with _opened(db) as (database, _):
        _show(listed(database.read(lambda s: s.model_sets.all())), as_json)


def run_promote(version: int, db: str | None, as_json: bool) -> None:
    """Put a set into production."""
    with _opened(db) as (database, registry):
        if version != SHIPPED_VERSION:
            registry.check(database.read(lambda s: s.model_sets.get(version)))
        database.write(lambda s: s.model_sets.promote(version))
        _show(listed(database.read(lambda s: s.model_sets.all())), as_json)


def run_rollback(db: str | None, as_json: bool) -> None:
    """Go back to the set that the one in production replaced."""
    with _opened(db) as (database, _):
        production = database.read(lambda s: s.model_sets.production())
        if production is None:
            raise NotFoundError("the set that ships is in production: there is none before it")
        database.write(lambda s: s.model_sets.roll_back(production.version))
        _show(listed(database.read(lambda s: s.model_sets.all())), as_json)


def run_report(version: int | None, db: str | None, as_json: bool) -> None:
    """Tell what a set is worth; the one in production if none is named."""
    with _opened(db) as (database, _):
        rows = listed(database.read(lambda s: s.model_sets.all()))
    wanted = [r for r in rows if _is(r, version)]
    if not wanted:
        raise NotFoundError(
            f"there is no set of models {version}", key="version", value=str(version)
        )
    row = wanted[0]
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(asdict(row)), indent=None)
    else:
        _report(row, Console())


def production_models(settings: Settings) -> tuple[ModelSet, dict[str, Any], str | None]:
    """The models that answer in this home, what is kept about them, and what is wrong with those
    that should."""
    if not _is_there(settings):
        return *read_models(SHIPPED), None
    with _opened(None) as (database, registry):
        row = database.read(lambda s: s.model_sets.production())
        models, about, version = registry.answering(row)
    wrong = row is not None and row.version != version
    return models, about, unreadable(row.version) if row is not None and wrong else None


def host_effect(models: ModelSet, machine: str, settings: Settings) -> HostEffect | None:
    """What trials on a machine that the models do not know show that it adds."""
    if models.ratios.knows(machine) or not _is_there(settings):
        return None
    with _opened(None) as (database, _):
        return effect_on(
            models.ratios, database.read(lambda s: s.experience.trials(hardware=machine))
        )


def _is_there(settings: Settings) -> bool:
    """Whether there is a database; looking makes none."""
    return settings.db is not None or settings.database.is_file()


@contextmanager
def _opened(db: str | None) -> Iterator[tuple[Database, Registry]]:
    settings = Settings.from_environment()
    engine = open_database(db or settings.database_url)
    try:
        database = Database(engine, SystemClock())
        yield database, Registry(database)
    finally:
        engine.dispose()


def _is(row: ModelSetRow, version: int | None) -> bool:
    return row.state == "production" if version is None else row.version == version


def _show(rows: Sequence[ModelSetRow], as_json: bool) -> None:
    if as_json:
        found = {"models": [asdict(row) for row in rows]}
        Console(soft_wrap=True).print_json(json.dumps(found), indent=None)
        return
    table = Table()
    for heading in ("version", "state", "made", "corpora", "rows", "latency_p95_ms", "order"):
        table.add_column(heading, justify="left" if heading == "state" else "right")
    for row in rows:
        worth = Accuracy.from_json(row.about["accuracy"])
        made = "ships" if row.version == SHIPPED_VERSION else _day(row.created_at)
        sizes = (str(row.about[name]) for name in ("corpora", "rows"))
        errors = (f"{worth.mean(what):.3f}" for what in ("latency_p95_ms", "order"))
        table.add_row(str(row.version), row.state, made, *sizes, *errors)
    Console().print(table)


def _report(row: ModelSetRow, console: Console) -> None:
    about, worth = row.about, Accuracy.from_json(row.about["accuracy"])
    sizes = ", ".join(f"{about[name]} {name}" for name in ("rows", "workloads", "corpora"))
    console.print(f"version {row.version}, {row.state}: {sizes}", highlight=False)
    table = Table(title="errors on corpora that were left out: median over configs")
    for heading in ("what", "mean", "worst", "80 % intervals hold", "worst corpus"):
        table.add_column(heading, justify="left" if heading in NAMES else "right")
    for what, by_corpus in worth.errors.items():
        worst = max(by_corpus, key=lambda corpus: by_corpus[corpus])
        held = worth.coverage.get(what)
        errors = f"{worth.mean(what):.3f}", f"{by_corpus[worst]:.3f}"
        table.add_row(what, *errors, "" if held is None else f"{held:.0%}", escape(worst))
    console.print(table)
    for reason in row.verdict["reasons"]:
        console.print(f"  {escape(reason)}", highlight=False)


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
