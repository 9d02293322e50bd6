"""Hypothesis without deadlines: a busy machine is no failure. Models that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from collectors.prepare import needs_preparation, prepare_models

settings.register_profile("autorag", deadline=None)
settings.load_profile("autorag")


@pytest.fixture(scope="session")
def models(request: pytest.FixtureRequest) -> Path:
    """Prepared models, kept in pytest's cache, because making them takes up to a minute. Of the
    processes that run tests one makes them."""
    assert request.config.cache is not None
    folder = request.config.cache.mkdir("autorag-models")
    with FileLock(folder / "lock"):
        if needs_preparation(folder):
            prepare_models(folder)
    return folder
