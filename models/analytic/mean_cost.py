"""What measuring a config costs where nothing is known but what the trials so far took.

The mean of their seconds stands for any number of queries: how much of it went into building is
not known. An estimate before the first trial is 0.
"""

from __future__ import annotations

from autorag.ports import Estimate, Measurement
from autorag.space import Config


class MeanCosts:
    """The cost model of pipelines that run elsewhere; see :class:`autorag.ports.CostModel`.

    It reads ``conditions["seconds"]`` of measurements.
    """

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def estimate(self, config: Config, queries: int) -> Estimate:
        """The mean so far; nothing is written on this machine."""
        seen = self._seconds
        return Estimate(sum(seen) / len(seen) if seen else 0.0, 0.0)

    def observe(self, config: Config, measurement: Measurement) -> None:
        """Remember how long it took."""
        self._seconds.append(float(measurement.conditions["seconds"]))
