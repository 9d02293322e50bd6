"""GPU readings against a library that answers as NVML does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from collectors.counters.gpu import READINGS, Gpu
from tests.collectors.counters.conftest import around, nothing


class NVMLError(Exception):
    pass


def nvml(gpus: list[dict[str, float]]) -> ModuleType:
    """A library with these GPUs: a field that one of them lacks is not supported there."""
    module = ModuleType("pynvml")
    state: dict[str, Any] = {"open": 0}

    def field(name: str) -> Callable[[dict[str, float]], float]:
        def read(gpu: dict[str, float]) -> float:
            if name not in gpu:
                raise NVMLError("Not Supported")
            return gpu[name]

        return read

    def opened(step: int) -> Callable[[], None]:
        def change() -> None:
            state["open"] += step

        return change

    members: dict[str, Any] = {
        "NVMLError": NVMLError,
        "state": state,
        "nvmlInit": opened(1),
        "nvmlShutdown": opened(-1),
        "nvmlDeviceGetCount": lambda: len(gpus),
        "nvmlDeviceGetHandleByIndex": lambda number: gpus[number],
        "nvmlDeviceGetUtilizationRates": lambda g: SimpleNamespace(gpu=field("percent")(g)),
        "nvmlDeviceGetMemoryInfo": lambda g: SimpleNamespace(used=field("bytes")(g)),
        "nvmlDeviceGetPowerUsage": field("mw"),
        "nvmlDeviceGetTotalEnergyConsumption": field("mj"),
    }
    for name, member in members.items():
        setattr(module, name, member)
    return module


def install(monkeypatch: pytest.MonkeyPatch, gpus: list[dict[str, float]]) -> ModuleType:
    module = nvml(gpus)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def full(**changed: float) -> dict[str, float]:
    return {"percent": 50, "bytes": 2e9, "mw": 100_000, "mj": 5_000_000, **changed}


def test_sums_means_and_the_energy_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [full(percent=100), full(percent=20, bytes=1e9)]
    module = install(monkeypatch, gpus)
    with closing(Gpu()) as source:
        assert source.missing == {}

        def work() -> None:
            gpus[0]["mj"] += 30_000
            gpus[1]["mj"] += 12_000

        values = around(source, work)
    assert values == {
        "gpu_utilization": pytest.approx(0.6),
        "gpu_memory_used_mb": pytest.approx(3000),
        "gpu_power_w": pytest.approx(200),
        "gpu_energy_j": pytest.approx(42),
    }
    assert module.state == {"open": 0}


def test_a_field_that_one_gpu_lacks_is_unknown_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = full()
    del old["mj"]
    install(monkeypatch, [full(), old])
    with closing(Gpu()) as source:
        values = around(source, nothing)
    assert source.missing == {"gpu_energy_j": "NVML: Not Supported"}
    assert set(values) == set(READINGS) - {"gpu_energy_j"}


def test_a_gpu_lost_during_a_block_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [full()]
    install(monkeypatch, gpus)
    with closing(Gpu()) as source:
        assert around(source, gpus[0].clear) == {}


def test_no_gpu_is_a_reason_and_the_library_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = install(monkeypatch, [])
    with closing(Gpu()) as source:
        assert set(source.missing.values()) == {"NVML: the driver shows no GPU"}
        assert around(source, nothing) == {}
    assert module.state == {"open": 0}


def test_without_a_driver_or_the_library_there_is_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = install(monkeypatch, [])

    def fail() -> None:
        raise NVMLError("Driver Not Loaded")

    monkeypatch.setattr(module, "nvmlInit", fail)
    assert set(Gpu().missing.values()) == {"NVML: Driver Not Loaded"}
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py" in Gpu().missing["gpu_power_w"]
