"""Homes for the real commands, and small documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from autorag.ports import SystemClock
from collectors.hardware import Machine, measure_profile, profile, read_identity
from collectors.hardware.profile import profile_path
from collectors.hardware.sampling import QUICK
from tests.api.command import Command, write_workload


@pytest.fixture(scope="session")
def models(models: Path) -> Path:
    """Prepared models, and in ``hardware/`` a quick profile of this machine."""
    with FileLock(models / "lock"):
        remember_profile(models)
    return models


def remember_profile(home: Path) -> None:
    """Profile the machine quickly, so that no command of the tests profiles it at length: in one
    pass, though it is busy. What was measured badly is not marked so, or every command that comes
    ten minutes later would measure it again."""
    identity, unknown = read_identity()
    path = profile_path(home, identity)
    if path.is_file():
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile, "PASSES", 1)
        machine = Machine(home, home, SystemClock())
        found = measure_profile(machine, identity, unknown, effort=QUICK)
    rates = {figure: replace(rate, busy=False) for figure, rate in found.rates.items()}
    missing = {figure: f"not in tests: {why}" for figure, why in found.missing.items()}
    profile.write_profile(replace(found, rates=rates, missing=missing), path)


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
