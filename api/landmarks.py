"""Landmarks: a few cheap configs, measured in seconds to learn what a workload is like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.wiring import SEED_SAMPLE, Parts, bind, make_space
from autorag.errors import ConfigError
from autorag.ports import Progress
from autorag.queries import subsample
from autorag.workload import Workload
from collectors.measurer import ProcessMeasurer
from models.candidates import Candidates
from models.examples import QUALITY
from models.training import landmark_rows

MOST_QUERIES = 200


@dataclass(frozen=True)
class Landmarks:
    """What was measured.

    Attributes:
        quality: index of a candidate → nDCG@10.
        labelled: on real queries, not on pseudo-queries.
    """

    quality: Mapping[int, float]
    labelled: bool
    queries: int
    seconds: float

    def to_json(self, pool: Candidates) -> dict[str, Any]:
        """JSON."""
        measured = [
            {"config": pool.configs[i].to_json(), "measured": {QUALITY: round(value, 6)}}
            for i, value in self.quality.items()
        ]
        source = "labelled" if self.labelled else "pseudo"
        counts = {"queries": self.queries, "query_source": source}
        return {"measured": measured, **counts, "seconds": round(self.seconds, 3)}


def measure_landmarks(
    workload: Workload, pool: Candidates, parts: Parts, progress: Progress
) -> Landmarks:
    """Measure the candidates that are nearest to the landmarks; those that the workload is too
    small for are left out.

    Raises:
        MeasurementError: one could not be measured.
    """
    settings, space = parts.settings, bind(make_space(), workload)
    asked = [q.id for q in subsample(workload.queries, MOST_QUERIES, parts.rng(SEED_SAMPLE))]
    measurer = ProcessMeasurer(workload, settings.home, parts.seed, settings.artifacts_bytes)
    started, found = parts.clock.monotonic(), {}
    for candidate in landmark_rows(pool.rows):
        try:
            config = space.config(pool.run[candidate])
        except ConfigError:
            continue
        measured = measurer.measure(config, asked, progress=progress)
        found[candidate] = measured.metrics[QUALITY]
    seconds = parts.clock.monotonic() - started
    return Landmarks(found, workload.query_source == "labelled", len(asked), seconds)
