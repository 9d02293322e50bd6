"""Measuring in a child process, with the threads that the config says, under the host's lease."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from autorag.errors import MeasurementCancelled
from autorag.ports import Measurement, Progress
from autorag.racing import Race
from autorag.space import Config
from autorag.workload import Workload, write_snapshot
from collectors.cancelling import Cancelling, never
from collectors.child import run_child, thread_limits
from collectors.lease import measuring_lease
from collectors.leftovers import clear_unused
from collectors.trial_job import TrialJob, measurement_from_json

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
        race: Race | None = None,
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
            race=None if race is None else race.to_json(),
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
                row = run_child(
                    "collectors.trial_process",
                    job.to_json(),
                    Path(folder),
                    thread_limits(config),
                    deadline=deadline,
                    progress=progress,
                    poll=poll,
                )
                return measurement_from_json(row)
        except TimeoutError as error:
            raise MeasurementCancelled(str(error)) from error
