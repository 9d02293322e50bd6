"""Replay: what the table holds is answered, every build is charged once, and studies run on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import InputError, MeasurementCancelled, MeasurementError
from autorag.metrics import METRICS
from autorag.objective import parse_objective
from autorag.optimizer import ModelFirstGreedy, RandomSearch, Strategy, best_trial
from autorag.ports import Measurement
from autorag.space import Config
from autorag.study import Limits, Plan, Study, Watcher
from autorag.table.replay import Answers, Replay, ReplayClock, View
from models.analytic.mean_cost import MeanCosts
from tests.autorag.table.tables import (
    BUSY_MS,
    SPACE,
    TIMED,
    Made,
    build_seconds,
    grid,
    rows,
    start_seconds,
    table,
)
from tests.fakes import MemoryTrialLog

DEFAULT = SPACE.default()
QUERIES = [f"q{i}" for i in range(TIMED)]
STAGE = {"lexical": "index"}


ANY = View()


@lru_cache
def the_answers(view: View = ANY) -> Answers:
    return Answers.of(table(Made("wiki", noise=0.02, jitter=0.1), Made("code")), "wiki", view)


def a_replay(view: View = ANY) -> tuple[Replay, ReplayClock]:
    clock = ReplayClock()
    return Replay(the_answers(view), clock), clock


def measured(config: Config, view: View = ANY) -> Measurement:
    return a_replay(view)[0].measure(config, QUERIES)


def row_of(config: Config, repeat: int = 0) -> dict[str, float]:
    made = Made("wiki", noise=0.02, jitter=0.1)
    return next(r for r in rows(made) if r["config"] == config.canonical and r["repeat"] == repeat)


def with_(**knobs: object) -> Config:
    return SPACE.config({k.replace("__", "."): v for k, v in knobs.items()})


TOKENS = with_(rerank__model="maxsim")
LEXICAL = with_(retrieve__mode="lexical")
HYBRID = with_(retrieve__mode="hybrid")


# -- what is answered ----------------------------------------------------------------------------


def test_a_config_answers_the_metrics_of_its_row() -> None:
    answer, row = measured(HYBRID), row_of(HYBRID)
    for name in ("ndcg_at_10", "recall_at_1", "latency_p95_ms", "memory_mb", "ann_recall_at_10"):
        assert answer.metrics[name] == pytest.approx(row[name], rel=1e-6)
    assert answer.metrics["context_tokens"] == pytest.approx(row["context_tokens_5"], rel=1e-6)
    assert set(answer.metrics) <= set(METRICS)
    assert list(answer.stages) == ["retrieve"]
    assert answer.stages["retrieve"]["p95_ms"] == pytest.approx(row["retrieve_p95_ms"], rel=1e-6)


@pytest.mark.parametrize(
    ("view", "column"),
    [
        (View(half="a"), "ndcg_at_10.a"),
        (View(half="b"), "ndcg_at_10.b"),
        (View(pseudo=True), "pseudo.ndcg_at_10"),
        (View(pseudo=True, half="b"), "pseudo.ndcg_at_10.b"),
    ],
)
def test_the_view_says_which_queries_judge(view: View, column: str) -> None:
    assert measured(HYBRID, view).metrics["ndcg_at_10"] == pytest.approx(
        row_of(HYBRID)[column], rel=1e-6
    )


def test_repeats_differ_in_times_and_agree_in_quality() -> None:
    first, second = (measured(HYBRID, View(repeat=r)).metrics for r in (0, 1))
    assert first["latency_p95_ms"] != second["latency_p95_ms"]
    assert first["ndcg_at_10"] == second["ndcg_at_10"]


def test_another_number_of_contexts_changes_the_tokens_only() -> None:
    one = SPACE.config({"generate.contexts": 1}, base=HYBRID)
    few, five = measured(one).metrics, measured(HYBRID).metrics
    assert few["context_tokens"] == pytest.approx(five["context_tokens"] / 5)
    assert {**few, "context_tokens": 0} == {**five, "context_tokens": 0}


def test_every_listed_config_is_answered_and_the_space_is_listed() -> None:
    replay, _ = a_replay()
    assert set(replay.configs) >= set(grid())
    assert all(replay.measure(c, QUERIES).metrics for c in replay.configs)


def test_an_unknown_config_is_named() -> None:
    unknown = Config((*HYBRID.values_by_knob, ("embed.dim", 64)))
    replay, clock = a_replay()
    with pytest.raises(MeasurementError, match=r'"embed.dim":64.*wiki'):
        replay.measure(unknown, QUERIES)
    assert clock.now == 0


def test_what_was_not_generated_is_not_answered() -> None:
    with pytest.raises(MeasurementError, match="generated"):
        a_replay()[0].measure(HYBRID, QUERIES, generate=True)


@pytest.mark.parametrize(("workload", "repeat"), [("nobody", 0), ("wiki", 7)])
def test_a_view_that_the_table_lacks_is_named(workload: str, repeat: int) -> None:
    with pytest.raises(InputError, match=f"repeat {repeat} of '{workload}'"):
        Answers.of(table(Made("wiki")), workload, View(repeat))


# -- seconds -------------------------------------------------------------------------------------


def run_s(config: Config, queries: int = TIMED) -> float:
    surrounding = BUSY_MS * queries / 1000
    return start_seconds(config) + surrounding + latency_s(config) * queries


def latency_s(config: Config) -> float:
    return the_answers().by_config[config].metrics["latency_p50_ms"] / 1000


def test_the_first_measurement_takes_start_builds_and_queries() -> None:
    replay, clock = a_replay()
    taken = replay.measure(HYBRID, QUERIES)
    built = build_seconds(HYBRID)
    assert clock.now == pytest.approx(sum(built.values()) + run_s(HYBRID), rel=1e-5)
    assert taken.conditions["seconds"] == clock.now
    assert taken.build_s == pytest.approx(
        {"chunk": built["chunk"], "embed": built["embed"], "index": built["index"] + 1.5}
    )
    assert taken.metrics["build_s"] == pytest.approx(sum(built.values()))
    assert taken.reused == []


def test_fewer_queries_take_less() -> None:
    replay, clock = a_replay()
    replay.measure(HYBRID, QUERIES)
    before = clock.now
    again = replay.measure(HYBRID, QUERIES[:10])
    assert clock.now - before == pytest.approx(run_s(HYBRID, 10), rel=1e-5)
    assert again.build_s == {}
    assert again.reused == ["chunk", "embed", "index"]
    assert again.metrics["build_s"] == 0


def test_a_stage_of_which_a_part_is_new_is_not_reused() -> None:
    replay, _ = a_replay()
    replay.measure(LEXICAL, QUERIES)
    then = replay.measure(HYBRID, QUERIES)
    assert then.reused == ["chunk"]
    assert then.build_s["index"] == pytest.approx(build_seconds(HYBRID)["index"])


def test_the_token_pass_gives_the_vectors_of_its_model() -> None:
    replay, _ = a_replay()
    taken = replay.measure(TOKENS, QUERIES)
    assert set(taken.build_s) == {"chunk", "rerank", "embed", "index"}
    assert taken.build_s["embed"] == 0
    assert taken.reused == []
    assert replay.measure(DEFAULT, QUERIES).build_s == {}


def test_vectors_alone_do_not_give_the_tokens() -> None:
    replay, _ = a_replay()
    replay.measure(DEFAULT, QUERIES)
    assert set(replay.measure(TOKENS, QUERIES).build_s) == {"rerank"}


configs_in_any_order = st.lists(st.sampled_from(grid()), min_size=1, max_size=25)


def distinct_builds(configs: Sequence[Config]) -> dict[tuple[object, ...], float]:
    """Every build that the configs need, told apart by the knobs that name it."""
    found: dict[tuple[object, ...], float] = {}
    for config in configs:
        for name, seconds in build_seconds(config).items():
            knobs = [config["chunk.tokens"]]
            if name in ("embed", "index"):
                knobs.append(config["embed.model"])
            if name == "index":
                knobs.append(config["index.kind"])
            found[(name, *knobs)] = seconds
    return found


@given(configs_in_any_order)
def test_every_build_is_charged_once_in_any_order(configs: list[Config]) -> None:
    kept = [c for c in configs if c["rerank.model"] != "maxsim"]
    replay, clock = a_replay()
    for config in kept:
        replay.measure(config, QUERIES)
    expected = sum(distinct_builds(kept).values()) + sum(run_s(c) for c in kept)
    assert clock.now == pytest.approx(expected, rel=1e-5)


@given(configs_in_any_order)
def test_one_pass_is_all_that_the_order_can_save(configs: list[Config]) -> None:
    replay, clock = a_replay()
    for config in configs:
        replay.measure(config, QUERIES)
    builds = distinct_builds(configs)
    most = sum(builds.values()) + sum(run_s(c) for c in configs)
    passes = {k[1]: s for k, s in builds.items() if k[0] == "rerank"}
    savable = sum(s for tokens, s in passes.items() if ("embed", tokens, "minilm-int8") in builds)
    assert most - savable <= clock.now * (1 + 1e-5)
    assert clock.now <= most * (1 + 1e-5)


@given(configs_in_any_order)
def test_the_clock_tells_what_the_measurements_say(configs: list[Config]) -> None:
    replay, clock = a_replay()
    seconds = [replay.measure(c, QUERIES).conditions["seconds"] for c in configs]
    assert clock.now == pytest.approx(sum(seconds))


@given(configs_in_any_order)
def test_replaying_again_gives_the_same(configs: list[Config]) -> None:
    def run() -> list[Measurement]:
        replay, _ = a_replay()
        return [replay.measure(c, QUERIES) for c in configs]

    assert run() == run()


# -- deadlines -----------------------------------------------------------------------------------


def test_a_measurement_ends_at_its_deadline() -> None:
    replay, clock = a_replay()
    with pytest.raises(MeasurementCancelled):
        replay.measure(HYBRID, QUERIES, deadline=3.0)
    assert clock.now == 3.0


def test_what_was_built_before_the_deadline_stays_built() -> None:
    replay, _ = a_replay()
    needed = start_seconds(HYBRID) + sum(build_seconds(HYBRID).values()) - 1.0
    with pytest.raises(MeasurementCancelled):
        replay.measure(HYBRID, QUERIES, deadline=needed)
    again = replay.measure(HYBRID, QUERIES)
    assert again.reused == ["chunk", "embed"]
    assert set(again.build_s) == {"index"}


def test_a_deadline_that_is_met_changes_nothing() -> None:
    replay, clock = a_replay()
    free = replay.measure(HYBRID, QUERIES)
    other, _ = a_replay()
    assert other.measure(HYBRID, QUERIES, deadline=clock.now) == free


# -- studies -------------------------------------------------------------------------------------

OBJECTIVE = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 20")


def study(replay: Replay, clock: ReplayClock) -> Study:
    plan = Plan(DEFAULT, OBJECTIVE, tuple(QUERIES[:30]), tuple(QUERIES[30:]))
    logs = MemoryTrialLog(), MemoryTrialLog()
    return Study(plan, replay, *logs, MeanCosts(), clock, Watcher())


@pytest.mark.parametrize(
    "strategy",
    [RandomSearch(SPACE, OBJECTIVE, 1), ModelFirstGreedy(SPACE, OBJECTIVE, 1)],
    ids=lambda s: s.name,
)
def test_a_study_finds_a_good_config_of_the_table(strategy: Strategy) -> None:
    replay, clock = a_replay()
    trials = study(replay, clock).run(strategy, Limits(50))
    assert {t.state for t in trials} == {"finished"}
    assert clock.now == pytest.approx(sum(t.seconds for t in trials))
    best = best_trial(trials, OBJECTIVE)
    feasible = [
        a.metrics["ndcg_at_10"]
        for a in the_answers().by_config.values()
        if OBJECTIVE.feasible(a.metrics)
    ]
    assert best.metrics["ndcg_at_10"] >= sorted(feasible)[-len(feasible) // 10]


def test_a_study_stops_at_its_budget() -> None:
    replay, clock = a_replay()
    trials = study(replay, clock).run(
        RandomSearch(SPACE, OBJECTIVE, 1), Limits(100, budget_s=400.0)
    )
    assert 1 < len(trials) < 100
    assert clock.now <= 400.0


def test_the_winner_is_judged_on_what_it_was_not_chosen_on() -> None:
    replay, clock = a_replay(View(repeat=0, half="a"))
    trials = study(replay, clock).run(RandomSearch(SPACE, OBJECTIVE, 1), Limits(50))
    chosen = best_trial(trials, OBJECTIVE)
    judged = measured(chosen.config, View(repeat=1, half="b")).metrics["ndcg_at_10"]
    assert judged < chosen.metrics["ndcg_at_10"]
