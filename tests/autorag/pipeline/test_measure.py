"""Measuring: means and quantiles, gold found, recall of approximate indexes, stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.evaluation.aggregate import aggregate, query_values, stage_quantiles
from autorag.pipeline.build import BuildContext
from autorag.pipeline.generate import LOCAL, generators
from autorag.pipeline.measure import add_answers, judge, run_queries, warm_up
from autorag.pipeline.pace import Pace
from autorag.pipeline.rag import Pipeline
from autorag.ports import QueryResult
from autorag.racing import FEWEST, Race, Referee
from tests.autorag.pipeline.corpus import config, documents, many_documents, queries

times = st.floats(0.001, 1e4)
stage_times = st.lists(
    st.fixed_dictionaries({"embed": times, "retrieve": times}, optional={"rerank": times}),
    min_size=1,
    max_size=30,
)


def results(stage_ms: list[dict[str, float]]) -> list[QueryResult]:
    return [QueryResult(f"q{i}", {"ndcg_at_10": i / 10}, ms) for i, ms in enumerate(stage_ms)]


def measured(context: BuildContext, **knobs: Any) -> tuple[Pipeline, list[QueryResult]]:
    pipeline = Pipeline.open(config(**knobs), documents(), context)
    return pipeline, judge(pipeline, queries(), run_queries(pipeline, queries(), Pace()).results)


@given(stage_times)
def test_latency_is_the_quantile_of_the_sum_of_stages(stage_ms: list[dict[str, float]]) -> None:
    flat = aggregate(results(stage_ms))
    total = [sum(ms.values()) for ms in stage_ms]
    assert flat["latency_p50_ms"] == pytest.approx(np.quantile(total, 0.5))
    assert flat["latency_p95_ms"] == pytest.approx(np.quantile(total, 0.95))
    assert "latency_ms" not in flat


@given(stage_times)
def test_stages_have_quantiles_of_the_queries_that_ran_them(
    stage_ms: list[dict[str, float]],
) -> None:
    table = stage_quantiles(results(stage_ms))
    for stage in ("embed", "retrieve", "rerank"):
        ran = [ms[stage] for ms in stage_ms if stage in ms]
        assert (stage in table) == bool(ran)
        if ran:
            assert table[stage]["p50_ms"] == pytest.approx(np.quantile(ran, 0.5))
            assert table[stage]["p95_ms"] == pytest.approx(np.quantile(ran, 0.95))


def test_metrics_are_means_over_the_queries_that_have_them() -> None:
    rows = [
        QueryResult("a", {"ndcg_at_10": 1.0, "answer_f1": 0.5}, {"retrieve": 1.0}),
        QueryResult("b", {"ndcg_at_10": 0.0}, {"retrieve": 3.0}),
    ]
    flat = aggregate(rows)
    assert (flat["ndcg_at_10"], flat["answer_f1"]) == (0.5, 0.5)
    assert query_values(rows)["answer_f1"].tolist() == [0.5]


def test_generation_times_add_to_the_latency() -> None:
    rows = results([{"retrieve": 2.0, "ttft": 10.0, "generate": 30.0}, {"retrieve": 4.0}])
    flat = aggregate(rows)
    assert flat["ttft_p95_ms"] == pytest.approx(12.0)
    assert flat["end_to_end_p95_ms"] == pytest.approx(32.0)
    assert flat["latency_p50_ms"] == pytest.approx(3.0)


def test_a_good_config_finds_the_gold(shared_context: BuildContext) -> None:
    pipeline, judged = measured(shared_context)
    flat = aggregate(judged)
    assert flat["ndcg_at_10"] > 0.9
    assert flat["ann_recall_at_10"] == 1.0
    assert [r.query for r in judged] == [q.id for q in queries()]
    first = judged[0]
    assert first.chunk_ids[0] == pipeline.built.chunks.ids[3].hex()
    assert len(first.chunk_ids) == len(first.scores) == 10


def test_context_tokens_are_those_of_the_prompt(shared_context: BuildContext) -> None:
    pipeline, judged = measured(shared_context, generate__contexts=3)
    tokens = dict(
        zip((i.hex() for i in pipeline.built.chunks.ids), pipeline.built.chunks.tokens, strict=True)
    )
    for row in judged:
        assert row.metrics["context_tokens"] == sum(int(tokens[c]) for c in row.chunk_ids[:3])


def test_lexical_search_has_no_ann_recall(shared_context: BuildContext) -> None:
    _, judged = measured(shared_context, retrieve__mode="lexical")
    assert all("ann_recall_at_10" not in r.metrics for r in judged)
    assert set(stage_quantiles(judged)) == {"retrieve"}


def test_ann_recall_is_the_share_of_exact_neighbours(shared_context: BuildContext) -> None:
    corpus = [*documents(), *many_documents(600)]
    knobs = {"embed__model": "static", "index__kind": "ivf_flat", "index__nlist": 0.5}
    recalls = []
    for nprobe in (1, 4, 64):
        pipeline = Pipeline.open(config(**knobs, retrieve__nprobe=nprobe), corpus, shared_context)
        judged = judge(pipeline, queries(), run_queries(pipeline, queries(), Pace()).results)
        by_hand = [brute_force_recall(pipeline, q.question) for q in queries()]
        assert [r.metrics["ann_recall_at_10"] for r in judged] == pytest.approx(by_hand)
        recalls.append(float(np.mean(by_hand)))
    assert recalls[0] < recalls[2] == 1.0


def brute_force_recall(pipeline: Pipeline, question: str) -> float:
    vectors = pipeline.built.vectors
    assert vectors is not None
    exact = np.argsort(-(vectors @ pipeline.query_vectors([question])[0]))[:10]
    return len(set(pipeline.retrieve(question).rows.tolist()) & set(exact.tolist())) / 10


def test_warm_up_leaves_no_cached_result(shared_context: BuildContext) -> None:
    pipeline = Pipeline.open(config(cache__mb=64), documents(), shared_context)
    warm_up(pipeline, queries())
    assert all(r.stage_ms for r in run_queries(pipeline, queries(), Pace()).results)


def test_a_repeated_question_is_answered_from_the_cache(shared_context: BuildContext) -> None:
    pipeline = Pipeline.open(config(cache__mb=64), documents(), shared_context)
    asked = run_queries(pipeline, [queries()[0]] * 4, Pace()).results
    assert [bool(r.stage_ms) for r in asked] == [True, False, False, False]
    flat = aggregate(judge(pipeline, [queries()[0]] * 4, asked))
    assert flat["latency_p50_ms"] == 0.0 < flat["latency_p95_ms"]


def test_progress_counts_the_queries(shared_context: BuildContext) -> None:
    told: list[tuple[str, int, int]] = []
    pipeline = Pipeline.open(config(), documents(), shared_context)
    run_queries(pipeline, queries(), Pace(), lambda *row: told.append(row))
    assert told[0] == ("query", 0, 10)
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})


@pytest.mark.skipif(LOCAL not in generators(), reason="the local generator is not installed")
def test_answers_are_scored_where_there_is_gold(shared_context: BuildContext) -> None:
    pipeline = Pipeline.open(config(generate__contexts=1), documents(), shared_context)
    asked_queries = queries()[:3]
    asked = run_queries(pipeline, asked_queries, Pace()).results
    answered = add_answers(pipeline, asked_queries, asked, judge(pipeline, asked_queries, asked))
    assert all(0 <= r.metrics["answer_f1"] <= 1 and r.prompt for r in answered)
    assert aggregate(answered)["answer_f1"] > 0.3
    assert stage_quantiles(answered)["generate"]["p50_ms"] > 0


class SlowAtFirst(Pace):
    """Every moment of the first pass is slow."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def slow(self, seconds: float) -> bool:
        return self.passes < 2

    def wait(self) -> bool:
        return True

    def worked(self, seconds: float) -> None:
        self.passes += 1

    def worked_again(self, seconds: float) -> None:
        self.passes += 1


def test_a_race_that_is_lost_ends_the_measurement(shared_context: BuildContext) -> None:
    pipeline = Pipeline.open(config(retrieve__mode="lexical"), documents(), shared_context)
    many = queries() * 20
    race = Race("ndcg_at_10", {}, 1e-6)
    asked = run_queries(pipeline, many, Pace(), referee=Referee(race, len(many)))
    assert len(asked.results) == FEWEST < len(many)
    assert asked.lost is not None
    assert "1e-06 ms" in asked.lost


def test_a_race_looks_at_every_query_once(shared_context: BuildContext) -> None:
    """However often it is asked."""
    pipeline = Pipeline.open(config(retrieve__mode="lexical"), documents(), shared_context)
    race = Race("ndcg_at_10", {q.id: 0.0 for q in queries()}, 1e6)
    pace = SlowAtFirst()
    asked = run_queries(pipeline, queries(), pace, referee=Referee(race, len(queries())))
    assert pace.passes == 2
    assert (len(asked.results), asked.lost) == (len(queries()), None)
