"""Differences with intervals: paired over queries, points for what is one number a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from autorag.evaluation.aggregate import aggregate
from autorag.evaluation.paired import Interval
from autorag.objective import parse_objective
from autorag.outcome import Outcome, differences, intervals
from autorag.ports import QueryResult, Trial
from autorag.space import Config

CONFIG = Config((("retrieve.mode", "dense"),))
OTHER = Config((("retrieve.mode", "lexical"),))
QUERIES = 200


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def hardness() -> np.ndarray:
    """How well each query does under any config, shape ``(QUERIES,)``."""
    return np.random.default_rng(1).uniform(0, 0.9, QUERIES)


def asked(ndcg: Sequence[float] | np.ndarray, ms: float = 1.0) -> list[QueryResult]:
    return [
        QueryResult(f"q{i}", {"ndcg_at_10": float(v)}, {"embed": ms, "retrieve": ms * (1 + i % 3)})
        for i, v in enumerate(ndcg)
    ]


def trial(queries: Sequence[QueryResult], memory: float = 100.0, build: float = 1.0) -> Trial:
    metrics = {**aggregate(queries), "memory_mb": memory, "build_s": build}
    return Trial(0, CONFIG, "finished", metrics)


def gaps(
    before: Sequence[QueryResult], after: Sequence[QueryResult], **memory: float
) -> dict[str, Interval]:
    later = trial(after, **memory)
    return differences(trial(before), later, before, after, rng())


def test_the_difference_is_after_minus_before() -> None:
    found = gaps(asked(hardness()), asked(hardness() + 0.05))
    assert found["ndcg_at_10"].value == pytest.approx(0.05)


def test_pairing_takes_the_hardness_of_queries_out() -> None:
    gain = np.random.default_rng(2).uniform(0, 0.02, QUERIES)
    found = gaps(asked(hardness()), asked(hardness() + gain))["ndcg_at_10"]
    spread = intervals(trial(asked(hardness())), asked(hardness()), rng())["ndcg_at_10"]
    assert found.low < found.value < found.high
    assert found.distinguishable
    assert found.high - found.low < 0.05 * (spread.high - spread.low)


def test_pairing_goes_by_query_not_by_position() -> None:
    before, after = asked(hardness()), asked(hardness() + 0.05)
    found = differences(trial(before), trial(after), before, after[::-1], rng())["ndcg_at_10"]
    assert [found.low, found.high] == pytest.approx([0.05, 0.05])


def test_noise_is_not_distinguishable() -> None:
    shuffled = np.random.default_rng(3).permutation(hardness())
    assert not gaps(asked(hardness()), asked(shuffled))["ndcg_at_10"].distinguishable


def test_equal_results_have_no_difference() -> None:
    found = gaps(asked(hardness()), asked(hardness()))
    assert set(found) == {"ndcg_at_10", "latency_p50_ms", "latency_p95_ms", "memory_mb"}
    for gap in found.values():
        assert (gap.value, gap.low, gap.high) == (0.0, 0.0, 0.0)
        assert not gap.distinguishable


def test_memory_is_one_number_a_run() -> None:
    found = gaps(asked(hardness()), asked(hardness()), memory=130.5)["memory_mb"]
    assert found == Interval(30.5, 30.5, 30.5)
    assert found.distinguishable


def test_build_time_is_left_out() -> None:
    assert "build_s" not in gaps(asked(hardness()), asked(hardness()), build=99.0)


def test_latency_is_a_quantile_of_sums_over_stages() -> None:
    before, after = asked(hardness(), 1.0), asked(hardness(), 3.0)
    found = gaps(before, after)
    assert found["latency_p50_ms"].value == pytest.approx(6.0)
    assert found["latency_p95_ms"].value == pytest.approx(8.0)
    assert found["latency_p95_ms"].distinguishable


def test_a_metric_that_one_side_lacks_has_no_difference() -> None:
    before, after = trial(asked(hardness())), trial(asked(hardness()))
    more = Trial(1, OTHER, "finished", {**after.metrics, "ann_recall_at_10": 0.9})
    found = differences(before, more, asked(hardness()), asked(hardness()), rng())
    assert "ann_recall_at_10" not in found


def test_only_queries_that_both_have_are_compared() -> None:
    before, after = asked(hardness()), asked(hardness() + 0.05)
    odd = [QueryResult("other", {"ndcg_at_10": 0.0}, {"embed": 1.0})] * 50
    found = differences(trial(before), trial(after), before, [*after, *odd], rng())
    assert found["ndcg_at_10"].value == pytest.approx(0.05)


def test_answers_are_compared_on_the_queries_that_were_generated() -> None:
    def answered(score: float) -> list[QueryResult]:
        first = QueryResult(
            "q0", {"ndcg_at_10": 0.5, "answer_f1": score}, {"embed": 1, "ttft": 2, "generate": 4}
        )
        return [first, *asked(hardness())[1:]]

    found = gaps(answered(0.2), answered(0.6))
    assert found["answer_f1"].value == pytest.approx(0.4)
    assert found["end_to_end_p95_ms"].value == 0.0


def test_a_seed_gives_one_interval() -> None:
    before, after = asked(hardness()), asked(hardness()[::-1])
    assert gaps(before, after) == gaps(before, after)


def test_every_metric_of_a_trial_has_an_interval() -> None:
    queries = asked(hardness())
    measured = trial(queries)
    found = intervals(measured, queries, rng())
    assert set(found) == set(measured.metrics)
    for name, value in measured.metrics.items():
        assert found[name].low <= found[name].value <= found[name].high
        assert found[name].value == pytest.approx(value)
    assert found["memory_mb"] == Interval(100.0, 100.0, 100.0)
    assert found["ndcg_at_10"].low < found["ndcg_at_10"].high


def an_outcome(objective: str) -> Outcome:
    before, after = asked(hardness()), asked(hardness() + 0.05)
    default, best = trial(before), Trial(3, OTHER, "finished", trial(after).metrics)
    return Outcome(
        parse_objective(objective),
        default,
        best,
        default,
        best,
        intervals(best, after, rng()),
        differences(default, best, before, after, rng()),
        [default, best],
    )


def test_the_json_of_an_outcome_keeps_the_contract() -> None:
    row = an_outcome("max ndcg_at_10 subject to memory_mb <= 50").to_json()
    assert row["recommended"]["config"] == {"retrieve.mode": "lexical"}
    assert set(row["recommended"]) == {"config", "predicted", "measured"}
    assert set(row["default"]) == {"config", "measured"}
    assert set(row["recommended"]["predicted"]["ndcg_at_10"]) == {"value", "low", "high"}
    assert all(isinstance(v, float) for v in row["recommended"]["measured"].values())
    gap = row["difference"]["ndcg_at_10"]
    assert set(gap) == {"value", "low", "high", "distinguishable"}
    assert gap["distinguishable"] is True
    assert [set(p) for p in row["pareto"]] == [{"config", "measured"}] * 2
    assert row["violated"] == ["memory_mb <= 50 is violated: measured 100"]


def test_an_outcome_that_holds_its_bounds_violates_nothing() -> None:
    assert an_outcome("max ndcg_at_10 subject to memory_mb <= 500").to_json()["violated"] == []
