"""Choosing by predictions, and saying why."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import InputError
from autorag.objective import parse_objective
from autorag.pipeline.index import points_needed
from autorag.space import Config
from models.analytic import retrieval
from models.candidates import Candidates
from models.predictor import Predicted, Predictor, Task
from models.ranking import A_CHANGE, SURE, rank
from models.reasons import contributions, reasons
from models.recommendation import recommend
from tests.autorag.machines import profile
from tests.models.learned import SPACE, Imagined
from tests.models.test_recall import model as recall_model
from tests.models.test_training import trained


@lru_cache
def predictor() -> Predictor:
    return Predictor(trained(), Candidates.of(SPACE, seed=0, drawn=300))


def predicted(lexical: float = 0.1) -> Predicted:
    return predictor().on(Task(Imagined("new", lexical).features, profile()))


def best(objective: str, lexical: float = 0.1) -> tuple[Config, float]:
    some = predicted(lexical)
    first = rank(some, parse_objective(objective), 1).chosen[0]
    return some.pool.configs[first.candidate], first.chance


def test_the_default_is_a_candidate_and_all_are_valid() -> None:
    pool = predictor().pool
    assert pool.configs[0] == SPACE.default()
    assert len(set(pool.configs)) == len(pool.configs) > 700
    assert all(SPACE.valid(c) for c in pool.configs[::50])


def test_taste_decides_where_nothing_binds() -> None:
    meaning, words = (best("max ndcg_at_10", taste)[0] for taste in (0.05, 0.95))
    assert (meaning["retrieve.mode"], words["retrieve.mode"]) == ("dense", "lexical")
    assert meaning["rerank.model"] == words["rerank.model"] == "maxsim"


def test_bounds_are_held_in_all_likelihood() -> None:
    some = predicted()
    objective = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 5, memory_mb <= 60")
    found = rank(some, objective, 5)
    assert found.sure
    assert all(c.chance >= SURE for c in found.chosen)
    rows = np.array([c.candidate for c in found.chosen])
    assert (some.metric("latency_p95_ms", rows) <= 5).all()
    assert (some.metric("memory_mb", rows) <= 60).all()
    worth = some.quality.effect[rows] - A_CHANGE * some.pool.changes[rows]
    assert (np.diff(worth) <= 1e-12).all()


def test_settings_that_make_no_difference_stay() -> None:
    config, _ = best("max ndcg_at_10 subject to latency_p95_ms <= 1000")
    for knob in ("threads.generate", "generate.max_tokens", "cache.mb", "embed.dim"):
        assert config[knob] == SPACE.default()[knob]


def test_a_tighter_bound_costs_quality() -> None:
    some = predicted()
    effects = []
    for bound in (1000, 10, 2, 0.5):
        objective = parse_objective(f"max ndcg_at_10 subject to latency_p95_ms <= {bound}")
        effects.append(some.quality.effect[rank(some, objective, 1).chosen[0].candidate])
    assert (np.diff(effects) <= 0.05).all()
    assert effects[0] > effects[-1]


def test_where_nothing_holds_the_models_cannot_tell() -> None:
    found = rank(
        predicted(), parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 1e-4"), 3
    )
    assert not found.sure
    assert len(found.chosen) == 3


def test_other_metrics_can_be_optimised() -> None:
    some = predicted()
    objective = parse_objective("min latency_p95_ms subject to context_tokens <= 500")
    first = rank(some, objective, 1).chosen[0].candidate
    assert some.metric("latency_p95_ms", np.array([first])) < 1.0


@pytest.mark.parametrize(
    ("objective", "named"),
    [
        ("max answer_f1", "answer_f1"),
        ("max ndcg_at_10 subject to ttft_p95_ms <= 9", "ttft_p95_ms <= 9"),
        ("max ndcg_at_10 subject to recall_at_10 >= 0.8", "recall_at_10 >= 0.8"),
    ],
)
def test_what_nothing_predicts_is_named(objective: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        recommend(predicted(), parse_objective(objective), 1)


def test_the_least_of_a_metric_is_found() -> None:
    """But for changes that are worth less than they cost."""
    some = predicted()
    everything = np.flatnonzero(some.pool.trainable(some.chunks))
    for metric in ("latency_p95_ms", "memory_mb", "context_tokens"):
        first = rank(some, parse_objective(f"min {metric}"), 1).chosen[0].candidate
        least = some.metric(metric, everything).min()
        assert some.metric(metric, np.array([first])) < 1.06 * least


def test_other_ranking_metrics_are_ranked_by_ndcg_and_say_so() -> None:
    one, other = (
        recommend(predicted(), parse_objective(f"max {m}"), 3) for m in ("ndcg_at_10", "mrr_at_10")
    )
    assert [r.config for r in one.recommended] == [r.config for r in other.recommended]
    assert "ranked by ndcg_at_10" in other.reason
    assert "ranked by" not in one.reason


def test_what_was_never_seen_is_not_recommended() -> None:
    models = replace(trained(), choices=trained().choices - {"rerank.model=maxsim"})
    some = Predictor(models, predictor().pool).on(predicted().task)
    for chosen in rank(some, parse_objective("max ndcg_at_10"), 20).chosen:
        assert some.pool.configs[chosen.candidate]["rerank.model"] != "maxsim"


def test_doubts_are_said() -> None:
    goal = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 20")
    usual = recommend(predicted(0.33), goal, 1)
    assert (usual.sure, "measure before" in usual.reason) == (True, False)
    elsewhere = replace(profile(), identity=replace(profile().identity, cpu_model="Other"))
    features = Imagined("new", 0.33).features
    there = recommend(predictor().on(Task(features, elsewhere)), goal, 1)
    assert not there.sure
    assert "no times were learned on this machine" in there.reason
    assert there.recommended[0].provenance == "analytic"
    rows = trained().residuals
    few = replace(rows, values=rows.values[:64], corpora=rows.corpora[:64])
    models = replace(trained(), residuals=few)
    doubtful = recommend(Predictor(models, predictor().pool).on(predicted().task), goal, 1)
    assert "too few corpora" in doubtful.reason
    assert doubtful.recommended[0].to_json()["predicted"]["latency_p95_ms"]["low"] is None


def test_an_index_that_cannot_be_trained_is_not_recommended() -> None:
    some = predicted()
    trainable = some.pool.trainable(np.full(len(some.pool.configs), 50.0))
    kinds = {some.pool.configs[i].get("index.kind") for i in np.flatnonzero(trainable)}
    assert kinds == {None, "flat", "hnsw", "hnsw_sq8"}


def between(before: Config, after: Config) -> Predicted:
    """Two candidates, 0 and 1."""
    pool = Candidates((before, after), (before, after))
    return Predictor(trained(), pool).on(predicted().task)


@given(st.integers(1, 20_000))
def test_as_many_points_as_the_index_needs(points: int) -> None:
    pool = predictor().pool
    found = retrieval.points_needed(pool.knobs, np.full(len(pool.configs), float(points)))
    for config, needed in list(zip(pool.configs, found, strict=True))[::7]:
        kind = str(config.get("index.kind", "flat"))
        assert needed == points_needed(kind, float(config.get("index.nlist", 1.0)), points)


def test_reasons_add_up() -> None:
    some = between(SPACE.default(), SPACE.config({"rerank.model": "maxsim", "chunk.tokens": 64}))
    difference = some.quality.value[1] - some.quality.value[0]
    assert sum(contributions(some, 0, 1).values()) == pytest.approx(difference, abs=1e-4)
    told = reasons(some, 0, 1)
    assert told[0].knob == "rerank.model"
    assert str(told[0]).startswith("rerank.model none → maxsim: +0.")


def test_a_strange_workload_is_told() -> None:
    usual = Imagined("new", 0.5).features
    slightly = replace(usual, corpus=replace(usual.corpus, english_share=0.49))
    odd = replace(usual, corpus=replace(usual.corpus, english_share=0.0))
    near, still, far = (
        predictor().on(Task(f, profile())).strangeness for f in (usual, slightly, odd)
    )
    assert near <= still <= 1.0 < far


def test_provenance() -> None:
    assert predicted(0.123).provenance == "transferred"
    assert predicted(0.0).provenance == "same_workload"


def test_features_that_physics_needs_are_named() -> None:
    features = Imagined("new", 0.1).features
    blind = replace(features, corpus=replace(features.corpus, documents=None))
    with pytest.raises(InputError, match="documents"):
        predictor().on(Task(blind, profile()))


def test_what_a_choice_activates_is_its_doing() -> None:
    reranked = SPACE.config({"rerank.model": "maxsim", "rerank.depth": 50})
    moved = contributions(between(SPACE.default(), reranked), 0, 1)
    assert moved["rerank.model"] > 0.02
    assert "rerank.depth" not in moved
    words = SPACE.config({"retrieve.mode": "lexical"})
    moved = contributions(between(SPACE.default(), words), 0, 1)
    assert not {"embed.model", "embed.dim", "index.kind", "retrieve.alpha"} & moved.keys()


def with_recall() -> Predictor:
    models = replace(trained(), recall=recall_model())
    return Predictor(models, Candidates.of(SPACE, seed=0, drawn=300))


def test_recall_of_approximate_search_can_be_bounded() -> None:
    some = with_recall().on(Task(Imagined("new", 0.1).features, profile()))
    goal = "max ndcg_at_10 subject to ann_recall_at_10 >= 0.97, latency_p95_ms <= 50"
    found = recommend(some, parse_objective(goal), 5)
    assert found.sure
    for one in found.recommended:
        value, low, high = one.predicted["ann_recall_at_10"]
        assert low <= value <= high
        assert value >= 0.97
        assert one.chance >= SURE
        assert one.config["retrieve.mode"] != "lexical"
    kinds = {one.config["index.kind"] for one in found.recommended}
    assert "flat" in kinds


def test_where_no_recall_was_learned_only_exact_search_holds_a_bound_on_it() -> None:
    goal = parse_objective("max ndcg_at_10 subject to ann_recall_at_10 >= 0.5")
    found = rank(predicted(), goal, 50)
    kinds = {predictor().pool.configs[c.candidate]["index.kind"] for c in found.chosen}
    assert kinds == {"flat"}
