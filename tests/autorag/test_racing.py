"""Races: what cannot win ends early, and what is as good hardly ever does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.objective import parse_objective
from autorag.ports import LOST, SEEN, Measurement
from autorag.racing import FEWEST, TOLERANCE, Race, Referee
from autorag.study import Limits
from tests.autorag.test_study import DEFAULT, Setting, quality
from tests.fakes import FakeMeasurer

METRIC = "ndcg_at_10"


def ended(race: Race, values: list[float], times: list[float]) -> tuple[int, str | None]:
    """After how many queries, and why."""
    referee = Referee(race, len(values))
    for i, (value, ms) in enumerate(zip(values, times, strict=True)):
        if (why := referee.lost(str(i), {METRIC: value}, ms)) is not None:
            return i + 1, why
    return len(values), None


def against(rival: list[float], longest_ms: float | None = None) -> Race:
    return Race(METRIC, {str(i): v for i, v in enumerate(rival)}, longest_ms)


def test_what_is_far_worse_ends_soon() -> None:
    rng = np.random.default_rng(0)
    rival = rng.random(400)
    asked, why = ended(against(rival.tolist()), (rival * 0.5).tolist(), [1.0] * 400)
    assert asked < 150
    assert why is not None
    assert METRIC in why


def test_what_is_as_good_is_hardly_ever_dropped() -> None:
    """By the bound one of a hundred may be."""
    dropped = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rival, own = rng.random(200), rng.random(200)
        own += rival.mean() - own.mean()
        dropped += ended(against(rival.tolist()), own.tolist(), [1.0] * 200)[1] is not None
    assert dropped <= 6


def test_what_is_far_too_slow_ends_as_soon_as_may_be() -> None:
    asked, why = ended(against([0.5] * 100, 20.0), [1.0] * 100, [500.0] * 100)
    assert asked == FEWEST
    assert why is not None
    assert "20 ms" in why


@given(st.floats(1.0, 500.0))
def test_what_is_near_the_bound_is_measured_to_its_end(bound: float) -> None:
    times = [0.99 * TOLERANCE * bound] * 100
    assert ended(against([0.5] * 100, bound), [0.5] * 100, times) == (100, None)


def test_slow_moments_of_the_machine_do_not_count() -> None:
    referee = Referee(against([0.5] * 100, 20.0), 100)
    assert all(referee.lost(str(i), {METRIC: 0.5}, None) is None for i in range(100))


def test_there_is_no_race_on_what_is_known_only_in_the_end() -> None:
    setting = Setting(lambda c: {"ann_recall_at_10": 1.0})
    setting.objective = parse_objective("max ann_recall_at_10")
    setting.measurer = RacingMeasurer(setting.answer, setting.clock, setting.seconds)
    setting.measurer.races = []
    setting.run(Limits(2))
    assert setting.measurer.races == [None] * 3


def test_a_few_slow_queries_are_allowed() -> None:
    times = [500.0 if i % 25 == 0 else 1.0 for i in range(400)]
    assert ended(against([0.5] * 400, 20.0), [0.5] * 400, times)[1] is None


def test_a_race_is_the_same_in_json() -> None:
    race = against([0.25, 1.0], 20.0)
    assert Race.from_json(race.to_json()) == race


class RacingMeasurer(FakeMeasurer):
    """Ends early whatever runs against something."""

    races: list[Race | None]

    def measure(self, config, queries, *, race=None, **more) -> Measurement:  # type: ignore[no-untyped-def, override]
        found = super().measure(config, queries, **more)
        self.races.append(race)
        if race is None or config == DEFAULT:
            return found
        return replace(found, conditions={LOST: "too slow", SEEN: 1 / 3}, queries=found.queries[:1])


@pytest.fixture
def racing() -> Setting:
    setting = Setting()
    setting.measurer = RacingMeasurer(quality, setting.clock, setting.seconds)
    setting.measurer.races = []
    return setting


def test_trials_run_against_the_best_so_far(racing: Setting) -> None:
    trials = racing.run(Limits(3))
    first, *others = racing.measurer.races  # type: ignore[attr-defined]
    assert first is None
    rival = dict.fromkeys(("s1", "s2", "s3"), trials[0].metrics[METRIC])
    assert all(race == Race(METRIC, rival, None) for race in others)


def test_what_lost_is_kept_with_what_it_saw(racing: Setting) -> None:
    trials = racing.run(Limits(3))
    assert [t.state for t in trials] == ["finished", *["censored"] * 3]
    assert all(t.reason == "too slow" and t.metrics for t in trials[1:])
    assert len(racing.log.query_results(1)) == 1
    assert racing.costs.observed == [t.config for t in trials]


def test_the_report_is_no_race(racing: Setting) -> None:
    study = racing.study()
    racing.run(Limits(1))
    study.measure_report(0)
    assert racing.measurer.races[-1] is None  # type: ignore[attr-defined]
