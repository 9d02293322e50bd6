"""Where nothing else is known, a trial costs what trials cost so far."""

from __future__ import annotations

from autorag.ports import Estimate, Measurement
from models.analytic.mean_cost import MeanCosts
from tests.evaluator import SPACE


def took(seconds: float) -> Measurement:
    return Measurement({}, {}, (), {}, (), {"seconds": seconds})


def test_before_the_first_trial_nothing_is_expected() -> None:
    assert MeanCosts().estimate(SPACE.default(), 100) == Estimate(0.0, 0.0)


def test_the_mean_of_what_was_seen_is_expected() -> None:
    costs = MeanCosts()
    for seconds in (2.0, 4.0, 9.0):
        costs.observe(SPACE.default(), took(seconds))
    assert costs.estimate(SPACE.default(), 100) == Estimate(5.0, 0.0)
