"""Homes for the real commands: small documents, and models that are made once per checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.prepare import needs_preparation, prepare_models
from tests.api.command import Command, write_workload


@pytest.fixture(scope="session")
def models(request: pytest.FixtureRequest) -> Path:
    """Prepared models; kept in pytest's cache, because making them takes 20 seconds."""
    assert request.config.cache is not None
    folder = request.config.cache.mkdir("autorag-models")
    if needs_preparation(folder):
        prepare_models(folder)
    return folder


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
