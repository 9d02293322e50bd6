"""What live traffic says of predicted times: a bounded factor per app and stage.

An app's stack differs from the reference pipeline in what no workload feature shows, and its
machine is shared. So its traffic corrects predictions for this app alone: each time is multiplied
with the median over its revisions, weighted by requests, of observed / predicted. Few requests
correct nothing, and a factor stays within ``MOST`` either way: what is farther off has another
cause than a slower stack, and is for a measurement to find.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autorag.experience import Served
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from models.analytic.knobs import Knobs
from models.analytic.shape import WorkloadShape
from models.analytic.stages import AnalyticModel
from models.encoding import encode_configs, encode_workload
from models.hosts import HostEffect
from models.ratios import RatioModel, time_rows

FEWEST_REQUESTS = 50
MOST = 4.0


def corrections(
    ratios: RatioModel,
    features: WorkloadFeatures,
    profile: HardwareProfile,
    host: HostEffect | None,
    traffic: Sequence[tuple[Mapping[str, Any], Served]],
) -> dict[str, float]:
    """Factors of an app, by metric.

    Args:
        traffic: configs, as the reference pipeline runs them, and what requests took with them.

    Raises:
        InputError: the features or the profile lack what physics needs.
    """
    some = [(config, served) for config, served in traffic if served.requests >= FEWEST_REQUESTS]
    if not some:
        return {}
    configs = [config for config, _ in some]
    physics = AnalyticModel(profile).predict(
        Knobs.of(configs), WorkloadShape.from_features(features)
    )
    knobs = encode_configs(configs)
    rows = time_rows(knobs, encode_workload(features), physics)
    requests = np.array([served.requests for _, served in some], dtype=np.float64)
    found = {}
    for target in ratios.trees:
        seen = np.array([served.times.get(target, np.nan) for _, served in some])
        factor = seen / ratios.predict(knobs, rows, physics, target, host)
        known = np.isfinite(factor)
        if known.any():
            median = _weighted_median(factor[known], requests[known])
            found[target] = min(max(median, 1.0 / MOST), MOST)
    return found


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
