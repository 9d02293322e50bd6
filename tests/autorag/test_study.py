"""The study loop over fakes of its ports: limits, budget, failures, and going on after a kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import MeasurementError, UnreachableError, WorkCancelled
from autorag.objective import Objective, parse_objective
from autorag.optimizer import (
    ModelFirstGreedy,
    Proposal,
    RandomSearch,
    Strategy,
    best_trial,
    pareto_trials,
)
from autorag.ports import Estimate, Measurement, Trial
from autorag.space import Choice, Config, Knob, Number, Space
from autorag.study import LARGEST_SHARE, PROPOSED, Limits, Plan, Study, Watcher
from tests.fakes import Answer, FakeCosts, FakeMeasurer, ManualClock, MemoryTrialLog, Seconds

SPACE = Space(
    (
        Knob("retrieve.mode", Choice(("dense", "lexical")), "dense", "retrieve"),
        Knob("retrieve.k", Number(1, 9, integer=True, grid=(1, 3, 5, 7, 9)), 3, "retrieve"),
        Knob("chunk.tokens", Number(32, 128, integer=True, grid=(32, 64, 128)), 64, "chunk"),
    )
)
DEFAULT = SPACE.default()
SEARCH, REPORT = ("s1", "s2", "s3"), ("r1", "r2")
OBJECTIVE = parse_objective("max ndcg_at_10")
ENDLESS = Limits(5)


def quality(config: Config) -> Mapping[str, float]:
    """Best for seven long chunks."""
    near = 1 - abs(int(config["retrieve.k"]) - 7) / 9
    return {"ndcg_at_10": near * int(config["chunk.tokens"]) / 128, "latency_p95_ms": 5.0}


@dataclass
class Setting:
    """What outlives a killed study, and how it goes."""

    answer: Answer = quality
    seconds: Seconds = lambda config: 1.0
    expected: Seconds = lambda config: 1.0
    objective: Any = OBJECTIVE
    clock: ManualClock = field(default_factory=ManualClock)
    log: MemoryTrialLog = field(default_factory=MemoryTrialLog)
    report_log: MemoryTrialLog = field(default_factory=MemoryTrialLog)
    watcher: Watcher = field(default_factory=Watcher)

    def __post_init__(self) -> None:
        self.measurer = FakeMeasurer(self.answer, self.clock, self.seconds)
        self.costs = FakeCosts(self.expected)

    def study(self) -> Study:
        plan = Plan(DEFAULT, self.objective, SEARCH, REPORT)
        return Study(
            plan, self.measurer, self.log, self.report_log, self.costs, self.clock, self.watcher
        )

    def run(self, limits: Limits, strategy: Strategy | None = None) -> list[Trial]:
        return self.study().run(strategy or a_strategy(), limits)


def a_strategy(seed: int = 0) -> Strategy:
    return ModelFirstGreedy(SPACE, OBJECTIVE, seed)


def states(trials: Sequence[Trial]) -> list[str]:
    return [t.state for t in trials]


def fails_on(*configs: Config) -> Answer:
    def answer(config: Config) -> Mapping[str, float]:
        if config in configs:
            raise MeasurementError("out of memory")
        return quality(config)

    return answer


def failing_but(*kept: Config) -> Answer:
    def answer(config: Config) -> Mapping[str, float]:
        if config not in kept:
            raise MeasurementError("out of memory")
        return quality(config)

    return answer


def test_the_default_is_measured_first_on_the_search_queries() -> None:
    setting = Setting()
    trials = setting.run(ENDLESS)
    assert (trials[0].number, trials[0].config) == (0, DEFAULT)
    assert setting.measurer.asked[0] == (DEFAULT, SEARCH, False)
    assert all(queries == SEARCH for _, queries, _ in setting.measurer.asked)


@pytest.mark.parametrize("count", [1, 4])
def test_the_default_is_beside_the_trials_asked_for(count: int) -> None:
    trials = Setting().run(Limits(count))
    assert [t.number for t in trials] == list(range(count + 1))


def test_a_trial_keeps_what_was_measured_and_how_long_it_took() -> None:
    setting = Setting(seconds=lambda config: 2.5)
    trial = setting.run(Limits(1))[1]
    assert (trial.state, trial.seconds) == ("finished", 2.5)
    assert trial.metrics == quality(trial.config)
    assert [q.query for q in setting.log.query_results(1)] == list(SEARCH)


def test_answers_are_generated_when_the_objective_needs_them() -> None:
    setting = Setting(objective=parse_objective("max answer_f1"))
    setting.run(Limits(1))
    assert all(generate for _, _, generate in setting.measurer.asked)


def test_a_search_ends_when_nothing_is_left_to_try() -> None:
    trials = Setting().run(Limits(1000))
    assert len({t.config for t in trials}) == len(trials) == 30


def test_the_cost_model_learns_from_every_finished_trial() -> None:
    setting = Setting()
    trials = setting.run(ENDLESS)
    assert setting.costs.observed == [t.config for t in trials]


# -- budget ------------------------------------------------------------------------------------


def test_the_default_is_measured_even_if_the_budget_then_ends() -> None:
    setting = Setting(seconds=lambda config: 100.0, expected=lambda config: 100.0)
    assert states(setting.run(Limits(5, budget_s=1.0))) == ["finished"]


def test_a_study_with_its_report_stays_within_the_budget() -> None:
    setting = Setting()
    started = setting.clock.now
    study = setting.study()
    trials = study.run(a_strategy(), Limits(1000, budget_s=10.0))
    for number in (0, best_trial(trials, OBJECTIVE).number):
        study.measure_report(number)
    assert setting.clock.now - started <= 10.0
    assert len(trials) == 8


def test_time_for_the_report_is_kept_once_when_the_default_is_best() -> None:
    setting = Setting(lambda config: {"ndcg_at_10": float(config == DEFAULT)})
    assert len(setting.run(Limits(1000, budget_s=10.0))) == 9


def test_time_spent_before_a_kill_counts() -> None:
    setting = Setting()
    setting.run(Limits(3, budget_s=10.0))
    setting.clock.advance(1e6)
    assert len(setting.run(Limits(1000, budget_s=10.0))) == 8


def expensive(config: Config) -> float:
    return 50.0 if config["chunk.tokens"] == 128 else 1.0


def test_a_config_that_is_expected_to_take_too_long_is_skipped() -> None:
    setting = Setting(expected=expensive)
    trials = setting.run(Limits(10, budget_s=100.0))
    skipped = [t for t in trials if t.state == "skipped"]
    assert skipped
    assert all(t.config["chunk.tokens"] == 128 for t in skipped)
    assert all("50 s" in (t.reason or "") and "40 s" in (t.reason or "") for t in skipped)
    assert not any(c["chunk.tokens"] == 128 for c, _, _ in setting.measurer.asked)


def test_skipped_configs_are_not_among_the_trials_asked_for() -> None:
    trials = Setting(expected=expensive).run(Limits(10, budget_s=100.0))
    assert states(trials).count("finished") == 11


def test_the_largest_share_of_the_budget_is_allowed() -> None:
    setting = Setting(expected=lambda c: LARGEST_SHARE * 100 if c == DEFAULT else 40.0)
    assert states(setting.run(Limits(1, budget_s=200.0))) == ["finished", "finished"]


def test_a_trial_is_cancelled_at_the_deadline() -> None:
    setting = Setting(seconds=lambda config: 1.0 if config == DEFAULT else 500.0)
    started = setting.clock.now
    trials = setting.run(Limits(5, budget_s=20.0))
    assert states(trials) == ["finished", "skipped"]
    assert trials[1].reason == "the deadline passed"
    assert trials[1].seconds == pytest.approx(18.0)
    assert setting.clock.now - started == pytest.approx(19.0)


def test_without_a_budget_nothing_is_skipped_or_cancelled() -> None:
    setting = Setting(seconds=lambda config: 1e7, expected=lambda config: 1e7)
    assert states(setting.run(ENDLESS)) == ["finished"] * 6


# -- failures ----------------------------------------------------------------------------------


def test_a_failed_trial_is_recorded_and_the_search_goes_on() -> None:
    second = Setting().run(Limits(1))[1].config
    setting = Setting(fails_on(second))
    trials = setting.run(ENDLESS)
    assert states(trials) == ["finished", "failed", *["finished"] * 4]
    assert (trials[1].reason, trials[1].metrics) == ("out of memory", {})
    assert second not in setting.costs.observed


def test_a_failed_default_is_an_error_and_leaves_no_trial() -> None:
    setting = Setting(fails_on(DEFAULT))
    with pytest.raises(MeasurementError, match="out of memory"):
        setting.run(ENDLESS)
    assert setting.log.trials() == []


def test_a_study_whose_default_failed_can_be_run_again() -> None:
    setting = Setting(fails_on(DEFAULT))
    with pytest.raises(MeasurementError):
        setting.run(ENDLESS)
    setting.measurer.answer = quality
    assert states(setting.run(ENDLESS)) == ["finished"] * 6


def test_when_all_else_fails_the_default_is_best() -> None:
    trials = Setting(failing_but(DEFAULT)).run(ENDLESS)
    assert best_trial(trials, OBJECTIVE).config == DEFAULT


@pytest.mark.parametrize("trial", [0, 2, 5])
def test_an_outage_fails_no_trial_and_the_study_goes_on_after_it(trial: int) -> None:
    undisturbed, setting = Setting(), Setting()
    undisturbed.run(ENDLESS)
    left = [trial]

    def until_it_is_gone(config: Config) -> Mapping[str, float]:
        left[0] -= 1
        if left[0] < 0:
            raise UnreachableError("nobody there")
        return quality(config)

    setting.measurer.answer = until_it_is_gone
    with pytest.raises(UnreachableError):
        setting.run(ENDLESS)
    assert states(setting.log.trials()) == ["finished"] * trial
    setting.measurer.answer = quality
    setting.run(ENDLESS)
    assert setting.log.trials() == undisturbed.log.trials()


# -- the report --------------------------------------------------------------------------------


def test_the_report_is_measured_on_its_own_queries() -> None:
    setting = Setting()
    study = setting.study()
    study.run(a_strategy(), ENDLESS)
    trial = study.measure_report(0)
    assert setting.measurer.asked[-1] == (DEFAULT, REPORT, False)
    assert (trial.config, trial.metrics) == (DEFAULT, quality(DEFAULT))
    assert [q.query for q in setting.report_log.query_results(0)] == list(REPORT)


def test_the_report_is_measured_once() -> None:
    setting = Setting()
    study = setting.study()
    study.run(a_strategy(), ENDLESS)
    first = study.measure_report(0)
    calls = len(setting.measurer.asked)
    assert study.measure_report(0) == first
    assert setting.study().measure_report(0) == first
    assert len(setting.measurer.asked) == calls


def test_a_report_that_failed_is_measured_again() -> None:
    setting = Setting()
    study = setting.study()
    study.run(a_strategy(), ENDLESS)
    setting.measurer.answer = fails_on(DEFAULT)
    with pytest.raises(MeasurementError):
        study.measure_report(0)
    setting.measurer.answer = quality
    study.run(a_strategy(), ENDLESS)
    assert study.measure_report(0).state == "finished"


# -- going on after a kill ---------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the death of the process."""


