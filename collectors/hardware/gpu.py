"""GPUs through NVML, field by field: a driver that does not know one of them costs only that one.

See https://docs.nvidia.com/deploy/nvml-api/. Without library, driver or GPU there are none, and a
reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from autorag.hardware import Gpu

Value = TypeVar("Value")


def read_gpus() -> tuple[tuple[Gpu, ...], str | None]:
    """The GPUs that NVML shows, and why there are none."""
    try:
        import pynvml
    except ImportError as error:
        return (), f"the library nvidia-ml-py is not installed ({error})"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), f"NVML: {error}"
    try:
        count = _field(pynvml, pynvml.nvmlDeviceGetCount) or 0
        found = tuple(_gpu(pynvml, number) for number in range(count))
    finally:
        pynvml.nvmlShutdown()
    return found, None if found else "NVML: the driver shows no GPU"


def _gpu(nvml: Any, number: int) -> Gpu:
    handle = _field(nvml, lambda: nvml.nvmlDeviceGetHandleByIndex(number))
    if handle is None:
        return Gpu()

    def ask(read: Callable[[], Value]) -> Value | None:
        return _field(nvml, read)

    return Gpu(
        name=ask(lambda: _text(nvml.nvmlDeviceGetName(handle))),
        memory_mb=ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total / 1e6),
        driver=ask(lambda: _text(nvml.nvmlSystemGetDriverVersion())),
        compute_capability=ask(
            lambda: ".".join(map(str, nvml.nvmlDeviceGetCudaComputeCapability(handle)))
        ),
        cores=ask(lambda: nvml.nvmlDeviceGetNumGpuCores(handle)),
        sm_clock_mhz=ask(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
        memory_clock_mhz=ask(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        memory_bus_bits=ask(lambda: nvml.nvmlDeviceGetMemoryBusWidth(handle)),
        power_limit_w=ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3),
        pcie_generation=ask(lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)),
        pcie_lanes=ask(lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(handle)),
    )


def _field(nvml: Any, read: Callable[[], Value]) -> Value | None:
    """What the driver answers, or None where it, or this version of the library, cannot."""
    try:
        return read()
    except (nvml.NVMLError, AttributeError):
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
