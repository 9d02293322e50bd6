"""What the service acknowledged is there, once, however often it is killed; see
``benchmarks/service_crash.py`` for the long run."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.engine import sqlite_url
from tests.api.crashing.protocol import Result, crash
from tests.store.backends import Postgres, postgres

__all__ = ["postgres"]

CLIENTS, WORKERS = 8, 1
KILLS, MANY_KILLS = 5, 40


def killed(folder: Path, url: str, kills: int, seed: int) -> Result:
    return crash(
        folder / "service",
        url,
        kills=kills,
        clients=CLIENTS,
        workers=WORKERS,
        seed=seed,
        check_every=10,
    )


def assert_all_is_there(result: Result) -> None:
    assert result.wrong == []
    assert result.ledger.entries.total() > 0
    assert result.answers["no answer"] > 0


def test_what_was_acknowledged_is_there_once_after_kills(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "service" / "home" / "autorag.db")
    assert_all_is_there(killed(tmp_path, url, KILLS, seed=1))


@pytest.mark.slow
def test_what_was_acknowledged_is_there_once_after_many_kills(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "service" / "home" / "autorag.db")
    assert_all_is_there(killed(tmp_path, url, MANY_KILLS, seed=2))


@pytest.mark.slow
def test_so_it_is_with_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    with postgres.database(migrated=False) as url:
        assert_all_is_there(killed(tmp_path, url, KILLS, seed=3))
