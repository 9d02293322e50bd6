"""A service that is killed and started again on the same files and the same port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2
import psutil
from sqlalchemy import Engine, func, inspect, select, text, update

from autorag.ports import SystemClock
from store.database import Database
from store.engine import connect, reading, telemetry_url
from store.tables import jobs, traces
from tests.api.command import SCRIPT, Command
from tests.api.working import Place

KEY = "an-admin-key-for-tests-only"
HOOK = Path(__file__).parent / "hook"
WITHIN_S = 60.0
SHOWN_CHARS = 2000

MOST_REQUESTS = 24
"""Fewer than clients, so that some are answered 503 without any kill."""

KEPT_DAYS = 3650
"""Longer than the age that the times of the traces have by now."""


@dataclass(frozen=True)
class Killed:
    """One kill: what was killed, and where in its work or how long after the start."""

    role: str
    where: str


@dataclass
class Victim:
    """The service, its files and its workers.

    Attributes:
        url: of its database.
        errors: what it logged as errors.
        failures: of these what it did not foresee, with the end of the traceback.
    """

    command: Command
    url: str
    workers: int
    data: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    lives: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def place(self) -> Place:
        """Its home, to look for processes."""
        engine = connect(self.url)
        return Place(self.command, self.data, engine, Database(engine, SystemClock()))

    # -- living and dying ----------------------------------------------------------------------

    def start(self, role: str = "", point: int = 0) -> None:
        """Start it; a process of this role kills itself at this point of its writing."""
        self.lives += 1
        self._log().unlink(missing_ok=True)
        armed = {"CRASH_ROLE": role, "CRASH_POINT": str(point), "CRASH_LOG": str(self._log())}
        with self._said().open("wb") as said:
            self.process = subprocess.Popen(
                [str(SCRIPT), "serve", "--port", str(self.port), "--workers", str(self.workers)],
                env={**self._environment(), **(armed if role else {})},
                cwd=self.command.temporary,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )

    def wait_until_ready(self) -> bool:
        """Whether it answers; False when it died before."""
        until = time.monotonic() + WITHIN_S
        while self.alive():
            assert time.monotonic() < until, f"it did not start: {self._said().read_text()}"
            try:
                if httpx2.get(f"{self.address}/readyz", timeout=WITHIN_S).status_code == 200:
                    return True
            except httpx2.TransportError:
                pass
            time.sleep(0.02)
        return False

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Kill it, unless it has done so itself; what it started must be dead after that, too."""
        assert self.process is not None
        self.process.kill()
        code = self.process.wait()
        assert code == -9, f"it ended by itself with {code}: {self._said().read_text()}"
        self._note_errors()
        if left := self.place.left():
            raise AssertionError(f"processes outlived the service: {left}")
        self.free_jobs()

    def stop(self) -> None:
        """Leave nothing behind."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def killed_themselves(self) -> list[Killed]:
        """Processes of this life that came to their point."""
        if not self._log().exists():
            return []
        lines = self._log().read_text().splitlines()
        return [Killed(*line.split(" ", 1)) for line in lines]

    def kill_one(self, role: str, moment: float) -> bool:
        """Kill a worker, or a process that a worker made for a job; whether there was one."""
        assert self.process is not None
        part = {"worker": "api.cli.worker", "job": "multiprocessing.spawn"}[role]
        until = time.monotonic() + moment
        while time.monotonic() < until and self.alive():
            for process in _descendants(self.process.pid):
                if part in _command_line(process):
                    try:
                        process.kill()
                    except psutil.NoSuchProcess:
                        continue
                    return True
            time.sleep(0.005)
        return False

    # -- jobs ------------------------------------------------------------------------------------

    def free_jobs(self) -> None:
        """Let the leases of dead workers expire now, and failed jobs be tried again now: waiting
        for both takes half a minute each time."""
        engine = connect(self.url)
        try:
            if not inspect(engine).has_table(jobs.name):
                return  # it was killed while it made its tables
            with engine.begin() as connection:
                held = connection.execute(
                    select(jobs.c.id, jobs.c.lease).where(jobs.c.lease.is_not(None))
                ).all()
                dead = [row.id for row in held if not psutil.pid_exists(_pid(row.lease))]
                mine = update(jobs).where(jobs.c.id.in_(dead))
                connection.execute(mine.values(lease_until=0))
                waiting = update(jobs).where(jobs.c.state == "queued")
                connection.execute(waiting.values(due_at=0))
        finally:
            engine.dispose()

    def wait_until_done(self) -> None:
        """Return when no job is queued or running and all telemetry has settled."""
        until = time.monotonic() + WITHIN_S * 2
        with self.engines() as (control, telemetry):
            while time.monotonic() < until:
                live = select(func.count()).where(jobs.c.state.in_(("queued", "running")))
                waiting = select(func.count()).where(traces.c.settled < traces.c.version)
                with reading(control) as one, reading(telemetry) as other:
                    if one.scalar(live) == 0 and other.scalar(waiting) == 0:
                        return
                time.sleep(0.2)
                self.free_jobs()

    # -- looking ---------------------------------------------------------------------------------

    @contextmanager
    def engines(self) -> Iterator[tuple[Engine, Engine]]:
        """Its databases."""
        both = connect(self.url), connect(telemetry_url(self.url), synchronous="NORMAL")
        try:
            yield both
        finally:
            for engine in both:
                engine.dispose()

    def unsound(self) -> list[str]:
        """What SQLite finds wrong in its files."""
        found = []
        with self.engines() as both:
            if both[0].dialect.name != "sqlite":
                return []
            for name, engine in zip(("control", "telemetry"), both, strict=True):
                with reading(engine) as connection:
                    for check in ("integrity_check", "foreign_key_check"):
                        rows = connection.execute(text(f"PRAGMA {check}")).all()
                        if [tuple(row) for row in rows] not in ([("ok",)], []):
                            found.append(f"{name}: {check}: {rows[:5]}")
        return found

    # -- inside ------------------------------------------------------------------------------------

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AUTORAG_", "CRASH_"))}
        return {
            **kept,
            "AUTORAG_HOME": str(self.command.home),
            "AUTORAG_DB": self.url,
            "AUTORAG_ADMIN_KEY": KEY,
            "AUTORAG_DATA_DIR": str(self.data),
            "AUTORAG_ALLOWED_NETWORKS": "127.0.0.0/8",
            "AUTORAG_RATE_PER_S": "0",
            "AUTORAG_MOST_REQUESTS": str(MOST_REQUESTS),
            "AUTORAG_RETENTION_DAYS": str(KEPT_DAYS),
            "AUTORAG_ROLLUP_DAYS": str(KEPT_DAYS),
            "AUTORAG_LOG_FORMAT": "json",
            "AUTORAG_LOG_LEVEL": "WARNING",
            "TMPDIR": str(self.command.temporary),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(HOOK), os.environ.get("PYTHONPATH")])),
        }

    def _said(self) -> Path:
        return self.command.home.with_name("service.err")

    def _log(self) -> Path:
        return self.command.home.with_name("points")

    def _note_errors(self) -> None:
        bare: list[str] = []
        for line in self._said().read_text(encoding="utf-8").splitlines():
            try:
                told: dict[str, Any] = json.loads(line)
            except ValueError:  # a greeting, a traceback of no logger, or cut short by a kill
                bare.append(line)
                continue
            if "exc_info" in told:
                self.failures[f"{told['message']} {told['exc_info'][-SHOWN_CHARS:]}"] += 1
            elif told["level"] in ("ERROR", "CRITICAL"):
                self.errors[told["message"]] += 1
        shown = "\n".join(bare)
        if "Traceback" in shown:
            self.failures[shown[-SHOWN_CHARS:]] += 1


def new_victim(folder: Path, url: str, data: Path, workers: int) -> Victim:
    """A service with an empty home in a folder, which has not been started."""
    command = Command(folder / "home", folder / "tmp")
    for made in (command.home, command.temporary):
        made.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return Victim(command, url, workers, data, port)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return found


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def _pid(lease: str) -> int:
    """The worker of a lease: ``host-PID-random``."""
    return int(lease.rsplit("-", 2)[1])