class Fuse:
    """Burns at one call of the ports wired to it, before or after the call did its work."""

    def __init__(self, calls: int, before: bool) -> None:
        self._left = calls
        self._before = before

    def wire(self, port: Any) -> Any:
        return _Wired(port, self)

    def call(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if self._left == 0 and self._before:
            raise Killed
        result = work(*args, **kwargs)
        if self._left == 0:
            raise Killed
        return result


class _Wired:
    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        work = getattr(self._port, name)
        return lambda *args, **kwargs: self._fuse.call(work, *args, **kwargs)


def results(setting: Setting) -> list[Trial]:
    return [*setting.log.trials(), *setting.report_log.trials()]


def complete(study: Study, seed: int, limits: Limits) -> None:
    """The whole of a study, report included."""
    trials = study.run(RandomSearch(SPACE, OBJECTIVE, seed, 4), limits)
    for number in (0, best_trial(trials, OBJECTIVE).number):
        study.measure_report(number)


def kill(setting: Setting, fuse: Fuse, seed: int, limits: Limits) -> bool:
    """Run until the fuse burns; whether it did."""
    plan = Plan(DEFAULT, OBJECTIVE, SEARCH, REPORT)
    ports = (setting.measurer, setting.log, setting.report_log, setting.costs)
    measurer, log, report_log, costs = (fuse.wire(p) for p in ports)
    study = Study(plan, measurer, log, report_log, costs, setting.clock, fuse.wire(Watcher()))
    try:
        complete(study, seed, limits)
    except Killed:
        return True
    return False


BAD = SPACE.config({"retrieve.mode": "lexical", "chunk.tokens": 32})
fuses = st.lists(st.tuples(st.integers(1, 120), st.booleans()), min_size=1, max_size=4)
limits_ = st.sampled_from([Limits(6), Limits(6, budget_s=100.0)])


@given(fuses, st.integers(0, 50), limits_)
def test_a_killed_study_ends_as_an_undisturbed_one(
    kills: list[tuple[int, bool]], seed: int, limits: Limits
) -> None:
    undisturbed, killed = (
        Setting(fails_on(BAD), seconds=lambda c: 0.5, expected=expensive) for _ in range(2)
    )
    complete(undisturbed.study(), seed, limits)
    for calls, before in kills:
        kill(killed, Fuse(calls, before), seed, limits)
    complete(killed.study(), seed, limits)
    assert results(killed) == results(undisturbed)


def test_every_call_of_a_port_is_a_point_where_it_may_be_killed() -> None:
    undisturbed = Setting(expected=expensive)
    complete(undisturbed.study(), 1, Limits(3))
    calls = 1
    while True:
        killed = Setting(expected=expensive)
        if not kill(killed, Fuse(calls, calls % 2 == 0), 1, Limits(3)):
            break
        complete(killed.study(), 1, Limits(3))
        assert results(killed) == results(undisturbed)
        calls += 1
    assert calls > 40


class LearningCosts(FakeCosts):
    """Expects of a config what its kind took before; a guess far too low at first."""

    def estimate(self, config: Config, queries: int) -> Estimate:
        seen = {c["chunk.tokens"] for c in self.observed}
        return Estimate(expensive(config) if config["chunk.tokens"] in seen else 1.0, 0.0)


def test_what_was_learned_about_costs_survives_a_kill() -> None:
    def setting() -> Setting:
        made = Setting(seconds=expensive)
        made.costs = LearningCosts()
        return made

    limits, strategy = Limits(12, budget_s=110.0), RandomSearch(SPACE, OBJECTIVE, 0, 29)
    undisturbed, killed = setting(), setting()
    undisturbed.run(limits, strategy)
    assert "skipped" in states(undisturbed.log.trials())
    first = next(t.number for t in undisturbed.log.trials() if t.config["chunk.tokens"] == 128)
    killed.run(Limits(first, budget_s=110.0), strategy)
    killed.costs = LearningCosts()
    killed.run(limits, strategy)
    assert states(killed.log.trials()) == states(undisturbed.log.trials())


def test_a_finished_study_is_not_measured_again() -> None:
    setting = Setting()
    complete(setting.study(), 0, ENDLESS)
    before, calls = results(setting), len(setting.measurer.asked)
    complete(setting.study(), 0, ENDLESS)
    assert results(setting) == before
    assert len(setting.measurer.asked) == calls


def test_a_cancelled_trial_is_no_result_and_the_study_goes_on_later() -> None:
    undisturbed, cancelled = Setting(), Setting()
    complete(undisturbed.study(), 0, ENDLESS)
    measure = cancelled.measurer.measure

    def stopped(*_: Any, **__: Any) -> Any:
        raise WorkCancelled("cancelled")

    cancelled.run(Limits(2), RandomSearch(SPACE, OBJECTIVE, 0, 4))
    cancelled.measurer.measure = stopped  # type: ignore[method-assign]
    with pytest.raises(WorkCancelled):
        complete(cancelled.study(), 0, ENDLESS)
    assert states(cancelled.log.trials()) == ["finished", "finished", "finished", "running"]
    cancelled.measurer.measure = measure  # type: ignore[method-assign]
    complete(cancelled.study(), 0, ENDLESS)
    assert results(cancelled) == results(undisturbed)


def test_costs_are_told_how_it_was_measured() -> None:
    told: list[Mapping[str, Any]] = []

    class Told(FakeCosts):
        def observe(self, config: Config, measurement: Measurement) -> None:
            told.append(measurement.conditions)

    setting = Setting()
    setting.costs = Told()
    measure = setting.measurer.measure
    setting.measurer.measure = lambda *a, **k: replace(  # type: ignore[method-assign]
        measure(*a, **k), conditions={"seconds": 7}
    )
    setting.run(Limits(1))
    current = {"why": "the current settings, to compare with", "gain": None, "chance": None}
    other = {"why": "", "gain": None, "chance": None}
    assert told == [{"seconds": 7, PROPOSED: {**p, "seconds": 0.0}} for p in (current, other)]


# -- watching, choosing ------------------------------------------------------------------------


@dataclass
class Diary(Watcher):
    """Writes down what it is told."""

    lines: list[str] = field(default_factory=list)

    def trial_started(self, number: int, proposal: Proposal, estimate: Estimate) -> None:
        self.lines.append(f"start {number}")

    def trial_ended(self, trial: Trial) -> None:
        self.lines.append(f"{trial.state} {trial.number}")

    def report_started(self, config: Config) -> None:
        self.lines.append("report")


def test_the_watcher_is_told_what_happens() -> None:
    diary = Diary()
    setting = Setting(fails_on(Setting().run(Limits(1))[1].config), watcher=diary)
    study = setting.study()
    study.run(a_strategy(), Limits(2))
    study.measure_report(0)
    told = ["start 0", "finished 0", "start 1", "failed 1", "start 2", "finished 2", "report"]
    assert diary.lines == told


def finished(number: int, ndcg: float, latency: float = 1.0) -> Trial:
    metrics = {"ndcg_at_10": ndcg, "latency_p95_ms": latency}
    return Trial(number, DEFAULT, "finished", metrics)


def test_the_best_trial_is_feasible_first_then_best_then_earliest() -> None:
    objective = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 10")
    trials = [finished(0, 0.5), finished(1, 0.9, 50.0), finished(2, 0.7), finished(3, 0.7)]
    assert best_trial(trials, objective).number == 2


def test_unfinished_trials_are_never_best() -> None:
    trials = [finished(0, 0.1), Trial(1, DEFAULT, "failed", {"ndcg_at_10": 1.0})]
    assert best_trial(trials, OBJECTIVE).number == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_pareto_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    trials = [finished(i, float(q), float(ms)) for i, (q, ms) in enumerate(points)]
    front = pareto_trials(trials, OBJECTIVE, Objective("latency_p95_ms", "min"))
    ms = [t.metrics["latency_p95_ms"] for t in front]
    assert ms == sorted(ms)
    wanted = {
        (q, t)
        for q, t in points
        if not any((p >= q and s <= t) and (p, s) != (q, t) for p, s in points)
    }
    found = [(t.metrics["ndcg_at_10"], t.metrics["latency_p95_ms"]) for t in front]
    assert set(found) == wanted
    assert len(found) == len(wanted)
