"""Objectives are parsed, compared and explained; metrics have one name each."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autorag.errors import InputError, ObjectiveError
from autorag.metrics import METRICS, metric
from autorag.objective import DEFAULT_OBJECTIVE, Objective, Slo, parse_goal, parse_objective

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.sampled_from(sorted(METRICS))
slos = st.builds(Slo, names, st.booleans(), finite)
objectives = st.builds(
    Objective,
    names,
    st.sampled_from(["max", "min"]),
    st.lists(slos, max_size=4, unique_by=lambda s: (s.metric, s.at_most)).map(tuple),
)
measurements = st.dictionaries(names, finite)


def test_the_default_objective_is_the_one_of_the_design() -> None:
    text = "max ndcg_at_10 subject to latency_p95_ms <= 100, context_tokens <= 2000"
    assert parse_objective(text) == DEFAULT_OBJECTIVE
    assert str(DEFAULT_OBJECTIVE) == text


@given(objectives)
def test_an_objective_reads_back_what_it_prints(objective: Objective) -> None:
    assert parse_objective(str(objective)) == objective


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max recall_at_10", Objective("recall_at_10", "max")),
        ("  MIN memory_mb  ", Objective("memory_mb", "min")),
        (
            "min latency_p50_ms subject to recall_at_5>=.8",
            Objective("latency_p50_ms", "min", (Slo("recall_at_5", False, 0.8),)),
        ),
        (
            "max answer_f1 SUBJECT  TO build_s < 1e2 and memory_mb ≤ 5.5",
            Objective("answer_f1", "max", (Slo("build_s", True, 100), Slo("memory_mb", True, 5.5))),
        ),
        (
            "max ndcg_at_10\nsubject to recall_at_1 ≥ 0.1, recall_at_1 <= 0.9",
            Objective(
                "ndcg_at_10",
                "max",
                (Slo("recall_at_1", False, 0.1), Slo("recall_at_1", True, 0.9)),
            ),
        ),
    ],
)
def test_forms_that_are_understood(text: str, expected: Objective) -> None:
    assert parse_objective(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ndcg_at_10",
        "maximise ndcg_at_10",
        "max ndcg_at_10 latency_p95_ms <= 5",
        "max ndcg_at_10 subject to",
        "max ndcg_at_10, recall_at_10",
    ],
)
def test_an_objective_out_of_form_is_quoted_with_the_form(text: str) -> None:
    with pytest.raises(ObjectiveError, match="cannot parse objective") as error:
        parse_objective(text)
    assert error.value.key == "objective"
    assert error.value.value == text
    assert repr(text) in str(error.value)
    assert "max|min METRIC" in str(error.value)


@pytest.mark.parametrize(
    "constraint",
    [
        "latency_p95_ms",
        "latency_p95_ms <= fast",
        "latency_p95_ms = 5",
        "latency_p95_ms <= 5,",
        "5 >= latency_p95_ms",
        "latency_p95_ms <= nan",
    ],
)
def test_a_constraint_out_of_form_is_quoted(constraint: str) -> None:
    with pytest.raises(ObjectiveError, match="cannot parse constraint") as error:
        parse_objective(f"max ndcg_at_10 subject to {constraint}")
    assert error.value.key == "objective"


@pytest.mark.parametrize(
    "text", ["max ndcg_at10", "max ndcg_at_10 subject to ndcg_at10 >= 1", "min ndcg_at10"]
)
def test_an_unknown_metric_is_named_with_the_closest(text: str) -> None:
    with pytest.raises(ObjectiveError, match="'ndcg_at10'; did you mean ndcg_at_10") as error:
        parse_objective(text)
    assert error.value.key == "ndcg_at10"


def test_an_unknown_metric_like_no_other_lists_all() -> None:
    with pytest.raises(ObjectiveError, match="unknown metric 'zzz'") as error:
        metric("zzz")
    assert all(name in str(error.value) for name in METRICS)
    assert isinstance(error.value, InputError)


def test_a_metric_bounded_twice_the_same_way_is_refused() -> None:
    with pytest.raises(ObjectiveError, match="bounds a metric twice") as error:
        parse_objective("max ndcg_at_10 subject to build_s <= 5, build_s < 6")
    assert error.value.key == "objective"


def test_metric_names_are_those_of_the_design() -> None:
    assert set(METRICS) == {
        *("recall_at_1", "recall_at_5", "recall_at_10", "ndcg_at_10", "mrr_at_10"),
        *("ann_recall_at_10", "answer_f1", "answer_em", "latency_p50_ms", "latency_p95_ms"),
        *("ttft_p95_ms", "end_to_end_p95_ms", "context_tokens", "memory_mb", "rss_peak_mb"),
        "build_s",
    }
    assert all(metric(name).name == name for name in METRICS)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_ratios_are_better_when_higher_and_costs_when_lower(name: str) -> None:
    assert metric(name).higher_is_better == (metric(name).unit == "")


@pytest.mark.parametrize(
    ("text", "generates"),
    [
        ("max ndcg_at_10", False),
        ("min latency_p95_ms", False),
        ("max answer_em", True),
        ("max ndcg_at_10 subject to ttft_p95_ms <= 500", True),
        ("min end_to_end_p95_ms", True),
    ],
)
def test_generation_is_needed_only_when_named(text: str, generates: bool) -> None:
    assert parse_objective(text).needs_generation == generates


def test_metrics_are_named_once_in_order() -> None:
    text = "max recall_at_5 subject to build_s <= 5, recall_at_5 >= 0.1, build_s >= 1"
    assert parse_objective(text).metrics == ("recall_at_5", "build_s")


@given(finite, finite, st.booleans())
def test_a_bound_is_inclusive(bound: float, value: float, at_most: bool) -> None:
    slo = Slo("build_s", at_most, bound)
    holds = value <= bound if at_most else value >= bound
    assert (slo.violation({"build_s": value}) <= 0) == holds
    assert slo.violation({"build_s": bound}) == 0


@given(objectives, measurements)
def test_feasible_means_no_violation_and_no_explanation(
    objective: Objective, measured: dict[str, float]
) -> None:
    explained = objective.explain(measured)
    assert objective.feasible(measured) == (not explained)
    assert len(explained) == len(objective.violations(measured))


bounded = st.builds(
    Objective,
    names,
    st.sampled_from(["max", "min"]),
    st.lists(slos, min_size=1, max_size=4, unique_by=lambda s: s.metric).map(tuple),
)


@given(bounded, measurements, measurements)
def test_feasible_ranks_before_infeasible(
    objective: Objective, good: dict[str, float], bad: dict[str, float]
) -> None:
    good |= {slo.metric: slo.bound for slo in objective.slos}
    assume(not objective.feasible(bad))
    assert objective.feasible(good)
    assert objective.rank(good) < objective.rank(bad)


@given(names, finite, finite)
def test_the_better_value_costs_less(name: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert Objective(name, "max").cost({name: high}) <= Objective(name, "max").cost({name: low})
    assert Objective(name, "min").cost({name: low}) <= Objective(name, "min").cost({name: high})


@pytest.mark.parametrize("measured", [{}, {"build_s": math.nan, "ndcg_at_10": math.nan}])
def test_what_was_not_measured_is_neither_good_nor_feasible(measured: dict[str, float]) -> None:
    objective = parse_objective("max ndcg_at_10 subject to build_s <= 5")
    assert objective.cost(measured) == math.inf
    assert not objective.feasible(measured)
    assert objective.rank(measured) > objective.rank({"ndcg_at_10": 0.0, "build_s": 1e9})


def test_infeasible_ones_are_ranked_by_relative_violation() -> None:
    objective = parse_objective("max ndcg_at_10 subject to build_s <= 100, recall_at_1 >= 0.5")
    slow = {"ndcg_at_10": 0.1, "build_s": 110.0, "recall_at_1": 0.9}
    bad = {"ndcg_at_10": 0.9, "build_s": 90.0, "recall_at_1": 0.4}
    assert objective.rank(slow) < objective.rank(bad)
    assert objective.rank(slow)[0] == pytest.approx(0.1)
    assert objective.rank(bad)[0] == pytest.approx(0.2)


def test_a_violation_is_explained_in_the_users_sign() -> None:
    objective = parse_objective("max ndcg_at_10 subject to build_s <= 5, recall_at_1 >= 0.5")
    assert objective.explain({"build_s": 7.25}) == [
        "build_s <= 5 is violated: measured 7.25",
        "recall_at_1 >= 0.5 cannot be checked: recall_at_1 was not measured",
    ]


def test_a_front_of_two_metrics_is_asked_in_their_own_directions() -> None:
    found = parse_objective("pareto ndcg_at_10, latency_p95_ms subject to memory_mb <= 200")
    assert [(o.metric, o.direction) for o in found.each] == [
        ("ndcg_at_10", "max"),
        ("latency_p95_ms", "min"),
    ]
    assert found.metrics == ("ndcg_at_10", "latency_p95_ms", "memory_mb")
    assert parse_objective(str(found)) == found
    assert found.feasible({"memory_mb": 200.0})
    assert not found.feasible({"memory_mb": 201.0})


@pytest.mark.parametrize(
    "text",
    ["pareto ndcg_at_10", "pareto ndcg_at_10, ndcg_at_10", "pareto a, ndcg_at_10", "pareto , x"],
)
def test_what_is_no_front_is_refused(text: str) -> None:
    with pytest.raises(ObjectiveError):
        parse_objective(text)


def test_a_goal_has_one_metric() -> None:
    assert parse_goal("max ndcg_at_10") == parse_objective("max ndcg_at_10")
    with pytest.raises(ObjectiveError, match="front"):
        parse_goal("pareto ndcg_at_10, memory_mb")
