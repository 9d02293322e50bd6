"""Counters that are closed, and blocks with a known effect."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import pytest

from collectors.counters import Counters
from collectors.counters.source import Source

Block = Callable[[], object]
Measure = Callable[[Block], Mapping[str, float | None]]

PAGE = mmap.PAGESIZE


@pytest.fixture
def counters() -> Iterator[Counters]:
    with closing(Counters()) as opened:
        yield opened


@pytest.fixture
def measure(counters: Counters) -> Measure:
    """Runs a block and gives its counters."""

    def run(block: Block) -> Mapping[str, float | None]:
        with counters:
            block()
        return counters.values

    return run


def around(source: Source, block: Block) -> dict[str, float]:
    """What one source says of a block."""
    begun = [call() for call in source.begins]
    block()
    ended = [call() for call in reversed(source.ends)]
    return source.values(begun, ended[::-1])


def nothing() -> None:
    """A block that does nothing."""


def burn(cpu_s: float) -> None:
    """Keep this thread's core busy for so many seconds of its own."""
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


def touch(mb: int) -> mmap.mmap:
    """Fresh memory of which every page was written to."""
    memory = mmap.mmap(-1, mb * 1_000_000)
    for start in range(0, len(memory), PAGE):
        memory[start] = 1
    return memory


def known(value: float | None) -> float:
    """A value that this test's host must tell."""
    assert value is not None
    return value
