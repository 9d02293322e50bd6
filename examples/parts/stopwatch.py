"""What an app itself sees of a question: its stages by its own clock, and its tokens."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from parts.answering import Piece


class Stopwatch:
    """Milliseconds by stage. A stage that runs twice adds up; one stage may lie inside another."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.stages: dict[str, float] = {}
        self.first_token_ms: float | None = None
        self.usage: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + _ms_since(started)

    def generation(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The stage ``generate``, within it the time to the first piece of text, and the tokens."""
        started = time.perf_counter()
        with self.stage("generate"):
            for piece in pieces:
                if self.first_token_ms is None and piece.text:
                    self.first_token_ms = _ms_since(started)
                self.usage = piece.usage or self.usage
                yield piece


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3
