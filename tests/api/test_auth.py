"""The admin key: made once, kept private; and what an Authorization header holds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.auth import bearer, establish_admin_key, hashed
from api.settings import Settings
from autorag.errors import InputError
from store.engine import open_database
from store.keys import KeyRepository
from tests.fakes import ManualClock
from tests.store.backends import new_sqlite

KEY = "an-admin-key-for-tests-only"


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyRepository]:
    engine = open_database(new_sqlite(tmp_path / "a.db"))
    yield KeyRepository(engine, ManualClock())
    engine.dispose()


def settings(home: Path, key: str | None = None) -> Settings:
    given = {} if key is None else {"AUTORAG_ADMIN_KEY": key}
    return Settings.from_environment({"AUTORAG_HOME": str(home), **given})


def test_without_a_key_one_is_made_once(tmp_path: Path, keys: KeyRepository) -> None:
    made = establish_admin_key(settings(tmp_path), keys)
    assert made is not None
    assert len(made.key) >= 40
    assert (found := keys.find(hashed(made.key))) is not None
    assert found.admin
    assert establish_admin_key(settings(tmp_path), keys) is None
    assert made.path.read_text() == made.key + "\n"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_only_its_owner_can_read_it(tmp_path: Path, keys: KeyRepository, umask: int) -> None:
    before = os.umask(umask)
    try:
        made = establish_admin_key(settings(tmp_path), keys)
    finally:
        os.umask(before)
    assert made is not None
    assert stat.S_IMODE(made.path.stat().st_mode) & 0o177 == 0
    assert [p.name for p in tmp_path.iterdir() if "key" in p.name] == ["admin.key"]


def test_an_earlier_file_is_replaced_and_not_written_through(
    tmp_path: Path, keys: KeyRepository
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    for name in ("admin.key", ".admin.key.draft"):
        (tmp_path / name).symlink_to(elsewhere)
    made = establish_admin_key(settings(tmp_path), keys)
    assert made is not None
    assert elsewhere.read_text() == "theirs"
    assert not made.path.is_symlink()


def test_a_key_that_cannot_be_written_is_not_let_in(tmp_path: Path, keys: KeyRepository) -> None:
    (tmp_path / "admin.key").mkdir()
    with pytest.raises(OSError, match=r"admin\.key"):
        establish_admin_key(settings(tmp_path), keys)
    assert not keys.any_live()


def test_with_a_key_of_the_environment_none_is_made(tmp_path: Path, keys: KeyRepository) -> None:
    assert establish_admin_key(settings(tmp_path, KEY), keys) is None
    assert (found := keys.find(hashed(KEY))) is not None
    assert found.admin
    assert not (tmp_path / "admin.key").exists()


@pytest.mark.parametrize("key", ["x" * 23, "x" * 12 + " " + "x" * 12, "ä" * 24, "x" * 24 + "\n"])
def test_a_key_that_is_too_weak_or_cannot_be_sent_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError) as caught:
        settings(tmp_path, key)
    assert caught.value.key == "AUTORAG_ADMIN_KEY"
    assert key not in str(caught.value)
    assert caught.value.value is None


def test_settings_do_not_show_the_key(tmp_path: Path) -> None:
    assert KEY not in repr(settings(tmp_path, KEY))


def test_an_empty_variable_is_no_key(tmp_path: Path) -> None:
    assert settings(tmp_path, "").admin_key is None


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER  abc ", "abc"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic abc", None),
        ("abc", None),
        ("", None),
        (None, None),
    ],
)
def test_the_key_in_a_header(header: str | None, key: str | None) -> None:
    assert bearer(header) == key


def test_a_hash_tells_nothing_of_the_key() -> None:
    assert hashed(KEY) == hashed(KEY) != hashed(KEY + "x")
    assert len(hashed(KEY)) == 64
    assert KEY not in hashed(KEY)
