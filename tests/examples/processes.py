"""Example apps that keep running, as processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.examples.running import FOLDER, FOREIGN

WITHIN_S = 120.0
FIRST_SPANS_MS = "200"
"""Spans are sent that soon, so that a test need not wait for them."""


@dataclass(frozen=True)
class Running:
    """An app that answers."""

    process: subprocess.Popen[bytes]
    url: str
    errors: Path

    def post(self, path: str, body: Any = None) -> Any:
        answer = httpx2.post(f"{self.url}{path}", json=body or {}, timeout=WITHIN_S)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        return httpx2.get(f"{self.url}{path}", timeout=WITHIN_S).json()

    def said(self) -> str:
        """What it wrote."""
        return self.errors.read_text(encoding="utf-8")


@contextmanager
def running(folder: Path, script: str, *arguments: object, **environment: str) -> Iterator[Running]:
    """Run a script of ``examples/`` on a free port until the end of the block."""
    foreign = (*FOREIGN, "AUTORAG_")
    own = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    output = folder / f"{Path(script).parent.name}.out"
    with output.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, str(FOLDER / script), "--port", "0", *map(str, arguments)],
            env={**own, "OTEL_BSP_SCHEDULE_DELAY": FIRST_SPANS_MS, **environment},
            cwd=folder,
            stdout=said,
            stderr=said,
        )
    try:
        until(lambda: "answering at" in output.read_text() or process.poll() is not None)
        words = output.read_text(encoding="utf-8").split()
        assert process.poll() is None, " ".join(words)
        yield Running(process, words[words.index("at") + 1], output)
    finally:
        process.terminate()
        process.wait(WITHIN_S)


def until(condition: Callable[[], Any], within_s: float = WITHIN_S) -> float:
    """Seconds until it holds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, "it did not happen"
        time.sleep(0.01)
    return time.monotonic() - started
