"""The scales on which metrics are modelled, and how far measurements of them can be relied on.

Times, memory and tokens are modelled as natural logarithms, since they differ by factors; ratios
(quality, recall) as they are. Deviations below are on these scales, so that 0.1 of a time is 10 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autorag.metrics import METRICS, metric

Floats = NDArray[np.float64]

LEAST = 1e-9
"""Nothing smaller has a logarithm here."""

NOISE_OF_ONE_QUERY = 0.25
"""Standard deviation, over queries, of the difference of two configs' quality: what a mean over
``n`` queries tells of other queries is off by this over √n."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How one metric is modelled.

    Attributes:
        logarithmic: whether it is by its logarithm.
        noise: standard deviations of a measurement that are thought possible, the usual one first.
        spread: standard deviations over configs that are thought possible.
        least_gain: an improvement below which another measurement is not worth it.
        noisy: whether it differs from one measurement of a config to the next. What quality on some
            queries tells of others is off too, but by the same each time.
    """

    logarithmic: bool
    noise: tuple[float, ...]
    spread: tuple[float, ...]
    least_gain: float
    noisy: bool = False

    def of(self, values: Floats | float) -> Floats:
        """Values of the metric on this scale, the same shape."""
        given = np.asarray(values, dtype=np.float64)
        return np.log(np.maximum(given, LEAST)) if self.logarithmic else given

    def back(self, value: float) -> float:
        """The inverse of :meth:`of`."""
        return math.exp(value) if self.logarithmic else value


_TIMES = Scale(True, (0.05, 0.15), (0.2, 0.5, 1.0, 2.0), 0.01, noisy=True)
_COUNTS = Scale(True, (0.003, 0.03), (0.1, 0.4, 1.0, 2.0), 0.005)


def scale(name: str, queries: int) -> Scale:
    """The scale of a metric that is measured on so many queries.

    Raises:
        ObjectiveError: unknown metric.
    """
    kind = metric(name).kind
    if kind in ("ranking", "answer"):
        noise = NOISE_OF_ONE_QUERY / math.sqrt(max(queries, 1))
        return Scale(False, (noise, noise / 3), (0.03, 0.08, 0.16, 0.32), 0.001)
    return _TIMES if METRICS[name].unit in ("ms", "s") else _COUNTS
