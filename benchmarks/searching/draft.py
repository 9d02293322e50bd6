"""Finished searches in a file of JSON lines: the protocol first, then a line a search. A run that
was killed goes on where it was; a half-written last line is dropped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autorag.errors import InputError
from benchmarks.searching.play import Played

Key = tuple[str, str, str, str, int]
"""(workload, SLO set, half, strategy, seed)."""


@dataclass(frozen=True)
class Protocol:
    """What all searches of a file share.

    Attributes:
        table: its hash.
        noise: standard deviation of the logarithm of a time.
        left_out: what models have not seen, ``corpus`` or ``family``.
        most: evaluations of a search beside the default.
        budget_s: seconds of measuring after which a search ends; 0 without.
        pseudo: whether searches see pseudo-queries only.
        wrong: how the prior is made wrong; empty if it is not.
    """

    table: str
    noise: float
    left_out: str
    most: int
    budget_s: float
    pseudo: bool
    wrong: str


@dataclass(frozen=True)
class Search:
    """A search; lists have an item for every number of evaluations from 0 on.

    Attributes:
        bounded: whether the task has bounds.
        seconds: of measuring, until then.
        regret, holds: of what would be recommended then.
        thought: seconds of deciding, until then.
        stopped: why it ended by itself; empty if it did not.
    """

    workload: str
    corpus: str
    labelled: bool
    slos: str
    bounded: bool
    half: str
    strategy: str
    seed: int
    seconds: list[float]
    regret: list[float]
    holds: list[bool]
    thought: list[float]
    stopped: str

    @property
    def key(self) -> Key:
        return (self.workload, self.slos, self.half, self.strategy, self.seed)

    @property
    def paired(self) -> tuple[str, str, str, int]:
        """What searches of other strategies share with it."""
        return (self.workload, self.slos, self.half, self.seed)


def as_search(played: Played) -> Search:
    """What is kept of a search."""
    task, steps = played.task, played.steps
    return Search(
        task.workload,
        task.corpus,
        task.labelled,
        task.slos,
        bool(task.objective.slos),
        task.half,
        played.strategy,
        played.seed,
        [round(s.seconds, 3) for s in steps],
        [round(s.regret, 5) for s in steps],
        [s.holds for s in steps],
        [round(s.thought, 4) for s in steps],
        played.stopped,
    )


class Draft:
    """The file. Opening it for another protocol is refused."""

    def __init__(self, path: Path, protocol: Protocol) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or not path.read_bytes().endswith(b"\n"):
            _cut(path)
        if not path.stat().st_size:
            self._write({"protocol": asdict(protocol)})
        found, _ = read(path)
        if found != protocol:
            raise InputError(
                f"{path} has searches of another protocol, {found}; this one is {protocol}",
                key="out",
                value=str(path),
            )

    def done(self) -> set[Key]:
        """The searches that it has."""
        return {search.key for search in read(self.path)[1]}

    def add(self, searches: Iterable[Search]) -> None:
        """Write searches, each as soon as it is there."""
        for search in searches:
            self._write(asdict(search))

    def _write(self, row: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, separators=(",", ":")) + "\n")


def read(path: Path) -> tuple[Protocol, list[Search]]:
    """The protocol and the searches of a file.

    Raises:
        InputError: it is of no such form.
    """
    first, *others = path.read_text(encoding="utf-8").splitlines()
    try:
        protocol = Protocol(**json.loads(first)["protocol"])
        return protocol, [Search(**json.loads(line)) for line in others]
    except (KeyError, TypeError, ValueError) as error:
        message = f"{path} is no draft of searches: {error!r}"
        raise InputError(message, key="out", value=str(path)) from error


def _cut(path: Path) -> None:
    """Drop what stands after the last whole line."""
    known = path.read_bytes() if path.is_file() else b""
    path.write_bytes(known[: known.rfind(b"\n") + 1])
