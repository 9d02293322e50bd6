"""Fixtures of the pipeline's tests: real models, real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext


@pytest.fixture(scope="session")
def shared_context(tmp_path_factory: pytest.TempPathFactory, models: Path) -> BuildContext:
    """A context whose artifacts all tests share, for tests that do not look at reuse."""
    return BuildContext(ArtifactStore(tmp_path_factory.mktemp("artifacts")), models)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """An empty store."""
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def context(store: ArtifactStore, models: Path) -> BuildContext:
    """A context with an empty store."""
    return BuildContext(store, models)
