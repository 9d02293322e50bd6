"""Measuring in a child process, with the threads that the config says, under the host's lease."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from autorag.errors import InputError, MeasurementCancelled, MeasurementError
from autorag.ports import Measurement, Progress
from autorag.space import Config
from autorag.workload import Workload, write_snapshot
from collectors.cancelling import Cancelling, never
from collectors.lease import measuring_lease
from collectors.leftovers import clear_unused
from collectors.trial_job import TrialJob, measurement_from_json

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TAIL_LINES = 15

KEPT_S = 2 * 86_400.0
"""How long workloads are kept that nobody measures."""

LEFT_S = 86_400.0
"""Files of a trial that are older were left by a process that was killed."""


class ProcessMeasurer:
    """Measures configs of one workload, each in a process of its own.

    Args:
        home: holds ``artifacts/``, ``models/``, ``workloads/`` and, for the files of a trial that
            runs, ``tmp/``; what nobody used for long is deleted from the latter two.
        seed: of index training.
        cancelled: asked about once a second while measuring; true ends it with ``WorkCancelled``.
    """

    def __init__(
        self,
        workload: Workload,
        home: Path,
        seed: int,
        limit_bytes: int,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        self._workload = workload
        self._home = home
        self._seed = seed
        self._limit_bytes = limit_bytes
        self._cancelling = Cancelling(cancelled)
        self._snapshot = home / "workloads" / f"{workload.hash_hex}.json"
        self._parsed = workload.parse_reused
        self._temporary = home / "tmp"
        self._temporary.mkdir(parents=True, exist_ok=True)
        write_snapshot(workload, self._snapshot)
        clear_unused(self._snapshot.parent, KEPT_S)
        clear_unused(self._temporary, LEFT_S)

    def measure(
        self,
        config: Config,
        queries: Sequence[str],
        *,
        generate: bool = False,
        deadline: float | None = None,
        progress: Progress | None = None,
    ) -> Measurement:
        """See :class:`autorag.ports.Measurer`; ``deadline`` is on ``time.monotonic``."""
        poll = self._cancelling.check
        poll()
        write_snapshot(self._workload, self._snapshot)
        job = TrialJob(
            snapshot=str(self._snapshot),
            config=config.to_json(),
            queries=list(queries),
            store=str(self._home / "artifacts"),
            store_limit_bytes=self._limit_bytes,
            models=str(self._home / "models"),
            seed=self._seed,
            generate=generate,
            parse_reused=self._parsed,
        )
        self._parsed = True

        def waiting() -> None:
            if progress is not None:
                progress("waiting for another measurement", 0, 0)

        try:
            with (
                measuring_lease(deadline, waiting, poll),
                tempfile.TemporaryDirectory(dir=self._temporary) as folder,
            ):
                return _run(job, Path(folder), _environment(config), deadline, progress, poll)
        except TimeoutError as error:
            raise MeasurementCancelled(str(error)) from error


def _environment(config: Config) -> dict[str, str]:
    threads = max(int(v) for k, v in config.items() if k.startswith("threads."))
    limits = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**os.environ, **limits, "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}


def _run(
    job: TrialJob,
    folder: Path,
    environment: dict[str, str],
    deadline: float | None,
    progress: Progress | None,
    poll: Callable[[], None],
) -> Measurement:
    job_path, result_path, errors = folder / "job.json", folder / "result.json", folder / "stderr"
    job.write(job_path)
    program = [sys.executable, "-P", "-m", "collectors.trial_process"]
    command = [*program, str(job_path), str(result_path), str(os.getpid())]
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            env=environment,
            text=True,
        ) as process,
    ):
        try:
            overdue = _follow(process, deadline, progress, poll)
        finally:
            process.kill()
            process.wait()
    if overdue:
        raise MeasurementCancelled("the deadline passed")
    if not result_path.is_file():
        tail = errors.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        raise MeasurementError(
            f"the measuring process ended with {process.returncode}: " + "\n".join(tail)
        )
    row = json.loads(result_path.read_text(encoding="utf-8"))
    if "error" in row:
        raise (InputError if row["input"] else MeasurementError)(row["error"])
    return measurement_from_json(row)


def _follow(
    process: subprocess.Popen[str],
    deadline: float | None,
    progress: Progress | None,
    poll: Callable[[], None],
) -> bool:
    """Pass progress on until the process ends; whether it was stopped at the deadline."""
    assert process.stdout is not None
    reader = threading.Thread(target=_pass_on, args=(process.stdout, progress), daemon=True)
    reader.start()
    try:
        return _wait(process, deadline, poll)
    finally:
        process.kill()
        reader.join()


def _wait(process: subprocess.Popen[str], deadline: float | None, poll: Callable[[], None]) -> bool:
    """Wait for the end of the process; whether the deadline passed before."""
    while True:
        remaining = None if deadline is None else deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            return True
        try:
            process.wait(timeout=1.0 if remaining is None else min(1.0, remaining))
        except subprocess.TimeoutExpired:
            poll()
        else:
            return False


def _pass_on(lines: IO[str], progress: Progress | None) -> None:
    for line in lines:
        if progress is not None and line.startswith("{"):
            row = json.loads(line)
            progress(row["stage"], row["done"], row["total"])
