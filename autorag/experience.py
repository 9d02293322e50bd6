"""What was measured on real workloads, as models learn from it.

Trials of studies and the traffic of running apps become the same thing: configs with what was
measured of them, on one described workload and one machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile


@dataclass(frozen=True, slots=True)
class Measured:
    """One config.

    Attributes:
        metrics: those of ``autorag.metrics``, and ``{stage}_p50_ms``, ``{stage}_p95_ms``; unknown
            ones are absent.
        measured_at: seconds since the epoch.
    """

    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    measured_at: int


@dataclass(frozen=True, slots=True)
class Experience:
    """What was measured on one workload, on one machine.

    Attributes:
        workload: a name of its own.
        corpus: that of the app; else of the workload. Workloads of one corpus are alike.
        labelled: its queries are real; else they are sentences held out of its documents.
    """

    workload: str
    corpus: str
    labelled: bool
    features: WorkloadFeatures
    profile: HardwareProfile
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """Requests that an app answered with one revision of its settings.

    Attributes:
        requests: how many.
        times: ``latency_p50_ms``, ``latency_p95_ms`` of question in to ranked contexts out, and
            ``{stage}_p50_ms``, ``{stage}_p95_ms`` of the stages that ran.
    """

    revision: int
    requests: int
    times: Mapping[str, float]
