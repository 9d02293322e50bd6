"""The workers of a service: as many as asked for, as long as it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.supervisor import Supervisor
from tests.api.command import Command
from tests.api.working import WITHIN_S, Place, place_of

SERVICE = """
import os, sys, time
from api.supervisor import Supervisor
with Supervisor(2, sys.argv[1]):
    time.sleep(600)
"""


@pytest.fixture
def place(autorag: Command, tmp_path: Path) -> Iterator[Place]:
    with place_of(autorag, tmp_path) as place:
        yield place


def url(place: Place) -> str:
    return place.engine.url.render_as_string()


def until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.02)


def test_workers_work_and_end_with_the_service(place: Place) -> None:
    with Supervisor(2, url(place), place.environment()) as supervisor:
        assert place.ended(place.enqueue("prune").id).state == "done"
        assert len(supervisor.pids()) == 2
    assert place.left() == []


def test_a_worker_that_dies_is_replaced(place: Place) -> None:
    with Supervisor(1, url(place), place.environment()) as supervisor:
        until(lambda: len(supervisor.pids()) == 1)
        (first,) = supervisor.pids()
        os.kill(first, signal.SIGKILL)
        until(lambda: supervisor.pids() not in ([], [first]))
        assert place.ended(place.enqueue("prune").id).state == "done"


def test_there_is_a_pause_after_a_worker_that_could_not_be_started(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    supervisor = Supervisor(1, url(place), place.environment())
    (worker,) = supervisor._workers
    pauses = []
    for _ in range(8):
        worker.start_at = 0.0
        for _ in range(3):
            supervisor._look_after(worker)
        pauses.append(worker.pause_s)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [
        "a worker could not be started"
    ] * 8


def test_workers_stop_while_the_service_still_does(place: Place) -> None:
    with Supervisor(1, url(place), place.environment()) as supervisor:
        assert place.ended(place.enqueue("prune").id).state == "done"
        supervisor.stop()
        until(lambda: supervisor.pids() == [])
    assert place.left() == []


def test_none_can_be_asked_for(place: Place) -> None:
    with Supervisor(0, url(place), place.environment()) as supervisor:
        assert supervisor.pids() == []


def test_workers_do_not_get_the_admin_key(place: Place) -> None:
    environment = {**place.environment(), "AUTORAG_ADMIN_KEY": "k" * 24}
    with Supervisor(1, url(place), environment) as supervisor:
        until(lambda: len(supervisor.pids()) == 1)
        (pid,) = supervisor.pids()
        until(lambda: b"AUTORAG_HOME" in Path(f"/proc/{pid}/environ").read_bytes())
        assert b"k" * 24 not in Path(f"/proc/{pid}/environ").read_bytes()


def test_workers_die_with_a_service_that_is_killed(place: Place) -> None:
    service = subprocess.Popen([sys.executable, "-c", SERVICE, url(place)], env=place.environment())
    try:
        assert place.ended(place.enqueue("prune").id).state == "done"
        assert len(place.processes()) >= 3
    finally:
        service.kill()
        service.wait()
    assert place.left() == []
