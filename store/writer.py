"""The batching writer: one thread that writes to a database, many callers that wait for it.

A transaction costs a synchronisation with the disk whatever its size. Callers hand in *jobs*
(functions of a connection); the writer runs all that wait in one transaction and then tells every
caller, so that what a caller was told of is on disk. Each runs within a savepoint, so that one that
fails is undone alone; it runs once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from autorag.errors import BusyError, StoreError
from store.engine import store_errors

T = TypeVar("T")
Job = Callable[[Connection], Any]

WAITING_JOBS = 256
"""Jobs that may wait; more are refused."""

BATCH_JOBS = 64

_FAILED = "the database could not be written"


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: Job
    done: Future[Any] = field(default_factory=Future)


class BatchWriter:
    """Runs jobs in the order in which they were handed in. Use as a context manager: leaving it
    finishes what waits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(WAITING_JOBS)
        self._closed = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def __enter__(self) -> BatchWriter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._closed:
            self._open = False
        self._queue.put(None)
        self._thread.join()

    @property
    def waiting(self) -> int:
        """Jobs that wait, about."""
        return self._queue.qsize()

    def submit(self, job: Callable[[Connection], T]) -> Future[T]:
        """Hand in a job; its result is there once it is on disk.

        Raises:
            BusyError: too many jobs wait.
            StoreError: the writer was closed.
        """
        waiting = _Waiting(job)
        with self._closed:
            if not self._open:
                raise StoreError("the database writer was closed")
            try:
                self._queue.put_nowait(waiting)
            except queue.Full:
                raise BusyError("the database cannot keep up") from None
        return waiting.done

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = self._gather(first)
            self._write([w for w in batch if w.done.set_running_or_notify_cancel()])
            if last:
                return

    def _gather(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        """What waits now, and whether nothing comes after it."""
        batch = [first]
        while len(batch) < BATCH_JOBS:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                return batch, True
            batch.append(waiting)
        return batch, False

    def _write(self, batch: list[_Waiting]) -> None:
        """Write all in one transaction. When that fails itself (it cannot begin or commit, or the
        connection is lost), nothing of it is on disk and everybody is told so."""
        try:
            with store_errors(_FAILED), self._engine.begin() as connection:
                ended = [_attempt(w.job, connection, alone=len(batch) == 1) for w in batch]
        except Exception as error:
            for waiting in batch:
                waiting.done.set_exception(error)
            return
        for waiting, (result, failure) in zip(batch, ended, strict=True):
            if failure is None:
                waiting.done.set_result(result)
            else:
                waiting.done.set_exception(failure)


def _attempt(job: Job, connection: Connection, *, alone: bool) -> tuple[Any, Exception | None]:
    """The result of a job, or why it failed; then nothing of it is left. One that is alone in its
    transaction fails with that."""
    if alone:
        return job(connection), None
    savepoint = connection.begin_nested()
    try:
        with store_errors(_FAILED):
            result = job(connection)
    except Exception as error:
        savepoint.rollback()
        return None, error
    savepoint.commit()
    return result, None
