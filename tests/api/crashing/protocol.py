"""Killing a service under load, and looking whether anything is lost, twice or wrong.

The service is started again and again on the same files and the same port. Every life ends with
SIGKILL: at a point between two statements that the process counts itself, or at a moment; of the
server, or first of a worker or of the process of a job. Plans are drawn by a seed. The clients, in
a process of their own, know nothing of it. After so many kills they come to rest, the service is
killed once more, and its files are compared with what they were told.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from autorag.documents import document_to_json
from tests.api.command import write_lines
from tests.api.crashing.clients import Load, run_load
from tests.api.crashing.ledger import Ledger
from tests.api.crashing.service import KEY, Killed, Victim, new_victim
from tests.autorag.pipeline.corpus import documents
from tests.evaluator import evaluating

DOCS = "docs"
ANSWER_S = 300.0
LIFE_S = 4.0
"""A service that is ready, and no process of it has come to its point, is killed after that."""

MOST_POINTS = {"server": 1500, "worker": 20, "job": 30}
"""Points of a process's writing that are drawn from; of the server the early ones oftener."""

WORKER_S = 8.0
"""So long is waited for a worker or a job to kill."""

STARTING = 0.2
"""Share of the moments that are drawn from the start."""

START_S, WORKING_S = 1.5, 2.5

Say = Callable[[str], None]
Disturb = Callable[[random.Random], int]
"""Disturbs a service that runs; returns how often."""


@dataclass(frozen=True)
class Plan:
    """How one start ends.

    Attributes:
        role: whose process is killed first; the server is after that.
        point: of its writing; 0: at a moment.
    """

    role: str
    point: int

    @classmethod
    def drawn(cls, moments: random.Random) -> Plan:
        role = moments.choices(("server", "worker", "job"), (70, 14, 16))[0]
        if moments.random() < 0.35:
            return cls(role, 0)
        if role == "server":
            return cls(role, round(MOST_POINTS[role] ** math.sqrt(moments.random())))
        return cls(role, moments.randint(1, MOST_POINTS[role]))


@dataclass
class Result:
    """What became of it."""

    kills: list[Killed] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    disturbed: int = 0
    checks: int = 0
    starts: int = 0
    ledger: Ledger = field(default_factory=Ledger)


