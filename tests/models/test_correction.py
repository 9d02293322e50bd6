"""What traffic says of predicted times, on an app whose law is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from autorag.experience import Served
from models.candidates import Candidates
from models.correction import FEWEST_REQUESTS, MOST, corrections
from models.predictor import Predicted, Predictor, Task
from tests.autorag.machines import profile
from tests.models.learned import SPACE, Imagined, configs
from tests.models.test_training import trained

FEATURES = Imagined("shop", 0.5).features
POOL = Candidates(configs(), configs())


def predicted(corrected: Mapping[str, float] | None = None) -> Predicted:
    task = Task(FEATURES, profile(), corrections=corrected or {})
    return Predictor(trained(), POOL).on(task)


def traffic(*slower: float, requests: int = 500) -> list[tuple[Mapping[str, Any], Served]]:
    """What requests took with the first configs, each so many times slower than predicted."""
    usual = predicted()
    names = ("latency_p50_ms", "latency_p95_ms")
    rows = np.arange(len(slower))
    values = {n: usual.metric(n, rows) for n in names}
    return [
        (configs()[i], Served(i, requests, {n: float(values[n][i]) * slower[i] for n in names}))
        for i in rows.tolist()
    ]


def found(*slower: float, requests: int = 500) -> dict[str, float]:
    told = traffic(*slower, requests=requests)
    return corrections(trained().ratios, FEATURES, profile(), None, told)


def test_a_slower_stack_is_predicted_slower() -> None:
    factor = found(1.8, 2.0, 2.2)
    assert factor == pytest.approx({"latency_p50_ms": 2.0, "latency_p95_ms": 2.0})
    rows = np.array([3, 4, 5])
    usual, corrected = (p.metric("latency_p95_ms", rows) for p in (predicted(), predicted(factor)))
    assert corrected.tolist() == pytest.approx((2.0 * usual).tolist())


def test_requests_weigh() -> None:
    many, few = traffic(3.0, requests=900), traffic(1.0, 1.0, requests=100)
    told = [*many, *few]
    assert corrections(trained().ratios, FEATURES, profile(), None, told)["latency_p50_ms"] == 3.0


def test_few_requests_correct_nothing() -> None:
    assert found(2.0, requests=FEWEST_REQUESTS - 1) == {}
    assert found() == {}


@pytest.mark.parametrize(("slower", "factor"), [(100.0, MOST), (0.001, 1 / MOST)])
def test_a_factor_is_bounded(slower: float, factor: float) -> None:
    assert found(slower)["latency_p50_ms"] == factor


def test_a_time_that_nobody_saw_stays() -> None:
    assert "embed_p50_ms" not in found(2.0)
    assert SPACE.valid(dict(configs()[0]))
