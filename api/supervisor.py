"""The worker processes of ``autorag serve --workers N``.

They are started, started again when they die, after pauses that grow as long as they die young,
and stopped with the service. A service that is killed takes them along.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from api.settings import Settings

log = logging.getLogger(__name__)

POLL_S = 0.2
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
YOUNG_S = 60.0
"""A worker that lived longer is started again after the first pause."""

STOP_S = 8.0
"""How long workers may take to stop before they are killed."""

UNNEEDED = ("AUTORAG_ADMIN_KEY",)
"""Variables that workers do not get."""


def workers(settings: Settings) -> Supervisor:
    """The workers of a service with these settings."""
    return Supervisor(settings.workers, settings.database_url)


class Supervisor:
    """Keeps workers running while its block runs.

    Args:
        database_url: given to them by their environment, where a password in it is not seen by
            other users of the machine.
        environment: of the service.
    """

    def __init__(
        self, count: int, database_url: str, environment: Mapping[str, str] = os.environ
    ) -> None:
        kept = {name: text for name, text in environment.items() if name not in UNNEEDED}
        self._environment = {**kept, "AUTORAG_DB": database_url}
        self._workers = [_Worker() for _ in range(count)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def __enter__(self) -> Supervisor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Tell the workers to stop, without waiting for them; leaving the block does."""
        self._stop.set()

    def pids(self) -> list[int]:
        """The processes that run."""
        processes = [w.process for w in self._workers]
        return [p.pid for p in processes if p is not None and p.poll() is None]

    def _run(self) -> None:
        # Linux kills a worker with the thread that started it, not only with the process: this
        # thread starts all and outlives them.
        try:
            while not self._stop.is_set():
                for worker in self._workers:
                    self._look_after(worker)
                self._stop.wait(POLL_S)
        finally:
            self._end()

    def _look_after(self, worker: _Worker) -> None:
        now = time.monotonic()
        if worker.process is not None:
            if (code := worker.process.poll()) is None:
                return
            worker.process = None
            pause_s = worker.pause(now, young=now - worker.started < YOUNG_S)
            log.warning("a worker ended with %d; another in %.0f s", code, pause_s)
        if now >= worker.start_at:
            worker.process = self._start()
            worker.started = now
            if worker.process is None:
                worker.pause(now, young=True)

    def _start(self) -> subprocess.Popen[bytes] | None:
        program = [sys.executable, "-P", "-m", "api.cli.worker", str(os.getpid())]
        try:
            # In a session of its own: Ctrl-C in a terminal is for the service, which stops it.
            return subprocess.Popen(
                program,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            log.warning("a worker could not be started: %s", error)
            return None

    def _end(self) -> None:
        running = [w.process for w in self._workers if w.process is not None]
        for process in running:
            process.terminate()
        until = time.monotonic() + STOP_S
        for process in running:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker %d did not stop and is killed", process.pid)
                process.kill()
                process.wait()


@dataclass
class _Worker:
    """One worker: its process, and when to start the next."""

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S / 2

    def pause(self, now: float, *, young: bool) -> float:
        """Let the next wait, longer than the last one did when that lived short or not at all."""
        self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S) if young else FIRST_PAUSE_S
        self.start_at = now + self.pause_s
        return self.pause_s
