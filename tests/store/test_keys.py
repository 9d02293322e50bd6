"""The contract of keys: which are let in, to what, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Row, insert, select

from autorag.errors import ConflictError, InputError, NotFoundError
from store.apps import AppRepository
from store.engine import reading
from store.keys import MOST_LIVE, Key, KeyRepository
from store.tables import keys as table
from tests.store.backends import Backend
from tests.store.registered import register

FIRST, SECOND, MADE = (digit * 64 for digit in "123")
"""Hashes."""


@pytest.fixture
def keys(backend: Backend) -> KeyRepository:
    return backend.repository(KeyRepository)


@pytest.fixture
def app(backend: Backend) -> int:
    return register(backend).id


def is_admin(keys: KeyRepository, hash_: str) -> bool:
    found = keys.find(hash_)
    return found is not None and found.admin


def live(keys: KeyRepository) -> list[bool]:
    return [is_admin(keys, key) for key in (FIRST, SECOND, MADE)]


def rows(backend: Backend) -> Sequence[Row[Any]]:
    with reading(backend.engine) as connection:
        return connection.execute(select(table).order_by(table.c.id)).all()


class TestAdminKeys:
    """What every repository of keys does about those that open everything."""

    def test_without_keys_nobody_is_let_in(self, keys: KeyRepository) -> None:
        assert not keys.any_live()
        assert live(keys) == [False, False, False]

    def test_a_key_that_was_made_is_let_in(self, keys: KeyRepository) -> None:
        keys.add(MADE, origin="generated")
        assert keys.any_live()
        assert live(keys) == [False, False, True]

    def test_a_key_is_there_once(self, keys: KeyRepository) -> None:
        keys.add(MADE, origin="generated")
        with pytest.raises(ConflictError, match="made before") as caught:
            keys.add(MADE, origin="generated")
        assert MADE not in str(caught.value)

    def test_the_environment_names_one_key_at_a_time(self, keys: KeyRepository) -> None:
        keys.set_environment_key(FIRST)
        assert live(keys) == [True, False, False]
        keys.set_environment_key(SECOND)
        assert live(keys) == [False, True, False]
        assert keys.any_live()

    def test_naming_the_same_key_again_changes_nothing(
        self, keys: KeyRepository, backend: Backend
    ) -> None:
        keys.set_environment_key(FIRST)
        before = rows(backend)
        backend.clock.advance(60)
        keys.set_environment_key(FIRST)
        assert rows(backend) == before

    def test_an_earlier_key_may_come_back(self, keys: KeyRepository, backend: Backend) -> None:
        for key in (FIRST, SECOND, FIRST):
            keys.set_environment_key(key)
        assert live(keys) == [True, False, False]
        assert len(rows(backend)) == 2

    def test_a_key_that_was_made_ends_when_the_environment_names_one(
        self, keys: KeyRepository
    ) -> None:
        keys.add(MADE, origin="generated")
        keys.set_environment_key(FIRST)
        keys.set_environment_key(SECOND)
        assert live(keys) == [False, True, False]

    def test_a_key_that_was_made_ends_with_the_environment_that_named_it(
        self, keys: KeyRepository
    ) -> None:
        keys.add(MADE, origin="generated")
        keys.set_environment_key(MADE)
        assert live(keys) == [False, False, True]
        keys.set_environment_key(FIRST)
        assert live(keys) == [True, False, False]

    def test_when_a_key_came_and_went_is_kept(self, keys: KeyRepository, backend: Backend) -> None:
        keys.set_environment_key(FIRST)
        backend.clock.advance(60)
        keys.set_environment_key(SECOND)
        start = int(backend.clock.now) - 60
        assert [(r.hash, r.scope, r.origin, r.created_at, r.revoked_at) for r in rows(backend)] == [
            (FIRST, "admin", "environment", start, start + 60),
            (SECOND, "admin", "environment", start + 60, None),
        ]

    def test_a_key_of_another_scope_is_no_admin_key(
        self, keys: KeyRepository, backend: Backend
    ) -> None:
        row = {"hash": FIRST, "scope": "ingest", "origin": "generated", "created_at": 1}
        with backend.engine.begin() as connection:
            connection.execute(insert(table), row)
        assert not is_admin(keys, FIRST)
        assert not keys.any_live()

    def test_one_that_was_added_reads_back(self, keys: KeyRepository, backend: Backend) -> None:
        id_ = keys.add(MADE, origin="http", label="the night shift é")
        wanted = Key(id_, True, None, None, (), "the night shift é", "http", now(backend), None)
        assert keys.find(MADE) == wanted
        assert keys.all() == [wanted]


class TestAppKeys:
    """What every repository of keys does about those of apps."""

    def test_one_opens_its_app_for_its_scopes(
        self, keys: KeyRepository, app: int, backend: Backend
    ) -> None:
        id_ = keys.add_for_app(app, FIRST, ["ingest", "ack"], label="one")
        wanted = Key(id_, False, "shop", app, ("ingest", "ack"), "one", "http", now(backend), None)
        assert keys.find(FIRST) == wanted
        assert not keys.any_live()

    def test_an_app_has_so_many_live_ones(
        self, keys: KeyRepository, app: int, backend: Backend
    ) -> None:
        first, *_ = [keys.add_for_app(app, str(n) * 64, ["ack"]) for n in range(MOST_LIVE)]
        with pytest.raises(ConflictError, match=f"{MOST_LIVE} live keys"):
            keys.add_for_app(app, MADE, ["ack"])
        assert keys.find(MADE) is None
        keys.add_for_app(register(backend, "other").id, MADE, ["ack"])
        keys.revoke(first)
        keys.add_for_app(app, "9" * 64, ["ack"])

    def test_one_goes_with_its_app(self, keys: KeyRepository, app: int, backend: Backend) -> None:
        keys.add_for_app(app, FIRST, ["ack"])
        keys.add(MADE, origin="http")
        backend.repository(AppRepository).delete(app)
        assert keys.find(FIRST) is None
        assert [k.admin for k in keys.all()] == [True]

    def test_a_label_that_cannot_be_stored_is_refused(self, keys: KeyRepository, app: int) -> None:
        with pytest.raises(InputError, match="key could not be recorded"):
            keys.add_for_app(app, FIRST, ["ack"], label="a\ud800")
        assert keys.all() == []


class TestRevoking:
    """What every repository of keys does when one is to be let in no longer."""

    def test_a_revoked_key_is_let_in_no_longer_and_stays_to_be_seen(
        self, keys: KeyRepository, app: int, backend: Backend
    ) -> None:
        id_ = keys.add_for_app(app, FIRST, ["ack"])
        backend.clock.advance(60)
        keys.revoke(id_)
        assert keys.find(FIRST) is None
        (key,) = keys.all()
        assert (key.id, key.revoked_at) == (id_, backend.clock.now)

    def test_revoking_again_changes_nothing(
        self, keys: KeyRepository, app: int, backend: Backend
    ) -> None:
        id_ = keys.add_for_app(app, FIRST, ["ack"])
        keys.revoke(id_)
        before = rows(backend)
        backend.clock.advance(60)
        keys.revoke(id_)
        assert rows(backend) == before

    def test_one_that_is_not_there_is_not_found(self, keys: KeyRepository) -> None:
        with pytest.raises(NotFoundError, match="no key 7") as caught:
            keys.revoke(7)
        assert (caught.value.key, caught.value.value) == ("key", 7)

    def test_the_environments_key_is_changed_there(self, keys: KeyRepository) -> None:
        keys.add(MADE, origin="http")
        keys.set_environment_key(FIRST)
        environment = next(k for k in keys.all() if k.origin == "environment")
        with pytest.raises(ConflictError, match="AUTORAG_ADMIN_KEY"):
            keys.revoke(environment.id)
        assert is_admin(keys, FIRST)

    def test_the_last_admin_key_stays(self, keys: KeyRepository, app: int) -> None:
        first, second = (keys.add(hash_, origin="http") for hash_ in (FIRST, SECOND))
        keys.add_for_app(app, MADE, ["ack"])
        keys.revoke(first)
        with pytest.raises(ConflictError, match="only admin key"):
            keys.revoke(second)
        assert live(keys) == [False, True, False]


def now(backend: Backend) -> int:
    return int(backend.clock.now)
