"""Paths that apps give never lead out of the data folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.paths import check_links, data_path
from api.settings import Settings
from autorag.errors import InputError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With a data folder, beside which there is something secret."""
    data = tmp_path / "data"
    (data / "shop" / "docs").mkdir(parents=True)
    (data / "shop" / "docs" / "a.txt").write_text("tea")
    (data / "shop" / "queries.jsonl").write_text("")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.txt").write_text("key")
    return Settings(home=tmp_path, data_dir=data)


def data(settings: Settings) -> Path:
    assert settings.data_dir is not None
    return settings.data_dir


@pytest.mark.parametrize(
    "given", ["shop", "shop/docs", "shop//docs/", "./shop/docs", "shop/docs/a.txt"]
)
def test_what_lies_in_the_data_folder_is_found(settings: Settings, given: str) -> None:
    path = data_path(settings, given, "docs")
    assert path == data(settings) / given
    check_links(settings, path, "docs")


@pytest.mark.parametrize(
    "given",
    [
        "",
        ".",
        "/",
        "/etc/passwd",
        "..",
        "../secret",
        "shop/../../secret/key.txt",
        "shop/..",
        "missing",
        "shop/queries.jsonl/x",
        "shop\0",
        "~",
        "x" * 5000,
        "\ud800",
    ],
)
def test_other_paths_are_refused_and_named(settings: Settings, given: str) -> None:
    with pytest.raises(InputError) as refused:
        data_path(settings, given, "docs")
    assert (refused.value.key, refused.value.value) == ("docs", given)
    assert str(data(settings)) not in str(refused.value)


def test_without_a_data_folder_no_path_is_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="AUTORAG_DATA_DIR"):
        data_path(Settings(home=tmp_path), "shop", "docs")


@pytest.mark.parametrize("target", ["secret", "data/shop"])
def test_no_path_leads_over_a_link(settings: Settings, tmp_path: Path, target: str) -> None:
    (data(settings) / "link").symlink_to(tmp_path / target)
    for given in ("link", "link/docs", "link/key.txt"):
        with pytest.raises(InputError, match="symbolic link"):
            data_path(settings, given, "docs")


def test_what_is_neither_file_nor_folder_is_refused(settings: Settings) -> None:
    os.mkfifo(data(settings) / "pipe")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        data_path(settings, "pipe", "docs")


@pytest.mark.parametrize("where", ["shop/docs/key.txt", "shop/docs/deep/more"])
@pytest.mark.parametrize("target", ["secret/key.txt", "secret", "gone"])
def test_a_folder_with_a_link_out_of_the_data_is_refused(
    settings: Settings, tmp_path: Path, where: str, target: str
) -> None:
    link = data(settings) / where
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / target)
    with pytest.raises(InputError) as refused:
        check_links(settings, data_path(settings, "shop/docs", "docs"), "docs")
    assert (refused.value.key, refused.value.value) == ("docs", where)


def test_queries_beside_a_file_may_not_be_a_link_either(settings: Settings, tmp_path: Path) -> None:
    (data(settings) / "shop" / "docs" / "queries.jsonl").symlink_to(tmp_path / "secret/key.txt")
    with pytest.raises(InputError, match=r"queries\.jsonl"):
        check_links(settings, data_path(settings, "shop/docs/a.txt", "docs"), "docs")


def test_links_within_the_data_are_followed(settings: Settings) -> None:
    """As in mounted volumes."""
    folder = data(settings) / "shop" / "docs"
    (folder / "..version").mkdir()
    (folder / "b.txt").symlink_to(folder / "..version")
    check_links(settings, data_path(settings, "shop/docs", "docs"), "docs")
