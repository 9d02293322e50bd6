"""Workers: processes that run jobs, one at a time, and short ones beside it.

A worker looks for due work, claims it, and hands it to a ``concurrent.futures.Executor`` as
:func:`run_job` with arguments that are JSON, so that another executor (Dask's
``Client.get_executor()``) can stand in for the default, a process of its own for every job. What
runs the job renews its lease, tells its progress and records its end; the worker only looks after
that process: one that is killed fails the job, which is tried again, and when the worker is told
to stop, the job is queued again as if it had not begun. Nobody leaves anything behind: processes
die with the one that started them.

Workers are nice to the service: :func:`api.cli.worker.run_worker` lowers their priority, and the
processes that measure inherit it. On a machine that is busy otherwise a measurement waits more; its
CPU pressure tells, and it is repeated.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import platform
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

from api.logs import set_up_logging
from api.settings import SECRETS, Settings
from autorag.errors import AutoragError, InputError, WorkCancelled
from autorag.jobs import KINDS, Job, JobKind
from autorag.ports import SystemClock
from collectors.trial_process import die_with_parent
from store.database import Database, Session
from store.engine import open_database
from store.jobs import Beat

log = logging.getLogger(__name__)

LEASE_S = 30
BEAT_S = 5.0
POLL_S = 0.5
PROGRESS_S = 0.5
"""Progress is written no more often."""

STOP_S = 5.0
"""How long a job may take to stop by itself before its process is killed."""

TROUBLED_S = 5.0
"""Pause when the database fails."""

RECORD_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
SCHEDULES_AT_ONCE = 100
CLOCKS_EVERY_S = 60.0
NICENESS = 10

BESIDE: tuple[JobKind, ...] = ("prune",)
"""Kinds that measure nothing and are soon done: one of them runs beside any other job, so that a
tune of a day holds up no pruning."""

_stopping = threading.Event()
"""Set in a process that was made for one job, when its worker wants it back."""


class Worker:
    """Runs jobs until it is stopped.

    Args:
        executors: makes the executor of one job.
    """

    def __init__(
        self,
        settings: Settings,
        database_url: str,
        executors: Callable[[], Executor] | None = None,
    ) -> None:
        self._settings = settings.model_dump(mode="json", exclude=set(SECRETS))
        self._url = database_url
        self._executors = executors or partial(own_process, self._settings)

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set.

        Raises:
            StoreError: the database cannot be opened.
        """
        engine = open_database(self._url)
        database = Database(engine, SystemClock())
        running: list[_Running] = []
        look_at = time.monotonic()
        try:
            while not stop.is_set():
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + CLOCKS_EVERY_S
                    _set_back(database)
                running = [r for r in running if not _has_ended(database, r)]
                job = _next(database, stop, _may_begin(running))
                if job is not None:
                    running += self._begin(database, job)
                elif running:
                    wait([r.future for r in running], POLL_S, FIRST_COMPLETED)
                else:
                    stop.wait(POLL_S)
        finally:
            _give_back(database, running)
            engine.dispose()

    def _begin(self, database: Database, job: Job) -> list[_Running]:
        """Have a job run; nothing when that cannot be."""
        assert job.lease is not None
        log.info("job %d (%s) begins, attempt %d", job.id, job.kind, job.attempts)
        executor = self._executors()
        try:
            future = executor.submit(run_job, self._url, job.id, job.lease, self._settings)
        except Exception as error:
            _fail(database, job.id, job.lease, error)
            executor.shutdown(wait=False)
            return []
        return [_Running(job.id, job.kind, job.lease, executor, future)]


@dataclass(frozen=True)
class _Running:
    """A job that runs."""

    id: int
    kind: JobKind
    lease: str
    executor: Executor
    future: Future[None]


def own_process(settings: Mapping[str, Any]) -> Executor:
    """A process for one job."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, initializer=_begin, initargs=(os.getpid(), settings))


def run_job(database_url: str, job_id: int, lease: str, settings: Mapping[str, Any]) -> None:
    """Run a job that was claimed, and record its end.

    Args:
        settings: as JSON.
    """
    engine = open_database(database_url)
    try:
        held = Held(Database(engine, SystemClock()), job_id, lease)
        with held:
            _run(held, database_url, settings)
    finally:
        engine.dispose()


class Held:
    """A job whose lease is held: a thread renews it while the block runs, and hears whether the job
    is to stop."""

    def __init__(self, database: Database, job_id: int, lease: str) -> None:
        self.database = database
        self.job_id = job_id
        self.lease = lease
        self._progress: Mapping[str, Any] | None = None
        self._heard: Beat = "go on"
        self._news = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Held:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._news.set()
        self._thread.join()

    def progress(self, told: Mapping[str, Any]) -> None:
        """Tell how far the work is; what was told last is written soon."""
        self._progress = dict(told)
        self._news.set()

    def cancelled(self) -> bool:
        """Whether the work is to stop."""
        return self._heard != "go on" or _stopping.is_set()

    def conclude(self, make: Callable[[Session], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Record that it is done, with the result that is made in the same transaction.

        Raises:
            WorkCancelled: the lease was lost.
        """

        def work(session: Session) -> Mapping[str, Any]:
            result = make(session)
            if not session.jobs.finish(self.job_id, self.lease, result):
                raise WorkCancelled("somebody else has this job now")
            return result

        return self.database.write(work)

    def _keep(self) -> None:
        while not self._ended.is_set():
            self._beat()
            self._ended.wait(PROGRESS_S)
            self._news.wait(BEAT_S - PROGRESS_S)
            self._news.clear()

    def _beat(self) -> None:
        told, self._progress = self._progress, None
        try:
            self._heard = self.database.write(
                lambda session: session.jobs.beat(self.job_id, self.lease, LEASE_S, told)
            )
        except AutoragError as error:
            self._progress = self._progress or told
            log.warning("the lease of job %d could not be renewed: %s", self.job_id, error)


