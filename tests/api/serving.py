"""A running ``autorag serve``, for tests that speak to it."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.api.command import SCRIPT, Command

KEY = "an-admin-key-for-tests-only"
WITHIN_S = 30.0
"""Longest wait for something that takes a moment on an idle machine."""


@dataclass(frozen=True)
class Serving:
    """A service that runs.

    Attributes:
        key: its admin key; empty when it made one itself.
    """

    process: subprocess.Popen[bytes]
    home: Path
    url: str
    key: str

    def client(self, **headers: str) -> httpx2.Client:
        """A client of the service with its key."""
        mine = {"Authorization": f"Bearer {self.key}", **headers}
        return httpx2.Client(base_url=self.url, headers=mine, timeout=WITHIN_S)

    def said(self) -> str:
        """What it wrote to standard error."""
        return error_file(self.home).read_text(encoding="utf-8")

    def telemetry(self, query: str, *values: object) -> list[Any]:
        """Rows of the telemetry database."""
        path = self.home / "autorag-telemetry.db"
        with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()

    def wait_until_settled(self) -> None:
        """Return when no trace with an entry span waits to be settled."""
        waiting = "SELECT count(*) FROM traces WHERE settled < version AND entered"
        until = time.monotonic() + WITHIN_S
        while self.telemetry(waiting) != [(0,)]:
            assert time.monotonic() < until, "the traces did not settle"
            time.sleep(0.05)

    def peak_memory_mb(self) -> float:
        """Peak resident memory so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(li for li in status.splitlines() if li.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def end(self) -> int:
        """Ask it to end; returns its exit code."""
        self.process.terminate()
        return self.process.wait(WITHIN_S)


@contextmanager
def serving(
    command: Command,
    *options: object,
    key: str = KEY,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Serving]:
    """Run the service in the command's home, on a free port, with this admin key (none: it makes
    one); it ends with the block unless it ended before."""
    with started(command, "--port", 0, *options, key=key, environment=environment) as process:
        yield Serving(process, command.home, _url(process, command.home), key)


@contextmanager
def started(
    command: Command,
    *options: object,
    key: str = KEY,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """The service's process, whether it will serve or fail; see :func:`error_file`."""
    place = {"AUTORAG_HOME": str(command.home), "TMPDIR": str(command.temporary)}
    usual = {"AUTORAG_ADMIN_KEY": key, "AUTORAG_LOG_LEVEL": "WARNING", "COLUMNS": "300"}
    chosen = {**usual, **(environment or {})}
    with error_file(command.home).open("wb") as said:
        process = subprocess.Popen(
            [str(SCRIPT), "serve", *map(str, options)],
            env={**_surroundings(), **place, **chosen},
            cwd=command.temporary,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(WITHIN_S)


def error_file(home: Path) -> Path:
    """What the service of this home wrote to standard error, since it started last."""
    return home.with_name(f"{home.name}.err")


def bare_command(folder: Path) -> Command:
    """The command with an empty home, without models, in a folder."""
    command = Command(folder / "home", folder / "tmp")
    for made in (command.home, command.temporary):
        made.mkdir()
    return command


def _url(process: subprocess.Popen[bytes], home: Path) -> str:
    """The address that it listens on, once it says so."""
    until = time.monotonic() + WITHIN_S
    while True:
        said = error_file(home).read_text(encoding="utf-8")
        if (found := re.search(r"listens on (\S+)\n", said)) is not None:
            return found[1]
        assert process.poll() is None, f"it ended: {said}"
        assert time.monotonic() < until, f"it did not start: {said}"
        time.sleep(0.02)


def _surroundings() -> Mapping[str, str]:
    """The environment without what would change the service."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AUTORAG_")}
