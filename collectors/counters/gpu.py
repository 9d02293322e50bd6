"""GPU readings through NVML, field by field: a driver that does not know one costs only that one.

See https://docs.nvidia.com/deploy/nvml-api/. All GPUs of the machine count, whoever uses them:
memory, power and energy are summed, utilisation is the mean. Utilisation and power are those of the
driver's last sampling period (up to a second), read at the end; energy is the block's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from collectors.counters.source import Call

READINGS: dict[str, Callable[[Any, Any], float]] = {
    "gpu_utilization": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "gpu_memory_used_mb": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used / 1e6,
    "gpu_power_w": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,
    "gpu_energy_j": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3,
}
ENERGY = "gpu_energy_j"
UTILIZATION = "gpu_utilization"


class Gpu:
    """What the GPUs do and use."""

    METRICS: ClassVar[Sequence[str]] = tuple(READINGS)

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._nvml, self._gpus, why = _open_nvml()
        for metric in READINGS:
            self.missing.update({metric: why} if why else self._lacking(metric))
        self.begins: list[Call] = [partial(self._read, ENERGY)]
        self.ends: list[Call] = [partial(self._read, *READINGS)]

    def values(self, begun: Sequence[Any], ended: Sequence[Any]) -> dict[str, float]:
        (was,), (now,) = begun, ended
        values = {m: value for m, value in now.items() if m != ENERGY}
        return values | ({ENERGY: now[ENERGY] - was[ENERGY]} if ENERGY in {*was} & {*now} else {})

    def close(self) -> None:
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None

    def _read(self, *metrics: str) -> dict[str, float]:
        """Over all GPUs, without what one of them does not tell: part of a sum is not the sum."""
        told = {}
        for metric in metrics:
            if metric not in self.missing:
                with suppress(self._nvml.NVMLError):
                    values = [READINGS[metric](self._nvml, gpu) for gpu in self._gpus]
                    told[metric] = sum(values) / (len(values) if metric == UTILIZATION else 1)
        return told

    def _lacking(self, metric: str) -> dict[str, str]:
        try:
            for gpu in self._gpus:
                READINGS[metric](self._nvml, gpu)
        except (self._nvml.NVMLError, AttributeError) as error:
            return {metric: f"NVML: {error}"}
        return {}


def _open_nvml() -> tuple[Any, list[Any], str]:
    """The library, its GPUs, and why there are none."""
    try:
        import pynvml
    except ImportError as error:
        return None, [], f"the library nvidia-ml-py is not installed ({error})"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return None, [], f"NVML: {error}"
    try:
        count = pynvml.nvmlDeviceGetCount()
        gpus = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
    except pynvml.NVMLError as error:
        pynvml.nvmlShutdown()
        return None, [], f"NVML: {error}"
    return pynvml, gpus, "" if gpus else "NVML: the driver shows no GPU"
