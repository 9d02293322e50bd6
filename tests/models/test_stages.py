"""The analytic model as a whole: every config, any profile, whatever else is asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
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
from models.analytic.knobs import Knobs
from models.analytic.shape import WorkloadShape
from models.analytic.stages import STAGES, AnalyticModel, Predictions
from tests.autorag.machines import profile
from tests.autorag.spaces import sampled

CROSS = "/models/cross"
SPACE = reference_space(
    embedder_dims(), generators=(LOCAL, "endpoint"), cross_encoders=(CROSS,), cores=2
)
MODEL = AnalyticModel(profile(), generate=True, cross_encoders={CROSS: CrossEncoder(MINILM, 9e7)})
SHAPE = WorkloadShape(1000, 300_000, (50, 200, 900))

configs = sampled(SPACE)
batches = st.lists(configs, min_size=1, max_size=12)
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


def predict(shape: WorkloadShape = SHAPE, **knobs: Any) -> Predictions:
    return MODEL.predict(Knobs.of([a_config(**knobs)]), shape)


def figures(found: Predictions) -> dict[str, np.ndarray]:
    """All of them, by name."""
    values = {f.name: getattr(found, f.name) for f in fields(found)}
    return values | {f"stage_ms {name}": ms for name, ms in values.pop("stage_ms").items()}


@given(batches, shapes)
def test_every_config_has_finite_times_and_bytes(batch: list[Config], shape: WorkloadShape) -> None:
    found = MODEL.predict(Knobs.of(batch), shape)
    known = {k: v for k, v in figures(found).items() if k not in ("distances", "postings")}
    assert all(v.shape == (len(batch),) for v in known.values())
    assert all((np.isnan(v) | ((v > 0) & (v < 1e15))).all() for v in known.values())
    assert not np.isnan([found.latency_ms, found.memory_mb, found.chunks]).any()
    stages = np.nan_to_num(np.array(list(found.stage_ms.values())))
    assert found.latency_ms == pytest.approx(stages.sum(axis=0))


@given(batches, shapes, st.randoms(use_true_random=False))
def test_a_config_is_predicted_alike_in_any_company(
    batch: list[Config], shape: WorkloadShape, random: Any
) -> None:
    """Alone, and among others in another order."""
    whole = figures(MODEL.predict(Knobs.of(batch), shape))
    order = random.sample(range(len(batch)), len(batch))
    shuffled = figures(MODEL.predict(Knobs.of([batch[i] for i in order]), shape))
    alone = [figures(MODEL.predict(Knobs.of([config]), shape)) for config in batch]
    for name, values in whole.items():
        np.testing.assert_allclose(shuffled[name], values[order], rtol=1e-12)
        np.testing.assert_allclose([one[name].item() for one in alone], values, rtol=1e-12)


def test_nothing_is_predicted_of_nothing() -> None:
    found = MODEL.predict(Knobs.of([]), SHAPE)
    assert all(v.shape == (0,) for v in figures(found).values())


@given(configs)
def test_the_stages_are_those_that_run(config: Config) -> None:
    stages = {"retrieve"}
    stages |= {"embed"} if config["retrieve.mode"] != "lexical" else set()
    stages |= {"rerank"} if config["rerank.model"] != "none" else set()
    found = MODEL.predict(Knobs.of([config]), SHAPE).stage_ms
    assert list(found) == list(STAGES)
    assert {s for s, ms in found.items() if not np.isnan(ms)} == stages


@given(configs)
def test_work_is_counted_where_it_is_done(config: Config) -> None:
    found = MODEL.predict(Knobs.of([config]), SHAPE)
    lexical = config["retrieve.mode"] == "lexical"
    scored = config["retrieve.mode"] != "dense" or config["rerank.model"] == "bm25"
    assert np.isnan(found.distances) == lexical
    assert np.isnan(found.postings) != scored
    assert lexical or 0 < found.distances <= found.chunks


def test_a_flat_scan_compares_every_chunk_and_cells_a_part_of_them() -> None:
    flat, cells = (predict(index__kind=kind) for kind in ("flat", "ivf_flat"))
    assert flat.distances == flat.chunks == cells.chunks > 2 * cells.distances


@given(batches)
def test_a_larger_corpus_needs_more(batch: list[Config]) -> None:
    larger = replace(SHAPE, documents=20_000, tokens=6_000_000)
    small, large = (MODEL.predict(Knobs.of(batch), s) for s in (SHAPE, larger))
    assert (large.memory_mb > small.memory_mb).all()
    assert (large.latency_ms >= small.latency_ms).all()
    built = [MODEL.build_s(Knobs.of(batch), s) for s in (SHAPE, larger)]
    assert (total(built[1]) > total(built[0])).all()


def total(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.nansum(list(parts.values()), axis=0)


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
    assert few.latency_ms < few.ttft_ms < many.ttft_ms
    assert 0 < few.token_ms < many.token_ms


@pytest.mark.parametrize("generate", [False, True])
def test_nothing_is_said_of_answers_that_are_not_generated_here(generate: bool) -> None:
    model = AnalyticModel(profile(), generate=generate)
    name = "endpoint" if generate else LOCAL
    found = model.predict(Knobs.of([a_config(generate__model=name)]), SHAPE)
    assert np.isnan(found.ttft_ms)
    assert np.isnan(found.token_ms)
    assert found.memory_mb < 200


def test_an_unknown_cross_encoder_is_named() -> None:
    with pytest.raises(InputError, match=CROSS) as raised:
        AnalyticModel(profile()).predict(Knobs.of([a_config(rerank__model=CROSS)]), SHAPE)
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
        model.predict(Knobs.of([a_config(**knobs)]), SHAPE)
    except InputError as error:
        found.append(error.key)
    assert found in ([], [figure])
