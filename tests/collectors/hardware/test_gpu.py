"""GPUs by NVML: none with a reason, or every field that the driver tells and no other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from autorag.hardware import Gpu
from collectors.hardware.gpu import read_gpus


class NVMLError(Exception):
    """What the library raises."""


def fake_driver(**answers: Any) -> ModuleType:
    """A library whose driver knows these answers only: one GPU."""
    nvml = ModuleType("pynvml")

    def function(name: str) -> Callable[..., Any]:
        def call(*_: Any) -> Any:
            if name not in answers:
                raise NVMLError("not supported")
            return answers[name]

        return call

    asked = (
        *("DeviceGetName", "DeviceGetMemoryInfo", "SystemGetDriverVersion", "DeviceGetNumGpuCores"),
        *("DeviceGetCudaComputeCapability", "DeviceGetMaxClockInfo", "DeviceGetMemoryBusWidth"),
        *("DeviceGetEnforcedPowerLimit", "DeviceGetMaxPcieLinkWidth"),
    )
    for name in asked:
        setattr(nvml, f"nvml{name}", function(name))
    constants = {"NVMLError": NVMLError, "NVML_CLOCK_SM": 1, "NVML_CLOCK_MEM": 2}
    handles = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
    }
    for key, value in {**constants, **handles}.items():
        setattr(nvml, key, value)
    return nvml


def test_here() -> None:
    gpus, reason = read_gpus()
    assert bool(gpus) == (reason is None)


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    gpus, reason = read_gpus()
    assert gpus == ()
    assert reason is not None
    assert "nvidia-ml-py" in reason


def test_every_field_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The PCIe generation is missing from the library, the clocks from the driver."""
    nvml = fake_driver(
        DeviceGetName=b"Some GPU",
        DeviceGetMemoryInfo=SimpleNamespace(total=16_000_000_000),
        DeviceGetCudaComputeCapability=(9, 0),
        DeviceGetEnforcedPowerLimit=250_000,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    gpus, reason = read_gpus()
    assert reason is None
    known = Gpu(name="Some GPU", memory_mb=16_000.0, compute_capability="9.0", power_limit_w=250.0)
    assert gpus == (known,)


def test_a_driver_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = fake_driver()
    monkeypatch.setattr(nvml, "nvmlDeviceGetCount", lambda: 0, raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert read_gpus() == ((), "NVML: the driver shows no GPU")
