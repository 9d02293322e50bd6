"""Hypothesis without deadlines: a busy machine is no failure. Models that all tests share."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import is_hypothesis_test, settings

from collectors.prepare import needs_preparation, prepare_models

settings.register_profile("autorag", deadline=None)
settings.load_profile("autorag")

# Threads of OpenMP (torch, faiss) that wait for each other sleep. By default they spin, which is
# quicker where every thread has a core of its own; where several tests run it takes most of the
# time of all. Processes that tests start inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

TRACED_EXAMPLES = 25
"""Examples of a property during which coverage is traced, which doubles what they take; the others
reach hardly a line that these did not."""


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let no property be traced for longer than pays."""
    tests = {item.obj for item in items if isinstance(item, pytest.Function)}
    for test in filter(is_hypothesis_test, tests):
        handle = getattr(test, "__func__", test).hypothesis
        handle.inner_test = traced_at_first(handle.inner_test)


def traced_at_first(test: Callable[..., Any]) -> Callable[..., Any]:
    """The test, which ends tracing after some examples; parameters are counted each."""
    seen: Counter[str | None] = Counter()

    @wraps(test)
    def run(*args: Any, **named: Any) -> Any:
        now = os.environ.get("PYTEST_CURRENT_TEST")
        seen[now] += 1
        if seen[now] > TRACED_EXAMPLES and "coverage" in type(sys.gettrace()).__module__:
            sys.settrace(None)
        return test(*args, **named)

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Trace again what comes after a property."""
    tracer = sys.gettrace()
    try:
        yield
    finally:
        sys.settrace(tracer)
