"""Measuring groups of configs in child processes, under the host's lease."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autorag.ports import Progress
from autorag.space import Config
from autorag.workload import Workload, write_snapshot
from collectors.child import run_child, thread_limits
from collectors.group.job import Corpus, GroupJob, Phase
from collectors.lease import measuring_lease

Halves = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Judged:
    """A workload whose queries are judged in halves: half → query ids."""

    workload: Workload
    halves: Halves


class GroupMeasurer:
    """Measures groups of configs of one workload.

    Args:
        pseudo: the same documents with sentences held out and asked; or None.
        timed: ids of the queries whose times are taken.
        home: holds ``artifacts/``, ``workloads/`` and ``tmp/``.
        models: folder of the models made on this machine.
        seed: of index training.
        poll: called about once a second; what it raises ends the measurement.
    """

    def __init__(
        self,
        real: Judged,
        pseudo: Judged | None,
        timed: Sequence[str],
        home: Path,
        models: Path,
        seed: int,
        limit_bytes: int,
        poll: Callable[[], None] = lambda: None,
    ) -> None:
        self._real = _corpus(real, home)
        self._pseudo = None if pseudo is None else _corpus(pseudo, home)
        self._timed = tuple(timed)
        self._home = home
        self._models = models
        self._seed = seed
        self._limit_bytes = limit_bytes
        self._poll = poll

    def measure(
        self, phase: Phase, configs: Sequence[Config], *, generate: bool, progress: Progress
    ) -> list[dict[str, Any]]:
        """One row a config, by the names of the measured table's columns.

        The configs share their chunk knobs and their threads.

        Raises:
            MeasurementError, InputError: the group could not be measured.
        """

        def waiting() -> None:
            progress("waiting for another measurement", 0, 0)

        temporary = self._home / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        with (
            measuring_lease(None, waiting, self._poll),
            tempfile.TemporaryDirectory(dir=temporary) as folder,
        ):
            job = GroupJob(
                phase,
                tuple(c.to_json() for c in configs),
                self._real,
                self._pseudo,
                self._timed,
                generate,
                str(self._home / "artifacts"),
                self._limit_bytes,
                str(self._models),
                self._seed,
                time.time(),
            )
            rows: list[dict[str, Any]] = run_child(
                "collectors.group.process",
                job.to_json(),
                Path(folder),
                thread_limits(configs[0]),
                progress=progress,
                poll=self._poll,
            )
            return rows


def _corpus(judged: Judged, home: Path) -> Corpus:
    snapshot = home / "workloads" / f"{judged.workload.hash_hex}.json"
    write_snapshot(judged.workload, snapshot)
    return Corpus(str(snapshot), judged.halves)
