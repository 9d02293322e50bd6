"""Settings: where they come from, and what cannot be used."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from api.settings import Settings
from autorag.errors import InputError

SECRET = "a-secret-that-nobody-may-see"


def read(home: Path, file: str | None = None, **variables: str) -> Settings:
    """Settings of a home, perhaps with this file in it."""
    if file is not None:
        (home / "autorag.toml").write_text(file, encoding="utf-8")
    return Settings.from_environment({"AUTORAG_HOME": str(home), **variables})


def refused(home: Path, file: str | None = None, **variables: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read(home, file, **variables)
    return caught.value


def test_the_defaults(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.home, found.database) == (tmp_path, tmp_path / "autorag.db")
    assert (found.artifacts_bytes, found.admin_key, found.db) == (20 * 10**9, None, None)
    assert (found.data_dir, found.allowed_networks, found.workers) == (None, (), 1)
    assert (found.rate_per_s, found.most_requests, found.most_waiting) == (200, 64, 1000)
    assert (found.retention_days, found.rollup_days, found.log_level) == (30, 400, "INFO")
    assert Settings.from_environment({}).home == Path.home() / ".local/share/autorag"


def test_the_database_is_a_file_in_the_home_unless_another_is_named(tmp_path: Path) -> None:
    assert read(tmp_path).database_url == f"sqlite:///{tmp_path}/autorag.db"
    assert read(tmp_path, AUTORAG_DB="postgresql://h/d").database_url == "postgresql://h/d"


def test_the_file_in_the_home_is_read_and_the_environment_counts_more(tmp_path: Path) -> None:
    file = 'workers = 3\nmost_requests = 7\nallowed_networks = ["10.0.0.0/8"]'
    found = read(tmp_path, file, AUTORAG_WORKERS="5")
    assert (found.workers, found.most_requests) == (5, 7)
    assert found.allowed_networks == (ip_network("10.0.0.0/8"),)


def test_another_file_can_be_named_and_its_folders_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "etc/data").mkdir(parents=True)
    file = tmp_path / "etc/service.toml"
    file.write_text('home = "here"\ndata_dir = "data"')
    found = Settings.from_environment({"AUTORAG_CONFIG": str(file)})
    assert (found.home, found.data_dir) == (tmp_path / "etc/here", tmp_path / "etc/data")


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    error = refused(tmp_path, AUTORAG_CONFIG=str(tmp_path / "none.toml"))
    assert str(error) == f"{tmp_path}/none.toml: No such file or directory"
    assert error.key == "AUTORAG_CONFIG"


def test_a_file_that_is_not_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    error = refused(tmp_path, "workers = 1\nwhat is this")
    assert str(error).startswith(f"{tmp_path}/autorag.toml: ")
    assert "line 2" in str(error)


@pytest.mark.parametrize("name", ["wrokers", "_env_file", "AUTORAG_WORKERS", "self"])
def test_an_unknown_name_in_the_file_is_an_error_that_does_not_show_the_value(
    tmp_path: Path, name: str
) -> None:
    error = refused(tmp_path, f'{name} = "{SECRET}"')
    assert error.key == name
    assert name in str(error)
    assert SECRET not in str(error)


def test_a_home_cannot_name_another(tmp_path: Path) -> None:
    assert refused(tmp_path, 'home = "/elsewhere"').key == "home"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTORAG_WORKERS", "many"),
        ("AUTORAG_WORKERS", "-1"),
        ("AUTORAG_MOST_REQUESTS", "0"),
        ("AUTORAG_RATE_PER_S", "nan"),
        ("AUTORAG_RETENTION_DAYS", "0"),
        ("AUTORAG_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("AUTORAG_ALLOWED_NETWORKS", "10.0.0.0/8, everything"),
        ("AUTORAG_LOG_FORMAT", "xml"),
        ("AUTORAG_LOG_LEVEL", "LOUD"),
        ("AUTORAG_DATA_DIR", "/no/such/folder"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_value(tmp_path: Path, name: str, value: str) -> None:
    error = refused(tmp_path, **{name: value})
    assert str(error).startswith(f"{name} = '{value}': ")
    assert "\n" not in str(error)
    assert (error.key, str(error.value)) == (name, value)


def test_every_wrong_setting_gets_a_line(tmp_path: Path) -> None:
    error = refused(tmp_path, "workers = 'x'\nodd = 1", AUTORAG_MOST_REQUESTS="0")
    first, second, third = str(error).splitlines()
    assert first == f"odd in {tmp_path}/autorag.toml: there is no such setting"
    assert second.startswith(f"workers = 'x' in {tmp_path}/autorag.toml: ")
    assert third.startswith("AUTORAG_MOST_REQUESTS = '0': ")


@pytest.mark.parametrize("file", [f'admin_key = "{SECRET} "', f'db = ["{SECRET}"]'])
def test_a_refused_secret_is_not_shown(tmp_path: Path, file: str) -> None:
    error = refused(tmp_path, file)
    assert SECRET not in str(error)
    assert error.value is None


def test_secrets_are_not_shown_by_what_holds_them(tmp_path: Path) -> None:
    found = read(tmp_path, AUTORAG_ADMIN_KEY=SECRET, AUTORAG_DB=f"postgresql://u:{SECRET}@h/d")
    assert SECRET not in repr(found)
    with pytest.raises(ValidationError) as caught:
        Settings(admin_key=SECRET + " ")
    assert SECRET not in str(caught.value)


def test_networks_are_given_with_commas(tmp_path: Path) -> None:
    found = read(tmp_path, AUTORAG_ALLOWED_NETWORKS="127.0.0.0/8, ::1,")
    assert found.allowed_networks == (ip_network("127.0.0.0/8"), ip_network("::1"))


def test_a_data_folder_is_the_real_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    found = read(tmp_path, AUTORAG_DATA_DIR=str(tmp_path / "link"))
    assert found.data_dir == (tmp_path / "real").resolve()


def test_the_log_is_json_unless_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert Settings().log_format == "json"
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert Settings().log_format == "text"


def test_they_cannot_be_changed_and_making_them_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTORAG_WORKERS", "9")
    found = Settings(home=tmp_path)
    assert found.workers == 1
    with pytest.raises(ValidationError, match="frozen"):
        found.workers = 2


def test_help_does_not_need_them() -> None:
    code = "import sys, api.cli.main; print([m for m in sys.modules if m.startswith('pydantic')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ast.literal_eval(ran.stdout.decode()) == []
