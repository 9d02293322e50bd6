"""What passes to the process that measures a group, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from autorag.space import Config

Phase = Literal["quality", "timing"]


@dataclass(frozen=True, slots=True)
class Corpus:
    """A workload's snapshot, and the ids of the queries to judge, by half."""

    snapshot: str
    halves: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class GroupJob:
    """Configs that share chunks and threads, to be measured on one workload.

    Attributes:
        phase: ``quality`` builds, and judges every query; ``timing`` asks ``timed`` queries one
            after the other and takes the times.
        configs: flat objects.
        real: the workload.
        pseudo: the same documents with sentences held out, and these as queries; or None.
        timed: ids of the queries whose times are taken.
        generate: answers are generated too (``timing``).
        started: when the process was started, on ``time.time``.
    """

    phase: Phase
    configs: tuple[dict[str, Any], ...]
    real: Corpus
    pseudo: Corpus | None
    timed: tuple[str, ...]
    generate: bool
    store: str
    store_limit_bytes: int
    models: str
    seed: int
    started: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object, read back by :meth:`read`."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> GroupJob:
        row = json.loads(path.read_text(encoding="utf-8"))
        corpora = {k: row[k] and Corpus(**row[k]) for k in ("real", "pseudo")}
        return cls(**{**row, **corpora})

    def to_configs(self) -> list[Config]:
        """The configs; they were checked where the job was made."""
        return [Config(tuple(c.items())) for c in self.configs]
