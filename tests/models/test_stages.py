"""The analytic model as a whole: every config, any profile, fast."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import InputError
from autorag.hardware import FIGURES
from autorag.pipeline.embedders import embedder_dims
from autorag.pipeline.generate import LOCAL
from autorag.pipeline.space import reference_space
from autorag.space import Config
from models.analytic.inference import CrossEncoder
from models.analytic.intensity import MINILM
from models.analytic.shape import WorkloadShape
from models.analytic.stages import STAGES, AnalyticModel, Prediction
from tests.autorag.machines import profile
from tests.autorag.spaces import sampled

CROSS = "/models/cross"
SPACE = reference_space(
    embedder_dims(), generators=(LOCAL, "endpoint"), cross_encoders=(CROSS,), cores=2
)
MODEL = AnalyticModel(profile(), generate=True, cross_encoders={CROSS: CrossEncoder(MINILM, 9e7)})
SHAPE = WorkloadShape(1000, 300_000, (50, 200, 900))

configs = sampled(SPACE)
shapes = st.builds(
    WorkloadShape,
    documents=st.floats(1, 1e6),
    tokens=st.floats(1, 1e9),
    document_tokens=st.tuples(*[st.floats(1, 1e5)] * 3).map(lambda t: tuple(sorted(t))),
    query_tokens=st.floats(0, 500),
    lid=st.floats(0.5, 100),
    query_imbalance=st.floats(1, 10),
)


def a_config(**knobs: Any) -> Config:
    return SPACE.config({k.replace("__", "."): v for k, v in knobs.items()})


def predict(shape: WorkloadShape = SHAPE, **knobs: Any) -> Prediction:
    return MODEL.predict(a_config(**knobs), shape)


@given(configs, shapes)
def test_every_config_has_finite_times_and_bytes(config: Config, shape: WorkloadShape) -> None:
    found = MODEL.predict(config, shape)
    values = [*found.stage_ms.values(), *found.build_s.values(), found.memory_mb]
    assert all(0 < v < 1e15 for v in values)
    assert found.latency_ms == pytest.approx(sum(found.stage_ms.values()))


@given(configs)
def test_the_stages_are_those_that_run(config: Config) -> None:
    stages = {"retrieve"}
    stages |= {"embed"} if config["retrieve.mode"] != "lexical" else set()
    stages |= {"rerank"} if config["rerank.model"] != "none" else set()
    found = MODEL.predict(config, SHAPE).stage_ms
    assert list(found) == [s for s in STAGES if s in stages]


@given(configs)
def test_a_larger_corpus_needs_more(config: Config) -> None:
    larger = replace(SHAPE, documents=20_000, tokens=6_000_000)
    small, large = (MODEL.predict(config, s) for s in (SHAPE, larger))
    assert large.memory_mb > small.memory_mb
    assert large.latency_ms >= small.latency_ms
    assert sum(large.build_s.values()) > sum(small.build_s.values())


def test_a_model_takes_the_time_of_a_small_corpus_and_the_index_that_of_a_large_one() -> None:
    small = predict(retrieve__mode="hybrid")
    assert small.stage_ms["embed"] > small.stage_ms["retrieve"]
    large = predict(replace(SHAPE, documents=1e6, tokens=3e8))
    assert large.stage_ms["retrieve"] > large.stage_ms["embed"]


def test_a_search_behind_a_transformer_is_slower_than_behind_a_table() -> None:
    """Its weights push code and index out of the cache."""
    behind = predict(embed__model="minilm-int8", embed__dim=256)
    alone = predict(embed__model="static")
    assert behind.stage_ms["retrieve"] > 2 * alone.stage_ms["retrieve"]


def test_a_query_that_is_encoded_already_is_not_encoded_again() -> None:
    shared = predict(rerank__model="maxsim")
    own = predict(rerank__model="maxsim", threads__rerank=2)
    assert own.stage_ms["rerank"] > shared.stage_ms["rerank"] + 1
    assert own.memory_mb > shared.memory_mb + 20


def test_the_first_token_waits_for_retrieval_and_prompt() -> None:
    few, many = (predict(generate__contexts=n) for n in (1, 10))
    assert few.ttft_ms is not None
    assert many.ttft_ms is not None
    assert few.latency_ms < few.ttft_ms < many.ttft_ms
    assert few.token_ms is not None


@pytest.mark.parametrize("generate", [False, True])
def test_nothing_is_said_of_answers_that_are_not_generated_here(generate: bool) -> None:
    model = AnalyticModel(profile(), generate=generate)
    name = "endpoint" if generate else LOCAL
    found = model.predict(a_config(generate__model=name), SHAPE)
    assert found.ttft_ms is None
    assert found.token_ms is None
    assert found.memory_mb < 200


def test_an_unknown_cross_encoder_is_named() -> None:
    with pytest.raises(InputError, match=CROSS) as raised:
        AnalyticModel(profile()).predict(a_config(rerank__model=CROSS), SHAPE)
    assert raised.value.key == "rerank.model"


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(
    "knobs",
    [
        {"retrieve__mode": "lexical"},
        {"index__kind": "hnsw"},
        {"index__kind": "ivf_pq_fastscan", "embed__model": "static"},
        {"rerank__model": "maxsim"},
    ],
)
def test_a_missing_figure_is_stood_in_for_or_named(figure: str, knobs: dict[str, Any]) -> None:
    """Only configs that need it fail, and say what they need."""
    whole = profile()
    rates = {f: r for f, r in whole.rates.items() if f != figure}
    model = AnalyticModel(replace(whole, rates=rates), generate=True)
    found: list[str | None] = []
    try:
        model.predict(a_config(**knobs), SHAPE)
    except InputError as error:
        found.append(error.key)
    assert found in ([], [figure])
