"""Kills a process of the service between two statements. Every Python process that has this folder
on ``PYTHONPATH`` loads it when it starts.

``CRASH_ROLE`` names the processes that are meant: ``server``, ``worker``, or ``job`` for one that a
worker made. Such a process kills itself at the point ``CRASH_POINT`` of what it writes, counted
from its start, and tells the file ``CRASH_LOG`` where that was. Points are: before every statement
of a transaction that writes, and before and after its commit.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from typing import Any

_STATEMENT = re.compile(
    r"\s*(?:(SELECT|DELETE)\b(?s:.*?)\bFROM\s+(\w+)|(\w+(?: OR \w+)?(?: INTO)?)\s*(\w*))"
)

_UNNAMED = ("SAVEPOINT", "RELEASE", "ROLLBACK")
"""Statements whose names tell nothing."""


def _role() -> str:
    command = " ".join(sys.orig_argv)
    for part, role in (
        ("multiprocessing.spawn", "job"),
        ("api.cli.worker", "worker"),
        (" serve", "server"),
    ):
        if part in command:
            return role
    return ""


def _shown(statement: str) -> str:
    """What a statement does, and to which table."""
    found = _STATEMENT.match(statement)
    if found is None:
        return "a statement"
    verb, *names = filter(None, found.groups())
    return verb if verb in _UNNAMED else " ".join([verb, *names])


def _arm(role: str, last: int, log: str) -> None:
    from sqlalchemy import Engine, event
    from sqlalchemy.engine.default import DefaultDialect

    lock, here = threading.Lock(), threading.local()
    passed = 0

    def point(where: str) -> None:
        nonlocal passed
        with lock:
            passed += 1
            if passed == last:
                with open(log, "a") as file:
                    file.write(f"{role} {where}\n")
                os.kill(os.getpid(), signal.SIGKILL)

    def statement(connection: Any, cursor: Any, text: str, *_: Any) -> None:
        if not connection.get_execution_options().get("autorag_reads"):
            point(f"before {_shown(text)}")

    def committing(connection: Any) -> None:
        here.reads = connection.get_execution_options().get("autorag_reads", False)

    commit: Any = DefaultDialect.do_commit

    def do_commit(dialect: Any, connection: Any) -> None:
        if getattr(here, "reads", False):
            commit(dialect, connection)
            return
        point("before COMMIT")
        commit(dialect, connection)
        point("after COMMIT")

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", committing)
    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


if os.environ.get("CRASH_ROLE") == (_mine := _role()) and _mine:
    _arm(_mine, int(os.environ["CRASH_POINT"]), os.environ["CRASH_LOG"])
