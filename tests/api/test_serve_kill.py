"""What was answered with 200 is on disk, however the service ends, and nothing is there twice."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.command import Command
from tests.api.exports import a_trace, body, export
from tests.api.serving import WITHIN_S, Serving, bare_command, serving

SENDERS = 4
LOAD_S = 0.4
KILLS, MANY_KILLS = 4, 60

Ids = frozenset[tuple[bytes, bytes]]
"""(trace id, span id) of spans."""


@dataclass
class Load:
    """Senders that go on until the service does not answer: each trace comes in two requests,
    children before parents.

    Attributes:
        answered: spans of requests that were answered with 200.
        unanswered: bodies of requests that were not.
        names: traces that were sent.
    """

    answered: set[tuple[bytes, bytes]] = field(default_factory=set)
    unanswered: list[bytes] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def on(self, service: Serving) -> Iterator[None]:
        """Send while the block runs, in which the service must end."""
        senders = [threading.Thread(target=self._send, args=(service,)) for _ in range(SENDERS)]
        before = len(self.answered)
        for sender in senders:
            sender.start()
        until = time.monotonic() + WITHIN_S
        while len(self.answered) == before:
            assert time.monotonic() < until, "nothing was answered"
            time.sleep(0.001)
        yield
        for sender in senders:
            sender.join()

    def send_again(self, service: Serving) -> None:
        """What was not answered, as exporters do."""
        with service.client() as client:
            for content in self.unanswered:
                assert export(client, content).status_code == 200

    def _send(self, service: Serving) -> None:
        with service.client() as client:
            answering = True
            while answering:
                with self.lock:
                    name = f"trace {len(self.names)}"
                    self.names.append(name)
                parents, children = a_trace(name)[:2], a_trace(name)[2:]
                for spans in (children, parents):
                    content = body(spans)
                    answering = answering and _taken(client, content)
                    with self.lock:
                        if answering:
                            self.answered |= {(s.trace_id, s.span_id) for s in spans}
                        else:
                            self.unanswered.append(content)


def _taken(client: httpx2.Client, content: bytes) -> bool:
    """Whether a body was answered with 200 before the service ended."""
    try:
        while (status := export(client, content).status_code) == 503:
            time.sleep(0.05)
    except httpx2.TransportError:
        return False
    assert status == 200
    return True


def on_disk(home: Path) -> list[Any]:
    """(trace id, span id) of every row of a database that nobody has open."""
    with closing(sqlite3.connect(home / "autorag-telemetry.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute(
            "SELECT trace_id, span_id FROM spans JOIN traces ON id = trace"
        ).fetchall()


def assert_nothing_is_lost_or_twice(load: Load, home: Path) -> None:
    rows = on_disk(home)
    assert len(rows) == len(set(rows))
    assert load.answered - set(rows) == set()


def assert_all_settle_alike(load: Load, service: Serving) -> None:
    """Every trace has the observations of one that came in one piece, once all was sent again."""
    load.send_again(service)
    with service.client() as client:
        export(client, body(a_trace("whole")))
    service.wait_until_settled()
    columns = "number, at, o.phase, stage, metric, value, unit, confidence, o.weight"
    observed: dict[bytes, list[Any]] = {}
    for id_, *row in service.telemetry(
        f"SELECT trace_id, {columns} FROM observations o JOIN traces t ON t.id = o.trace "
        "ORDER BY trace_id, number"
    ):
        observed.setdefault(id_, []).append(row)
    assert len(observed) == len(load.names) + 1
    expected = observed[a_trace("whole")[0].trace_id]
    assert [rows for rows in observed.values() if rows != expected] == []


def kill_again_and_again(command: Command, kills: int, seed: int) -> None:
    load, moments = Load(), random.Random(seed)
    for _ in range(kills):
        with serving(command) as running, load.on(running):
            time.sleep(moments.uniform(0, LOAD_S))
            running.process.kill()
            running.process.wait()
        assert_nothing_is_lost_or_twice(load, command.home)
    with serving(command) as running:
        assert_all_settle_alike(load, running)
        assert "ERROR" not in running.said()


def test_nothing_that_was_answered_is_lost_by_a_kill(tmp_path: Path) -> None:
    kill_again_and_again(bare_command(tmp_path), KILLS, seed=1)


@pytest.mark.slow
def test_nothing_that_was_answered_is_lost_by_many_kills(tmp_path: Path) -> None:
    kill_again_and_again(bare_command(tmp_path), MANY_KILLS, seed=2)


def test_what_was_accepted_is_finished_when_it_is_asked_to_end(tmp_path: Path) -> None:
    command, load = bare_command(tmp_path), Load()
    with serving(command) as running, load.on(running):
        time.sleep(LOAD_S)
        assert running.end() == 0
        assert "ERROR" not in running.said()
    assert_nothing_is_lost_or_twice(load, command.home)
    assert not list(command.home.glob("*-wal"))
    with serving(command) as running:
        assert_all_settle_alike(load, running)
