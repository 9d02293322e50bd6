"""A workbench: every pipeline answers as one that was opened alone, whatever was made before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autorag.errors import ConfigError, MeasurementError
from autorag.pipeline.build import BuildContext
from autorag.pipeline.parts import SharedParts
from autorag.pipeline.rag import Pipeline
from autorag.pipeline.transformer import TransformerEncoder
from autorag.pipeline.workbench import Workbench, build_order
from autorag.space import Config
from autorag.stages import stage_knobs
from tests.autorag.pipeline.corpus import config, documents, many_documents, queries

CORPUS = [*documents(), *many_documents(120)]
QUESTIONS = [q.question for q in queries()]
INT8: dict[str, Any] = {"embed__model": "minilm-int8"}
STATIC: dict[str, Any] = {"embed__model": "static"}
MAXSIM: dict[str, Any] = {"rerank__model": "maxsim"}
BM25: dict[str, Any] = {"rerank__model": "bm25"}
HYBRID: dict[str, Any] = {"retrieve__mode": "hybrid"}
LEXICAL: dict[str, Any] = {"retrieve__mode": "lexical"}
CELLS: dict[str, Any] = {"index__nlist": 0.25}

CONFIGS = [
    config(**knobs)
    for knobs in (
        {},
        LEXICAL,
        {**LEXICAL, **BM25},
        {**LEXICAL, **MAXSIM, "rerank__depth": 50},
        STATIC,
        {"embed__model": "lsa"},
        {**STATIC, "embed__dim": 64},
        {**INT8, "embed__dim": 128},
        {**HYBRID, **INT8, "retrieve__alpha": 0.8},
        {**HYBRID, **STATIC, "retrieve__alpha": 0.2, "retrieve__k": 20},
        {**HYBRID, "embed__model": "lsa", **BM25},
        {**INT8, **MAXSIM},
        {**INT8, **MAXSIM, "threads__rerank": 2},
        {**INT8, "embed__dim": 64, **MAXSIM, "rerank__weight": 1.0},
        {**STATIC, **MAXSIM},
        {**STATIC, **BM25, "rerank__depth": 50, "cache__mb": 64},
        {**HYBRID, **INT8, **MAXSIM},
        {**STATIC, **CELLS, "index__kind": "ivf_flat", "retrieve__nprobe": 2},
        {**STATIC, **CELLS, "index__kind": "ivf_flat", "retrieve__nprobe": 8},
        {**INT8, **CELLS, "index__kind": "ivf_sq8", "retrieve__refine": 4},
        {**HYBRID, **INT8, "index__kind": "hnsw", "threads__retrieve": 2},
        {**STATIC, "index__kind": "hnsw_sq8", "index__hnsw_m": 8},
        {**STATIC, "index__kind": "hnsw_sq8", "embed__dim": 128, "generate__contexts": 1},
    )
]

Answers = list[tuple[list[int], list[float]]]


def answers(pipeline: Pipeline) -> Answers:
    results = [pipeline.retrieve(q) for q in QUESTIONS]
    return [(r.rows.tolist(), r.scores.tolist()) for r in results]


def workbench(context: BuildContext, corpus: Any = CORPUS) -> Workbench:
    return Workbench(CONFIGS[0], corpus, context, SharedParts(context))


@pytest.fixture(scope="module")
def alone(shared_context: BuildContext) -> dict[Config, tuple[Answers, int]]:
    """What every config answers when it is opened alone, and its memory."""
    opened = {c: Pipeline.open(c, CORPUS, shared_context) for c in CONFIGS}
    return {c: (answers(p), p.memory_bytes()) for c, p in opened.items()}


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(CONFIGS), later=st.booleans())
def test_every_config_answers_as_it_does_alone(
    shared_context: BuildContext,
    alone: dict[Config, tuple[Answers, int]],
    order: list[Config],
    later: bool,
) -> None:
    """In any order; also when it is asked after all others were made."""
    bench = workbench(shared_context)
    made: Iterator[tuple[Config, Pipeline]] = ((c, bench.pipeline(c)) for c in order)
    for chosen, pipeline in list(made) if later else made:
        assert (answers(pipeline), pipeline.memory_bytes()) == alone[chosen]


def test_a_transformer_on_torch_stands_beside_the_token_encoder(
    shared_context: BuildContext,
) -> None:
    chosen = config(embed__model="minilm", **MAXSIM)
    bench = workbench(shared_context, documents())
    bench.pipeline(config(**INT8, **MAXSIM))
    mine, single = bench.pipeline(chosen), Pipeline.open(chosen, documents(), shared_context)
    assert mine.memory_bytes() == single.memory_bytes()
    for asked, expected in zip(answers(mine), answers(single), strict=True):
        assert asked == expected


def test_a_pipeline_has_only_the_parts_that_its_config_uses(shared_context: BuildContext) -> None:
    bench = workbench(shared_context, documents())
    bench.pipeline(config(**HYBRID, **MAXSIM))
    dense = bench.pipeline(config(**STATIC)).built
    assert dense.lexical is dense.tokens is None
    assert dense.vectors is not None
    lexical = bench.pipeline(config(**LEXICAL)).built
    assert lexical.vectors is lexical.index is lexical.tokens is None
    assert lexical.index_bytes == 0


@pytest.mark.parametrize(
    "knobs", [{"chunk__tokens": 64}, {"chunk__splitter": "sentence"}, {"chunk__overlap": 0.0}]
)
def test_another_chunking_is_refused(shared_context: BuildContext, knobs: dict[str, Any]) -> None:
    other = config(**knobs)
    with pytest.raises(ConfigError, match="this workbench holds the chunks of") as refused:
        workbench(shared_context, documents()).pipeline(other)
    assert refused.value.key == "chunk"
    assert refused.value.value == stage_knobs(other, "chunk")


@pytest.mark.parametrize("before", [STATIC, {**INT8, "index__kind": "hnsw"}])
def test_an_index_that_cannot_be_built_spoils_no_other(
    shared_context: BuildContext, before: dict[str, Any]
) -> None:
    bench = workbench(shared_context, documents())
    bench.pipeline(config(**before))
    with pytest.raises(MeasurementError, match=r"index\.kind = ivf_flat"):
        bench.pipeline(config(embed__model="lsa", index__kind="ivf_flat", index__nlist=4.0))
    for knobs in (before, {"embed__model": "lsa"}):
        single = Pipeline.open(config(**knobs), documents(), shared_context)
        assert answers(bench.pipeline(config(**knobs))) == answers(single)


# -- what it cost ----------------------------------------------------------------------------------


def costs(context: BuildContext, order: Sequence[Config]) -> dict[Config, dict[str, float]]:
    bench, found = workbench(context), {}
    for chosen in order:
        bench.pipeline(chosen)
        found[chosen] = bench.cost_s(chosen)
    return found


def test_what_a_config_cost_is_known_when_everything_is_there(context: BuildContext) -> None:
    first = costs(context, sorted(CONFIGS, key=build_order))
    there = {p: p.stat().st_ino for p in context.store.root.rglob("*.npz")}
    again = costs(context, random.Random(0).sample(CONFIGS, len(CONFIGS)))
    assert {p: p.stat().st_ino for p in context.store.root.rglob("*.npz")} == there
    for chosen, seconds in first.items():
        assert seconds.keys() == again[chosen].keys()
        assert all(s > 0 for s in seconds.values())
        assert again[chosen] == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("knobs", "builds"),
    [
        (LEXICAL, {"lexical"}),
        ({**LEXICAL, **MAXSIM}, {"lexical", "rerank"}),
        (STATIC, {"embed", "index"}),
        ({**STATIC, **BM25}, {"embed", "index", "lexical"}),
        ({**HYBRID, **INT8, **MAXSIM}, {"embed", "index", "lexical", "rerank"}),
    ],
)
def test_a_config_costs_what_it_uses(
    shared_context: BuildContext, knobs: dict[str, Any], builds: set[str]
) -> None:
    bench = workbench(shared_context, documents())
    bench.pipeline(config(**HYBRID, **MAXSIM))
    bench.pipeline(config(**knobs))
    assert bench.cost_s(config(**knobs)).keys() == {"chunk", *builds}


def test_what_was_built_for_some_documents_is_part_of_the_cost(context: BuildContext) -> None:
    """As after a build that was killed half way."""
    chosen = config(**INT8)
    seconds = []
    for corpus in (documents()[::2], documents()):
        bench = workbench(context, corpus)
        bench.pipeline(chosen)
        seconds.append(bench.cost_s(chosen))
    assert seconds[1]["embed"] > seconds[0]["embed"] > 0
    assert seconds[1]["chunk"] > seconds[0]["chunk"] > 0


# -- the order, and the pass that two share --------------------------------------------------------


@given(st.lists(st.sampled_from(CONFIGS), unique=True))
def test_the_build_order_makes_everything_once(configs: list[Config]) -> None:
    dense = [c for c in sorted(configs, key=build_order) if c["retrieve.mode"] != "lexical"]
    for stages in (("embed",), ("embed", "index")):
        runs = [key for key, _ in groupby([stage_knobs(c, s) for s in stages] for c in dense)]
        assert all(runs.count(r) == 1 for r in runs)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that goes through the transformer."""
    texts: list[str] = []
    encode = TransformerEncoder.encode

    def counted(self: TransformerEncoder, some: Sequence[str], *rest: Any, **named: Any) -> Any:
        texts.extend(some)
        return encode(self, some, *rest, **named)

    monkeypatch.setattr(TransformerEncoder, "encode", counted)
    return texts


