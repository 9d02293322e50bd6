"""Which keys are let in, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Row, insert, select

from autorag.errors import StoreError
from store.engine import open_database, reading, sqlite_url
from store.keys import KeyRepository
from store.tables import keys as table
from tests.fakes import ManualClock

FIRST, SECOND, MADE = (digit * 64 for digit in "123")
"""Hashes."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(sqlite_url(tmp_path / "a.db"))
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(engine: Engine, clock: ManualClock) -> KeyRepository:
    return KeyRepository(engine, clock)


def live(keys: KeyRepository) -> list[bool]:
    return [keys.is_admin(key) for key in (FIRST, SECOND, MADE)]


def rows(engine: Engine) -> Sequence[Row[Any]]:
    with reading(engine) as connection:
        return connection.execute(select(table).order_by(table.c.id)).all()


def test_without_keys_nobody_is_let_in(keys: KeyRepository) -> None:
    assert not keys.any_live()
    assert live(keys) == [False, False, False]


def test_a_key_that_was_made_is_let_in(keys: KeyRepository) -> None:
    keys.add(MADE, origin="generated")
    assert keys.any_live()
    assert live(keys) == [False, False, True]


def test_a_key_is_there_once(keys: KeyRepository) -> None:
    keys.add(MADE, origin="generated")
    with pytest.raises(StoreError, match="key could not be recorded") as caught:
        keys.add(MADE, origin="generated")
    assert MADE not in str(caught.value)


def test_the_environment_names_one_key_at_a_time(keys: KeyRepository) -> None:
    keys.set_environment_key(FIRST)
    assert live(keys) == [True, False, False]
    keys.set_environment_key(SECOND)
    assert live(keys) == [False, True, False]
    assert keys.any_live()


def test_naming_the_same_key_again_changes_nothing(
    keys: KeyRepository, engine: Engine, clock: ManualClock
) -> None:
    keys.set_environment_key(FIRST)
    before = rows(engine)
    clock.advance(60)
    keys.set_environment_key(FIRST)
    assert rows(engine) == before


def test_an_earlier_key_may_come_back(keys: KeyRepository, engine: Engine) -> None:
    for key in (FIRST, SECOND, FIRST):
        keys.set_environment_key(key)
    assert live(keys) == [True, False, False]
    assert len(rows(engine)) == 2


def test_a_key_that_was_made_ends_when_the_environment_names_one(keys: KeyRepository) -> None:
    keys.add(MADE, origin="generated")
    keys.set_environment_key(FIRST)
    keys.set_environment_key(SECOND)
    assert live(keys) == [False, True, False]


def test_a_key_that_was_made_ends_with_the_environment_that_named_it(keys: KeyRepository) -> None:
    keys.add(MADE, origin="generated")
    keys.set_environment_key(MADE)
    assert live(keys) == [False, False, True]
    keys.set_environment_key(FIRST)
    assert live(keys) == [True, False, False]


def test_when_a_key_came_and_went_is_kept(
    keys: KeyRepository, engine: Engine, clock: ManualClock
) -> None:
    keys.set_environment_key(FIRST)
    clock.advance(60)
    keys.set_environment_key(SECOND)
    start = int(clock.now) - 60
    assert [(r.hash, r.scope, r.origin, r.created_at, r.revoked_at) for r in rows(engine)] == [
        (FIRST, "admin", "environment", start, start + 60),
        (SECOND, "admin", "environment", start + 60, None),
    ]


def test_a_key_of_another_scope_is_no_admin_key(keys: KeyRepository, engine: Engine) -> None:
    row = {"hash": FIRST, "scope": "ingest", "origin": "generated", "created_at": 1}
    with engine.begin() as connection:
        connection.execute(insert(table), row)
    assert not keys.is_admin(FIRST)
    assert not keys.any_live()
