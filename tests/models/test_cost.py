"""What measuring is expected to cost: shared builds, learned rates, sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.pipeline.embedders import embedder_dims
from autorag.pipeline.space import reference_space
from autorag.ports import Measurement
from autorag.space import Config
from models.analytic.cost import START_S, PipelineCosts
from tests.autorag.spaces import sampled

SPACE = reference_space(embedder_dims(), generators=("tiny",), cores=2)
SHORT = (100,) * 1000
LONG = (5000,) * 100
MIXED = SHORT + LONG
QUERIES = 100

lengths = st.lists(st.integers(0, 5000), max_size=20)
configs = sampled(SPACE)


def a_config(**knobs: Any) -> Config:
    return SPACE.config({k.replace("__", "."): v for k, v in knobs.items()})


def costs(tokens: Any = MIXED, *built: Config, generate: bool = False) -> PipelineCosts:
    return PipelineCosts(tokens, built, cores=1, generate=generate)


def seconds(model: PipelineCosts, config: Config, queries: int = QUERIES) -> float:
    return model.estimate(config, queries).seconds


def observed(build_s: Mapping[str, float], latency: float = 0.0) -> Measurement:
    metrics = {"latency_p50_ms": latency} if latency else {}
    return Measurement(metrics, {}, (), build_s, ())


DEFAULT = a_config()
SMALLER = a_config(chunk__tokens=128)


def test_embedding_is_what_a_cold_build_costs() -> None:
    cold = seconds(costs(), DEFAULT)
    lexical = seconds(costs(), a_config(retrieve__mode="lexical"))
    assert cold > 3 * lexical


def test_what_is_built_costs_little() -> None:
    cold, warm = (seconds(model, DEFAULT) for model in (costs(), costs(MIXED, DEFAULT)))
    assert cold > 10 * warm


def test_hot_knobs_of_a_build_are_as_cheap_as_the_build_itself() -> None:
    hot = a_config(retrieve__k=50)
    assert seconds(costs(MIXED, DEFAULT), hot) == seconds(costs(MIXED, DEFAULT), DEFAULT)


def test_whole_documents_are_shared_between_chunkings() -> None:
    built = costs(SHORT, DEFAULT)
    for other in (SMALLER, a_config(chunk__tokens=512), a_config(chunk__splitter="sentence")):
        assert seconds(built, other) == pytest.approx(seconds(built, DEFAULT))


def test_documents_cut_into_chunks_are_not_shared() -> None:
    assert seconds(costs(LONG, DEFAULT), SMALLER) > 0.9 * seconds(costs(LONG), SMALLER)


def test_another_embedder_shares_nothing() -> None:
    other = a_config(embed__model="minilm")
    assert seconds(costs(MIXED, DEFAULT), other) == seconds(costs(), other)


def test_a_document_that_did_not_fit_before_is_embedded() -> None:
    larger = a_config(chunk__tokens=512)
    assert seconds(costs((400,) * 500, DEFAULT), larger) > 5 * START_S


def test_overlap_is_embedded_too() -> None:
    without, with_ = (a_config(chunk__overlap=o) for o in (0.0, 0.3))
    assert seconds(costs(LONG), with_) > 1.2 * seconds(costs(LONG), without)


def test_observing_a_trial_marks_it_as_built() -> None:
    model = costs()
    model.observe(DEFAULT, observed({}))
    assert seconds(model, DEFAULT) == seconds(costs(MIXED, DEFAULT), DEFAULT)


def test_the_rate_of_an_embedder_is_learned() -> None:
    model = costs(LONG)
    model.observe(DEFAULT, observed({"embed": 1000.0}))
    again = a_config(chunk__splitter="sentence")
    assert seconds(model, again) == pytest.approx(1000.0, rel=0.05)


def test_a_slow_machine_is_slow_for_the_models_not_seen_yet() -> None:
    other = a_config(embed__model="minilm")
    guessed = seconds(costs(LONG), DEFAULT), seconds(costs(LONG), other)
    model = costs(LONG)
    model.observe(DEFAULT, observed({"embed": 10 * guessed[0]}))
    assert seconds(model, other) == pytest.approx(10 * guessed[1], rel=0.1)


def test_a_build_that_took_no_time_teaches_no_rate() -> None:
    model = costs(LONG)
    model.observe(DEFAULT, observed({"embed": 0.01}))
    assert seconds(model, SMALLER) == seconds(costs(LONG), SMALLER)


def test_the_time_of_a_query_is_learned() -> None:
    model = costs(MIXED, DEFAULT)
    before = seconds(model, DEFAULT, 1000) - seconds(model, DEFAULT, 0)
    model.observe(DEFAULT, observed({}, latency=100.0))
    after = seconds(model, DEFAULT, 1000) - seconds(model, DEFAULT, 0)
    assert before < 20
    assert after == pytest.approx(100.0)


@given(configs)
def test_generating_answers_adds_to_the_time(config: Config) -> None:
    plain, generating = (seconds(costs(generate=g), config) for g in (False, True))
    assert generating > plain


def test_longer_prompts_take_longer() -> None:
    model = costs(generate=True)
    assert seconds(model, a_config(generate__contexts=10)) > seconds(model, DEFAULT)


@given(lengths, configs, st.integers(0, 1000))
def test_an_estimate_is_finite_and_positive(
    tokens: list[int], config: Config, queries: int
) -> None:
    estimate = costs(tokens).estimate(config, queries)
    assert START_S <= estimate.seconds < 1e9
    assert 0 <= estimate.disk_bytes < 1e15


@given(lengths, configs, st.lists(configs, max_size=4))
def test_more_built_never_costs_more(
    tokens: list[int], config: Config, built: list[Config]
) -> None:
    cold, warm = (costs(tokens, *b).estimate(config, QUERIES) for b in ([], built))
    assert warm.seconds <= cold.seconds
    assert warm.disk_bytes <= cold.disk_bytes


@given(lengths, st.lists(configs, min_size=1, max_size=5))
def test_the_total_is_at_most_the_sum(tokens: list[int], plan: list[Config]) -> None:
    model = costs(tokens)
    alone = [model.estimate(c, QUERIES) for c in plan]
    total = model.total(plan, QUERIES)
    assert total.seconds <= sum(e.seconds for e in alone) * (1 + 1e-12)
    assert total.disk_bytes <= sum(e.disk_bytes for e in alone) * (1 + 1e-12)
    assert total.seconds >= max(e.seconds for e in alone)


def test_the_total_counts_a_shared_build_once() -> None:
    plan = [a_config(retrieve__k=k) for k in (5, 10, 20)]
    total = costs().total(plan, 0).seconds
    assert total < 1.2 * seconds(costs(), DEFAULT)


def test_the_total_leaves_the_model_as_it_was() -> None:
    model = costs()
    model.total([DEFAULT], QUERIES)
    assert seconds(model, DEFAULT) == seconds(costs(), DEFAULT)


def test_what_is_built_needs_no_more_disk() -> None:
    cold, warm = (m.estimate(DEFAULT, QUERIES).disk_bytes for m in (costs(), costs(MIXED, DEFAULT)))
    assert warm < 0.1 * cold


def test_a_shared_pass_says_nothing_about_the_embedder() -> None:
    """Late interaction makes the vectors too: what is left of embedding is loading them."""
    model, untouched = costs(), costs()
    shared = SPACE.config({"rerank.model": "maxsim"})
    model.observe(shared, observed({"embed": 2.0}))
    other = SPACE.config({"chunk.tokens": 32})
    assert model.estimate(other, 0).seconds <= untouched.estimate(other, 0).seconds
    assert model.estimate(other, 0).seconds > 0.5 * untouched.estimate(other, 0).seconds
