"""Homes for the real commands, and small documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from autorag.ports import SystemClock
from collectors.hardware import Machine, measure_profile, read_identity
from collectors.hardware.profile import profile_path, write_profile
from collectors.hardware.sampling import QUICK
from tests.api.command import Command, write_workload


@pytest.fixture(scope="session")
def models(models: Path) -> Path:
    """Prepared models, and in ``hardware/`` a quick profile of this machine."""
    with FileLock(models / "lock"):
        remember_profile(models)
    return models


def remember_profile(home: Path) -> None:
    """Profile the machine quickly, so that no command of the tests profiles it at length."""
    identity, unknown = read_identity()
    path = profile_path(home, identity)
    if not path.is_file():
        machine = Machine(home, home, SystemClock())
        write_profile(measure_profile(machine, identity, unknown, effort=QUICK), path)


@pytest.fixture(scope="session")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``corpus.jsonl`` and ``queries.jsonl``."""
    return write_workload(tmp_path_factory.mktemp("docs"))


@pytest.fixture
def autorag(tmp_path: Path, models: Path) -> Command:
    """The command with a home of its own."""
    return Command.in_home(tmp_path / "home", models)


@pytest.fixture(scope="module")
def used_autorag(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Command:
    """The command with a home that the tests of a module share."""
    return Command.in_home(tmp_path_factory.mktemp("used") / "home", models)
