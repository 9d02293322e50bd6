"""Running a job in a child process: what it says is passed on, its result comes back as JSON.

The job is a module with the arguments JOB RESULT PARENT that writes progress to standard output,
one JSON object a line, and its result, or ``{"error": ..., "input": whether what was given is at
fault}``, to the file RESULT.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from autorag.errors import InputError, MeasurementCancelled, MeasurementError
from autorag.ports import Progress
from autorag.space import Config

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TAIL_LINES = 15


def thread_limits(config: Config) -> dict[str, str]:
    """The environment of a process that measures this config."""
    threads = max(int(v) for k, v in config.items() if k.startswith("threads."))
    limits = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**os.environ, **limits, "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}


def run_child(
    module: str,
    job: Mapping[str, Any],
    folder: Path,
    environment: Mapping[str, str],
    *,
    deadline: float | None = None,
    progress: Progress | None = None,
    poll: Callable[[], None],
) -> Any:
    """The result of a job, run with files in ``folder``.

    Args:
        deadline: on ``time.monotonic``.
        poll: called about once a second meanwhile; what it raises ends the child.

    Raises:
        MeasurementCancelled: the deadline passed.
        MeasurementError, InputError: the child says so, or died.
    """
    job_path, result_path, errors = folder / "job.json", folder / "result.json", folder / "stderr"
    job_path.write_text(json.dumps(job), encoding="utf-8")
    program = [sys.executable, "-P", "-m", module]
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
    if isinstance(row, dict) and "error" in row:
        raise (InputError if row["input"] else MeasurementError)(row["error"])
    return row


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
