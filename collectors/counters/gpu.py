"""GPU readings through NVML, field by field: a driver that does not know one costs only that one.

See https://docs.nvidia.com/deploy/nvml-api/. All GPUs of the machine count, whoever uses them:
memory, power and energy are summed, utilisation is the mean. Utilisation and power are those of the
driver's last sampling period (up to a second), read at the end; energy is the block's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

    METRICS = tuple(READINGS)

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._nvml, self._gpus, why = _open_nvml()
        for metric in READINGS:
            self.missing.update({metric: why} if why else self._lacking(metric))

    def begin(self) -> float | None:
        return self._read(ENERGY)

    def end(self, begun: float | None) -> dict[str, float | None]:
        return {metric: self._read(metric) for metric in READINGS}

    def values(self, begun: float | None, ended: dict[str, float | None]) -> dict[str, float]:
        values = {m: v for m, v in ended.items() if v is not None}
        if ENERGY in values and begun is not None:
            values[ENERGY] -= begun
        else:
            values.pop(ENERGY, None)
        return values

    def close(self) -> None:
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None

    def _read(self, metric: str) -> float | None:
        """Over all GPUs; None when one of them does not tell: part of a sum is not the sum."""
        if metric in self.missing:
            return None
        try:
            values = [READINGS[metric](self._nvml, gpu) for gpu in self._gpus]
        except self._nvml.NVMLError:
            return None
        return sum(values) / (len(values) if metric == UTILIZATION else 1)

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
