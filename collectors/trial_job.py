"""What passes between the measurer and its child process, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autorag.ports import Measurement, QueryResult
from autorag.racing import Race, Referee
from autorag.space import Config


@dataclass(frozen=True, slots=True)
class TrialJob:
    """One config to measure.

    Attributes:
        snapshot: the workload's file.
        queries: ids of the queries to ask, in order.
        store, store_limit_bytes, models: artifacts and models.
        generate: also generate answers.
        parse_reused: whether the documents' parsing was answered from the store.
        race: what it may end early against, as JSON.
    """

    snapshot: str
    config: dict[str, Any]
    queries: list[str]
    store: str
    store_limit_bytes: int
    models: str
    seed: int
    generate: bool
    parse_reused: bool
    race: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object, written to the file that :meth:`read` reads."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> TrialJob:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def referee(self) -> Referee | None:
        """Who ends the measurement early."""
        return None if self.race is None else Referee(Race.from_json(self.race), len(self.queries))

    def to_config(self) -> Config:
        """The config; it was checked where the job was made."""
        return Config(tuple(self.config.items()))


def measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    """A JSON object, read back by :func:`measurement_from_json`."""
    return asdict(measurement)


def measurement_from_json(row: Mapping[str, Any]) -> Measurement:
    """The inverse of :func:`measurement_to_json`."""
    return Measurement(**{**row, "queries": [QueryResult(**q) for q in row["queries"]]})
