"""Many searches, in processes that are forked from one that knows everything they need."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks.searching.draft import Key, Search, as_search
from benchmarks.searching.play import Maker, play
from benchmarks.searching.tasks import Task


@dataclass(frozen=True, slots=True)
class Job:
    """A search to do; ``task`` is an index."""

    task: int
    strategy: str
    seed: int


@dataclass(frozen=True)
class Player:
    """Does jobs."""

    tasks: Sequence[Task]
    makers: Mapping[str, Maker]
    most: int
    noise: float
    budget_s: float

    def play(self, job: Job) -> Search:
        task, maker = self.tasks[job.task], self.makers[job.strategy]
        return as_search(
            play(task, maker, job.seed, self.most, noise=self.noise, budget_s=self.budget_s)
        )


def every_job(tasks: Sequence[Task], strategies: Sequence[str], seeds: int) -> Iterator[Job]:
    """All searches. Seeds alternate: everything with the first comes first."""
    for seed in range(seeds):
        for number in range(len(tasks)):
            for strategy in strategies:
                yield Job(number, strategy, seed)


def key(job: Job, tasks: Sequence[Task]) -> Key:
    """The key of the search that a job will give."""
    task = tasks[job.task]
    return (task.workload, task.slos, task.half, job.strategy, job.seed)


def play_all(player: Player, jobs: Sequence[Job], processes: int) -> Iterator[Search]:
    """The searches, in the order of the jobs, each as soon as those before it are there."""
    if processes == 1:
        yield from map(player.play, jobs)
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, _begin, (player,)) as pool:
        yield from pool.map(_play, jobs)


_player: Player | None = None
"""Of a forked process: it inherits what it would take long to send."""


def _begin(player: Player) -> None:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    global _player
    _player = player
    threadpool_limits(1)


def _play(job: Job) -> Search:
    assert _player is not None
    return _player.play(job)
