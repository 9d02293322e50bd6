"""Running ``autorag worker`` processes, for tests that give them work."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select, update

from api.delivery import register
from api.jobs import check_arguments
from api.spaces import Spaces
from autorag.apps import App, Revision
from autorag.jobs import Job, JobKind
from autorag.ports import SystemClock
from store.apps import NewApp
from store.database import Database, Session
from store.engine import open_database, reading
from store.tables import jobs, trials
from tests.api.command import SCRIPT, Command
from tests.store.backends import new_sqlite

WITHIN_S = 300.0
"""Longest wait: workers are nice, and wait for whatever else runs."""
OBJECTIVE = "max ndcg_at_10 subject to context_tokens <= 2000"
TINY: dict[str, Any] = {"trials": 2, "budget": "none", "strategy": "random"}


@dataclass(frozen=True)
class Place:
    """A home with its database, the folder that apps' documents lie in, and workers."""

    command: Command
    data: Path
    engine: Engine
    database: Database
    spaces: Spaces = field(default_factory=Spaces)

    # -- apps and jobs ----------------------------------------------------------------------

    def app(
        self,
        name: str,
        settings: Mapping[str, Any] | None = None,
        *,
        space: Mapping[str, Any] | None = None,
        objective: str = OBJECTIVE,
        **workload: str,
    ) -> App:
        """Register an app that runs with these settings and is measured so."""
        new = NewApp(name, space, objective, "auto", None)

        def work(session: Session) -> App:
            made = register(session, new, settings or {}, self.spaces.of)
            session.apps.change(made.id, **workload)
            return session.apps.get(name)

        return self.database.write(work)

    def enqueue(
        self, kind: JobKind, app: App | None = None, *, most_attempts: int = 3, **arguments: Any
    ) -> Job:
        """Queue a job."""
        asked = check_arguments(kind, arguments)
        app_id = None if app is None else app.id
        return self.database.write(
            lambda s: s.jobs.enqueue(kind, app_id, asked, most_attempts=most_attempts)
        )

    def job(self, job_id: int) -> Job:
        return self.database.read(lambda s: s.jobs.get(job_id))

    def revisions(self, app: App) -> list[Revision]:
        return self.database.read(lambda s: s.revisions.newest(app.id, 100))

    def wait(self, job_id: int, until: Callable[[Job], bool]) -> Job:
        """The job once this holds."""
        give_up = time.monotonic() + WITHIN_S
        while not until(job := self.job(job_id)):
            assert time.monotonic() < give_up, f"it did not happen: {job}\n{self.said()}"
            time.sleep(0.02)
        return job

    def ended(self, job_id: int) -> Job:
        """The job once it has ended."""
        return self.wait(job_id, lambda job: job.state not in ("queued", "running"))

    def begun(self, schedule: int) -> int:
        """The job that a schedule began, once it did."""
        give_up = time.monotonic() + WITHIN_S
        while (job := self.database.read(lambda s: s.schedules.get(schedule)).last_job) is None:
            assert time.monotonic() < give_up, self.said()
            time.sleep(0.02)
        return job

    def make_due(self, job_id: int) -> None:
        """Let a job not wait out its pause or its lease."""
        mine = update(jobs).where(jobs.c.id == job_id)
        with self.engine.begin() as connection:
            connection.execute(mine.values(due_at=0))
            connection.execute(mine.where(jobs.c.lease.is_not(None)).values(lease_until=0))

    def trials(self) -> list[tuple[int, int, str, int, str]]:
        """(id, study, side, number, state) of every trial."""
        c = trials.c
        query = select(c.id, c.study_id, c.split, c.number, c.state).order_by(c.id)
        with reading(self.engine) as connection:
            return [tuple(row) for row in connection.execute(query)]

    # -- workers ----------------------------------------------------------------------------

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker while the block runs."""
        with self.errors().open("ab") as said:
            process = subprocess.Popen(
                [str(SCRIPT), "worker"],
                env=self.environment(),
                cwd=self.command.temporary,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(WITHIN_S)

    def environment(self) -> dict[str, str]:
        """Of a worker of this home."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AUTORAG_")}
        return {
            **kept,
            "AUTORAG_HOME": str(self.command.home),
            "AUTORAG_DATA_DIR": str(self.data),
            "AUTORAG_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TMPDIR": str(self.command.temporary),
        }

    def errors(self) -> Path:
        return self.command.home.with_name("workers.err")

    def said(self) -> str:
        """What the workers wrote to standard error."""
        return self.errors().read_text(encoding="utf-8") if self.errors().exists() else ""

    def processes(self) -> list[int]:
        """Processes of this home, however they came to be."""
        mine = f"AUTORAG_HOME={self.command.home}\0".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes()
                alive = b"State:\tZ" not in (entry / "status").read_bytes()
            except OSError:
                continue
            if alive and mine in environment + b"\0":
                found.append(int(entry.name))
        return found

    def left(self, within_s: float = 30.0) -> list[int]:
        """Processes that are still there after a moment."""
        until = time.monotonic() + within_s
        while (found := self.processes()) and time.monotonic() < until:
            time.sleep(0.02)
        return found


@contextmanager
def place_of(command: Command, data: Path) -> Iterator[Place]:
    """The place of a command's home."""
    engine = open_database(new_sqlite(command.home / "autorag.db"))
    yield Place(command, data, engine, Database(engine, SystemClock()))
    engine.dispose()
