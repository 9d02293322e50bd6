"""Sets of models in a home, beside the one that ships."""

from __future__ import annotations

from pathlib import Path

from api.model_registry import Registry
from autorag.model_sets import Verdict
from autorag.ports import SystemClock
from models.accuracy import Accuracy
from store.engine import open_database, sqlite_url
from store.model_sets import ModelSetRepository
from tests.models.test_training import told, trained


def keep(home: Path, *, better: bool = True) -> int:
    """A set that was trained on made-up workloads; returns its version."""
    about = {
        **{"version": "0", "data": "x", "table": None, "seed": 0, "measured_until": 0},
        **{"workloads": 10, "corpora": 10, "rows": 1500},
        "accuracy": Accuracy.of(told()).to_json(),
    }
    sha256 = Registry(home).keep(trained(), about)
    engine = open_database(sqlite_url(home / "autorag.db"))
    verdict = Verdict(better, 0, ("left-out corpora, order: 0.2 → 0.1 on 9 corpora",))
    version = ModelSetRepository(engine, SystemClock()).add(sha256, about, verdict).version
    engine.dispose()
    return version
