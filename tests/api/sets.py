"""Sets of models in a home, beside the one that ships."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import update

from api.model_registry import listed
from autorag.model_sets import SHIPPED_VERSION, Verdict
from autorag.ports import SystemClock
from models.accuracy import Accuracy
from models.files import pack_models
from store.engine import open_database, sqlite_url
from store.model_sets import ModelSetRepository
from store.tables import model_files
from tests.models.test_training import told, trained


@contextmanager
def sets_of(home: Path) -> Iterator[ModelSetRepository]:
    """The sets of a home."""
    engine = open_database(sqlite_url(home / "autorag.db"))
    yield ModelSetRepository(engine, SystemClock())
    engine.dispose()


def keep(home: Path, *, better: bool = True) -> int:
    """A set that was trained on made-up workloads and compared with the one that answers; returns
    its version."""
    about: dict[str, Any] = {
        **{"version": "0", "data": "x", "table": None, "seed": 0, "measured_until": 0},
        **{"workloads": 10, "corpora": 10, "rows": 1500, "corpora_digests": {}},
        "accuracy": Accuracy.of(told()).to_json(),
    }
    with sets_of(home) as sets:
        now = next(r.version for r in listed(sets.all()) if r.state == "production")
        reasons = ("left-out corpora, order: 0.2 → 0.1 on 9 corpora",)
        content = pack_models(trained(), about)
        return sets.add(content, about, Verdict(better, now or SHIPPED_VERSION, reasons)).version


def damage(home: Path, version: int) -> None:
    """Cut the file of a set."""
    engine = open_database(sqlite_url(home / "autorag.db"))
    with engine.begin() as connection:
        cut = update(model_files).where(model_files.c.version == version)
        connection.execute(cut.values(content=b"PK"))
    engine.dispose()
