"""The measuring lease: one holder on a host, freed with its process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from autorag.errors import WorkCancelled
from collectors.lease import lease_file, measuring_lease

HOLDER = """
import sys, time
from collectors.lease import measuring_lease
with measuring_lease():
    print("held", flush=True)
    sys.stdin.readline()
print("free", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def lease_of_this_test(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """A lease that no other measurement on this host holds."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@contextmanager
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease until it is written to."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def taken_within(seconds: float) -> bool:
    try:
        with measuring_lease(deadline=time.monotonic() + seconds):
            return True
    except TimeoutError:
        return False


def test_the_file_belongs_to_this_user(tmp_path: object) -> None:
    assert lease_file().parent == tmp_path


def test_two_processes_exclude_each_other() -> None:
    with holder() as other:
        assert not taken_within(0.5)
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        assert taken_within(5)


def test_a_killed_holder_frees_it() -> None:
    with holder() as other:
        assert not taken_within(0)
        other.kill()
        other.wait()
        assert taken_within(5)


def test_it_is_freed_by_an_error() -> None:
    with pytest.raises(ValueError, match="inside"), measuring_lease():
        raise ValueError("inside")
    assert taken_within(0)


def test_two_threads_exclude_each_other() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with measuring_lease():
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    assert not taken_within(0.3)
    done.set()
    thread.join()
    assert taken_within(5)


def test_who_waits_is_told_once() -> None:
    told: list[str] = []
    deadline = time.monotonic() + 2
    with (
        holder(),
        pytest.raises(TimeoutError, match="another process"),
        measuring_lease(deadline, lambda: told.append("waiting")),
    ):
        pass
    assert told == ["waiting"]
    with measuring_lease(waiting=lambda: told.append("again")):
        assert told == ["waiting"]


def test_waiting_can_be_ended() -> None:
    def enough() -> None:
        raise WorkCancelled("enough")

    with holder(), pytest.raises(WorkCancelled, match="enough"), measuring_lease(poll=enough):
        pass
    with measuring_lease(poll=enough):
        pass
