"""The measuring lease: one timed trial runs at a time on a machine.

It is a lock on a file in the temporary folder that has the user's id in its name. So it holds among
the processes of one user that have the same temporary folder (``TMPDIR``), whatever their homes and
databases are. Those of other users, in containers, or with another ``TMPDIR`` do not see it: they
measure at the same time, and only CPU pressure tells.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.2


def lease_file() -> Path:
    """The lock that all processes of this user with this temporary folder share."""
    return Path(tempfile.gettempdir()) / f"autorag-measuring-{os.getuid()}.lock"


@contextmanager
def measuring_lease(
    deadline: float | None = None,
    waiting: Callable[[], None] | None = None,
    poll: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the lease. The kernel frees it when the process dies.

    Args:
        deadline: on ``time.monotonic``; past it ``TimeoutError`` is raised.
        waiting: called once when another process holds it.
        poll: called again and again meanwhile; what it raises ends the waiting.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(lease_file())
    told = False
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if waiting is not None and not told:
                waiting()
            told = True
            if poll is not None:
                poll()
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError("another process holds the measuring lease") from None
            time.sleep(POLL_S)
    try:
        yield
    finally:
        lock.release()