@pytest.mark.parametrize("seed", range(3))
def test_vectors_come_from_the_pass_that_makes_the_token_vectors(
    context: BuildContext, shared_context: BuildContext, passed: list[str], seed: int
) -> None:
    knobs: list[dict[str, Any]] = [INT8, {**INT8, "embed__dim": 64}, {**INT8, **HYBRID}]
    knobs += [{**INT8, **MAXSIM}, {**LEXICAL, **MAXSIM}, {**STATIC, **MAXSIM}, STATIC]
    mixed = random.Random(seed).sample([config(**k) for k in knobs], len(knobs))
    bench = workbench(context, documents())
    made = {c: bench.pipeline(c) for c in sorted(mixed, key=build_order)}
    assert sorted(passed) == sorted(made[config(**INT8)].built.chunks.texts)
    bench.pipeline(config(**INT8, **MAXSIM))  # made last: costs are those of its vectors
    seconds = bench.cost_s(config(**INT8, **MAXSIM))
    assert 0 < seconds["embed"] <= seconds["rerank"]
    assert len(passed) == len(made[config(**INT8)].built.chunks)
    single = Pipeline.open(config(**INT8), documents(), shared_context)
    assert single.built.vectors is not None
    np.testing.assert_array_equal(made[config(**INT8)].built.vectors, single.built.vectors)