def _begin(worker: int, settings: Mapping[str, Any]) -> None:
    """Begin a process for one job: it dies with its worker, hears nothing of the worker's terminal,
    stops its work when it is told to end, and logs as its worker does."""
    die_with_parent(worker)
    os.setsid()
    signal.signal(signal.SIGTERM, _on_sigterm)
    set_up_logging(Settings(**settings))


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    _stopping.set()


def _run(held: Held, database_url: str, settings: Mapping[str, Any]) -> None:
    database, job_id, lease = held.database, held.job_id, held.lease
    try:
        result = _work(held, database_url, Settings(**settings))
    except WorkCancelled:
        log.info("job %d stops", job_id)
        if _stopping.is_set():
            _record(database, lambda session: session.jobs.release(job_id, lease))
        else:
            _record(database, lambda session: session.jobs.end_cancelled(job_id, lease))
    except Exception as error:
        ours, retry = isinstance(error, AutoragError), not isinstance(error, InputError)
        why = str(error) if ours else f"{type(error).__name__}: {error}"
        log.warning("job %d failed: %s", job_id, why, exc_info=not ours)
        _record(database, lambda session: session.jobs.fail(job_id, lease, why, retry=retry))
    else:
        log.info("job %d is done", job_id)
        _record(database, lambda session: session.jobs.finish(job_id, lease, result))


def _work(held: Held, database_url: str, settings: Settings) -> Mapping[str, Any]:
    from api.jobs import JobContext, run

    job = held.database.read(lambda session: session.jobs.get(held.job_id))
    app_id = job.app_id
    app = None
    if app_id is not None:
        app = held.database.read(lambda session: session.apps.by_id(app_id))
    return run(
        JobContext(
            settings,
            database_url,
            held.database,
            job,
            app,
            held.progress,
            held.cancelled,
            held.conclude,
        )
    )


def _set_back(database: Database) -> None:
    """Let schedules come in time that a clock which was ahead has put off."""
    try:
        ahead = database.read(lambda session: session.schedules.ahead())
        if ahead:
            database.write(lambda session: session.schedules.set_back(ahead))
            log.warning("schedules %s were set back: a clock was ahead", ahead)
    except AutoragError as error:
        log.warning("schedules could not be looked at: %s", error)


def _may_begin(running: Sequence[_Running]) -> list[JobKind]:
    """Kinds of which a job may begin beside those that run."""
    taken = {r.kind in BESIDE for r in running}
    return [kind for kind in KINDS if (kind in BESIDE) not in taken]


def _has_ended(database: Database, running: _Running) -> bool:
    """Whether a job has ended. It recorded that itself, unless its process was killed."""
    if not running.future.done():
        return False
    if (error := running.future.exception()) is not None:
        _fail(database, running.id, running.lease, error)
    running.executor.shutdown(wait=False)
    return True


def _fail(database: Database, job_id: int, lease: str, error: BaseException) -> None:
    why = f"the process that ran it ended: {error}"
    log.warning("job %d: %s", job_id, why)
    _record(database, lambda session: session.jobs.fail(job_id, lease, why, retry=True))


def _give_back(database: Database, running: Sequence[_Running]) -> None:
    """Stop what runs, and queue it again."""
    _stop([r.future for r in running])
    for each in running:
        _record(database, partial(_release, each.id, each.lease))
        each.executor.shutdown(wait=False, cancel_futures=True)


def _release(job_id: int, lease: str, session: Session) -> bool:
    return session.jobs.release(job_id, lease)


def _next(database: Database, stop: threading.Event, kinds: Sequence[JobKind]) -> Job | None:
    """Run the schedules that are due and claim a job of these kinds, if there is one; as long as
    there is not, the database is only read."""
    try:
        schedules, jobs = database.read(lambda s: (s.schedules.any_due(), s.jobs.any_due(kinds)))
        if schedules:
            database.write(lambda session: session.schedules.run_due(SCHEDULES_AT_ONCE))
        if schedules or jobs:
            lease = f"{platform.node()[:16]}-{os.getpid()}-{uuid.uuid4().hex}"
            return database.write(lambda session: session.jobs.claim(lease, LEASE_S, kinds))
    except AutoragError as error:
        log.warning("looking for work failed and is tried again: %s", error)
        stop.wait(TROUBLED_S)
    return None


def _stop(futures: Sequence[Future[None]]) -> None:
    """Have the processes of this worker end: by themselves, else killed. A job that runs elsewhere
    stops when it finds that its lease is gone."""
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    if children:
        wait(futures, STOP_S)
    for child in children:
        child.kill()
        child.join()


def _record(database: Database, write: Callable[[Session], bool]) -> None:
    """Write how a job went on, again when the database fails. When all tries do, its lease expires
    and it is claimed again."""
    for pause_s in RECORD_PAUSES_S:
        try:
            database.write(write)
            return
        except AutoragError as error:
            log.warning("how a job went on could not be recorded: %s", error)
            time.sleep(pause_s)
