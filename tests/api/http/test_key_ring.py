"""Live keys are looked up once in a while."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.http.key_ring import KEPT_S, KeyRing
from api.http.threads import Reads
from store.database import Database
from store.engine import open_database
from tests.fakes import ManualClock
from tests.store.backends import new_sqlite

HASH, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def database(tmp_path: Path, clock: ManualClock) -> Iterator[Database]:
    engine = open_database(new_sqlite(tmp_path / "a.db"))
    yield Database(engine, clock)
    engine.dispose()


@pytest.fixture
def ring(database: Database, clock: ManualClock) -> Iterator[KeyRing]:
    for hash_ in (HASH, OTHER):
        database.write(lambda s, h=hash_: s.keys.add(h, origin="http"))
    with Reads(database) as reads:
        yield KeyRing(reads, clock)


def lets_in(ring: KeyRing, hash_: str = HASH) -> bool:
    return asyncio.run(ring.find(hash_)) is not None


def revoke(database: Database, ring: KeyRing) -> None:
    key = asyncio.run(ring.find(HASH))
    assert key is not None
    database.write(lambda session: session.keys.revoke(key.id))


def test_only_live_keys_are_recognised(ring: KeyRing) -> None:
    assert not ring.recognises(HASH)
    assert not lets_in(ring, "c" * 64)
    assert lets_in(ring)
    assert ring.recognises(HASH)
    assert not ring.recognises("c" * 64)


def test_a_key_that_somebody_else_revoked_is_let_in_for_a_moment(
    database: Database, ring: KeyRing, clock: ManualClock
) -> None:
    revoke(database, ring)
    assert lets_in(ring)
    clock.advance(KEPT_S)
    assert not lets_in(ring)
    assert not ring.recognises(HASH)


def test_a_key_that_is_revoked_here_is_let_in_no_more(database: Database, ring: KeyRing) -> None:
    assert lets_in(ring, OTHER)
    revoke(database, ring)
    ring.forget()
    assert ring.recognises(OTHER)
    assert not lets_in(ring)
    assert lets_in(ring, OTHER)