@dataclass
class Crashing:
    """A victim, its clients, and what is known of both."""

    victim: Victim
    pipe: Connection
    moments: random.Random
    say: Say
    disturb: Disturb | None = None
    result: Result = field(default_factory=Result)

    def run(self, kills: int, check_every: int) -> Result:
        """Kill so often, looking at the files every now and then and at the end."""
        done = self.result.kills
        while len(done) < kills:
            until = min(kills, len(done) + check_every)
            self.pipe.send("go")
            while len(done) < until:
                self._live(Plan.drawn(self.moments))
            self._rest("pause", ended=len(done) >= kills)
        return self.result

    def _live(self, plan: Plan) -> None:
        """One life of the service, from its start to its end by SIGKILL."""
        victim, moments = self.victim, self.moments
        began, killed = time.monotonic(), list[Killed]()
        victim.start(plan.role if plan.point else "", plan.point)
        if plan.role == "server" and plan.point:
            victim.wait_until_ready()
            until = time.monotonic() + LIFE_S
            while victim.alive() and time.monotonic() < until:
                time.sleep(0.01)
        elif plan.role == "server" and moments.random() < STARTING:
            time.sleep(moments.uniform(0, START_S))
        elif plan.role == "server":
            victim.wait_until_ready()
            time.sleep(moments.uniform(0, WORKING_S))
        elif victim.wait_until_ready():
            killed += self._disturb_workers(plan)
            time.sleep(moments.uniform(0, 0.5))
        if self.disturb is not None and victim.alive():
            self.result.disturbed += self.disturb(moments)
        at = time.monotonic() - began
        victim.kill()
        killed += victim.killed_themselves()
        if all(k.role != "server" for k in killed):
            killed.append(Killed("server", "at a moment"))
        self.result.kills += killed
        self.result.starts += 1
        shown = "; ".join(f"{k.role} {k.where}" for k in killed)
        self.say(f"  kill {len(self.result.kills):>3} after {at:4.1f} s: {shown}")

    def _disturb_workers(self, plan: Plan) -> list[Killed]:
        """Have a worker, or the process of its job, die before the service does; returns what was
        killed here."""
        victim, until, killed = self.victim, time.monotonic() + WORKER_S, list[Killed]()
        if plan.point:
            while victim.alive() and not victim.killed_themselves() and time.monotonic() < until:
                time.sleep(0.02)
        else:
            time.sleep(self.moments.uniform(0, 2))
            if victim.kill_one(plan.role, WORKER_S):
                killed.append(Killed(plan.role, "at a moment"))
        if victim.alive():
            victim.free_jobs()
        return killed

    def _rest(self, word: str, *, ended: bool) -> None:
        """Let the clients come to rest, and compare."""
        victim, result = self.victim, self.result
        victim.start()
        assert victim.wait_until_ready()
        self._take(word)
        if ended:
            self._take("finish")
            victim.wait_until_done()
        victim.kill()
        result.kills.append(Killed("server", "at rest"))
        result.starts += 1
        result.checks += 1
        with victim.engines() as (control, telemetry):
            found = victim.unsound()
            found += result.ledger.differences(control, telemetry, ended=ended)
        result.wrong += found
        told = ", ".join(f"{n} {what}" for what, n in sorted(result.ledger.entries.items()))
        self.say(f"  check {result.checks}: {'; '.join(found) or 'all as it must be'} ({told})")

    def _take(self, word: str) -> None:
        self.pipe.send(word)
        if not self.pipe.poll(ANSWER_S):
            raise AssertionError("the clients did not come to rest")
        journal, wrong, counts = self.pipe.recv()
        self.result.wrong += wrong
        self.result.answers += counts
        self.result.ledger.enter(journal)


def crash(
    folder: Path,
    url: str,
    *,
    kills: int,
    clients: int,
    workers: int,
    seed: int,
    check_every: int,
    say: Say = lambda _: None,
    disturb: Disturb | None = None,
) -> Result:
    """Kill a new service with this database so often under the load of so many clients.

    Args:
        disturb: is called in every life; the service may log what came of it.
    """
    data = _data(folder / "data")
    victim = new_victim(folder, url, data, workers)
    with evaluating(documents()) as evaluator:
        load = Load(victim.address, KEY, seed, clients, evaluator.url, DOCS)
        try:
            victim.start()
            assert victim.wait_until_ready()
            with _clients(load) as pipe:
                victim.kill()
                crashing = Crashing(victim, pipe, random.Random(seed), say, disturb)
                result = crashing.run(kills, check_every)
        finally:
            victim.stop()
    logged = victim.failures if disturb is not None else victim.failures + victim.errors
    result.wrong += [f"logged: {error} ({n} times)" for error, n in logged.items()]
    return result


@contextmanager
def _clients(load: Load) -> Iterator[Connection]:
    """The clients, in a process of their own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=run_load, args=(load, there), daemon=True)
    process.start()
    there.close()
    try:
        assert here.recv() == "ready"
        yield here
        here.send(None)
        process.join()
    finally:
        process.kill()
        process.join()


def _data(folder: Path) -> Path:
    """A data folder with documents, and a question about each."""
    (folder / DOCS).mkdir(parents=True)
    write_lines(folder / DOCS / "corpus.jsonl", map(document_to_json, documents()))
    asked: Iterator[dict[str, Any]] = (
        {"id": f"q{i}", "question": f"What is known about {d.title}?", "relevant": [d.id]}
        for i, d in enumerate(documents())
    )
    write_lines(folder / DOCS / "queries.jsonl", asked)
    return folder
