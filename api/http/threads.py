"""Threads for what the event loop must not wait for: reads of the database have some of their own,
so that nothing which takes long holds them up.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from store.database import Database, Session

READERS = 8

P = ParamSpec("P")
T = TypeVar("T")


class Reads:
    """Reads a database. Use as a context manager."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(READERS, "database-reads")

    def __enter__(self) -> Reads:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def read(self, look: Callable[[Session], T]) -> T:
        """What ``look`` finds in one state of the database.

        Raises:
            StoreError: the database cannot be read.
        """
        loop, context = asyncio.get_running_loop(), copy_context()
        return await loop.run_in_executor(
            self._threads, lambda: context.run(self._database.read, look)
        )


def apart(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Future[T]:
    """Do work that may take long in a thread for it alone. It cannot be broken off, and does not
    keep the process from ending."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work(*arguments, **named))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name=getattr(work, "__name__", None), daemon=True).start()
    return done
