"""The pipeline answers under every mode and reranker, and counts its memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autorag.pipeline.build import BuildContext
from autorag.pipeline.generate import LOCAL, generators
from autorag.pipeline.index import serialized
from autorag.pipeline.rag import Pipeline, Result, ResultCache
from autorag.queries import Query
from tests.autorag.pipeline.corpus import config, documents, gold, many_documents, queries


def opened(context: BuildContext, **knobs: Any) -> Pipeline:
    return Pipeline.open(config(**knobs), documents(), context)


def finds(pipeline: Pipeline, query: Query, depth: int = 3) -> bool:
    """Whether the gold document is among the first."""
    ranked = pipeline.occurrences(pipeline.retrieve(query.question))[:depth]
    return gold(query) in [o.doc for occurrences in ranked for o in occurrences]


@pytest.mark.parametrize("model", ["none", "bm25", "maxsim"])
@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_every_mode_and_reranker_answers(
    shared_context: BuildContext, mode: str, model: str
) -> None:
    pipeline = opened(shared_context, retrieve__mode=mode, rerank__model=model)
    assert sum(finds(pipeline, q) for q in queries()) >= 9
    expected = (["embed"] if mode != "lexical" else []) + ["retrieve"]
    expected += ["rerank"] if model != "none" else []
    result = pipeline.retrieve("When was the lighthouse lit?")
    assert list(result.stage_ms) == expected
    assert all(ms > 0 for ms in result.stage_ms.values())
    assert np.all(np.diff(result.scores) <= 0)


@pytest.mark.parametrize("name", ["static", "lsa", "minilm-int8", "minilm"])
def test_every_embedder_answers(shared_context: BuildContext, name: str) -> None:
    pipeline = opened(shared_context, embed__model=name)
    assert sum(finds(pipeline, q) for q in queries()) >= 9


@pytest.mark.parametrize("dim", [64, 128, 256])
def test_truncated_vectors_answer(shared_context: BuildContext, dim: int) -> None:
    pipeline = opened(shared_context, embed__dim=dim)
    assert pipeline.built.vectors is not None
    assert pipeline.built.vectors.shape[1] == dim
    assert sum(finds(pipeline, q) for q in queries()) >= 8


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
@pytest.mark.parametrize("k", [1, 10, 40, 100])
def test_k_contexts_are_returned(shared_context: BuildContext, mode: str, k: int) -> None:
    result = opened(
        shared_context, retrieve__mode=mode, retrieve__k=k, generate__contexts=1
    ).retrieve("green tea")
    assert len(result.rows) == len(result.scores) == min(k, 40)
    assert len(set(result.rows.tolist())) == len(result.rows)


def test_lexical_search_returns_only_what_matches(shared_context: BuildContext) -> None:
    pipeline = opened(shared_context, retrieve__mode="lexical", retrieve__k=100)
    assert 1 <= len(pipeline.retrieve("krill").rows) < 5
    assert len(pipeline.retrieve("qqqq").rows) == 0


@pytest.mark.parametrize("model", ["bm25", "maxsim"])
def test_nothing_found_is_an_answer(shared_context: BuildContext, model: str) -> None:
    pipeline = opened(shared_context, retrieve__mode="lexical", rerank__model=model)
    result = pipeline.retrieve("qqqq")
    assert len(result.rows) == 0
    assert pipeline.context_rows(result) == []


@pytest.mark.parametrize("model", ["bm25", "maxsim"])
def test_only_the_first_candidates_are_reranked(shared_context: BuildContext, model: str) -> None:
    question = "How hot should water for tea be?"
    first = opened(shared_context, retrieve__k=10).retrieve(question)
    again = opened(shared_context, retrieve__k=5, rerank__model=model, rerank__depth=10).retrieve(
        question
    )
    assert len(again.rows) == 5
    assert set(again.rows.tolist()) <= set(first.rows.tolist())
    assert again.rows.tolist() != first.rows[:5].tolist()


@pytest.mark.parametrize(("alpha", "mode"), [(1.0, "dense"), (0.0, "lexical")])
def test_either_end_of_hybrid_is_one_search(
    shared_context: BuildContext, alpha: float, mode: str
) -> None:
    hybrid = opened(shared_context, retrieve__mode="hybrid", retrieve__alpha=alpha)
    single = opened(shared_context, retrieve__mode=mode)
    for query in queries():
        alone = single.retrieve(query.question).rows
        sure = len(alone) - 1 if mode == "lexical" else len(alone)
        assert hybrid.retrieve(query.question).rows[:sure].tolist() == alone[:sure].tolist()


@pytest.mark.parametrize("kind", ["flat", "ivf_flat", "ivf_sq8", "hnsw", "hnsw_sq8"])
def test_every_index_kind_answers(shared_context: BuildContext, kind: str) -> None:
    ivf = {"index__nlist": 0.25} if kind.startswith("ivf") else {}
    corpus = [*documents(), *many_documents(300)]
    chosen = config(embed__model="static", index__kind=kind, **ivf)
    pipeline = Pipeline.open(chosen, corpus, shared_context)
    assert sum(finds(pipeline, q) for q in queries()) >= 9


def test_pq_answers(shared_context: BuildContext) -> None:
    corpus = [*documents(), *many_documents(700)]
    chosen = config(
        embed__model="static", index__kind="ivf_pq_fastscan", index__nlist=0.5, retrieve__refine=8
    )
    pipeline = Pipeline.open(chosen, corpus, shared_context)
    assert sum(finds(pipeline, q) for q in queries()) >= 9


def test_equal_questions_have_equal_answers(shared_context: BuildContext) -> None:
    pipeline = opened(shared_context, retrieve__mode="hybrid", rerank__model="maxsim")
    first, second = (pipeline.retrieve("blue whale") for _ in range(2))
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert second.stage_ms


def test_a_cached_result_took_no_stage(shared_context: BuildContext) -> None:
    pipeline = opened(shared_context, cache__mb=64)
    first, second = (pipeline.retrieve("blue whale") for _ in range(2))
    assert first.stage_ms
    assert second.stage_ms == {}
    assert second.rows.tolist() == first.rows.tolist()
    pipeline.forget()
    assert pipeline.retrieve("blue whale").stage_ms


def result(rows: int) -> Result:
    return Result(np.arange(rows), np.zeros(rows, np.float32), {"embed": 1.0})


def test_the_cache_drops_what_was_not_asked_lately() -> None:
    cache = ResultCache(2600)
    for question in ("a", "b", "c"):
        cache.put(question, result(10))
    assert cache.get("a") is not None
    for question in ("d", "e"):
        cache.put(question, result(10))
    kept = [q for q in "abcde" if cache.get(q) is not None]
    assert "a" in kept
    assert "b" not in kept
    assert kept[-1] == "e"
    assert len(kept) <= 4


def test_a_cache_smaller_than_a_result_stays_empty() -> None:
    cache = ResultCache(100)
    cache.put("a", result(10))
    assert cache.get("a") is None


def test_memory_is_a_deterministic_sum(shared_context: BuildContext) -> None:
    knobs = {"retrieve__mode": "hybrid", "rerank__model": "maxsim", "index__kind": "hnsw"}
    first, second = (opened(shared_context, **knobs) for _ in range(2))
    before = first.memory_bytes()
    first.retrieve("blue whale")
    assert first.memory_bytes() == before == second.memory_bytes()


def test_memory_holds_the_index(shared_context: BuildContext) -> None:
    flat = opened(shared_context, embed__model="lsa")
    hnsw = opened(shared_context, embed__model="lsa", index__kind="hnsw")
    sizes = [serialized(p.built.index).nbytes for p in (flat, hnsw)]
    assert hnsw.memory_bytes() - flat.memory_bytes() == sizes[1] - sizes[0] > 0


def test_memory_holds_every_part(shared_context: BuildContext) -> None:
    base = {"embed__model": "static", "index__kind": "hnsw_sq8"}
    plain = opened(shared_context, **base).memory_bytes()
    vectors = 40 * 256 * 4
    cached = opened(shared_context, **base, cache__mb=64).memory_bytes()
    refined = opened(shared_context, **base, retrieve__refine=4).memory_bytes()
    hybrid = opened(shared_context, **base, retrieve__mode="hybrid")
    late = opened(shared_context, **base, rerank__model="maxsim")
    assert cached - plain == 64 * 10**6
    assert refined - plain == vectors
    assert hybrid.built.lexical is not None
    assert late.built.tokens is not None
    assert hybrid.memory_bytes() - plain == hybrid.built.lexical.bytes > 0
    assert late.memory_bytes() - plain > late.built.tokens.rows.nbytes + 20 * 10**6


def test_maxsim_shares_the_int8_embedders_weights(shared_context: BuildContext) -> None:
    plain = opened(shared_context, embed__model="minilm-int8")
    late = opened(shared_context, embed__model="minilm-int8", rerank__model="maxsim")
    assert late.built.tokens is not None
    tokens = late.built.tokens
    added = late.memory_bytes() - plain.memory_bytes()
    assert added == tokens.rows.nbytes + tokens.starts.nbytes


@pytest.mark.skipif(LOCAL not in generators(), reason="the local generator is not installed")
def test_an_answer_is_generated_from_the_first_contexts(
    shared_context: BuildContext, models: Path
) -> None:
    pipeline = opened(shared_context, generate__contexts=2, generate__max_tokens=16)
    weights = pipeline.memory_bytes()
    asked = "When was the lighthouse lit for the first time?"
    answer, prompt = pipeline.generate(asked, pipeline.retrieve(asked))
    assert "1872" in answer.text
    assert prompt.count("Passage: ") == 2 + 2
    assert prompt.index("Lighthouse") < prompt.index(f"Question: {asked}")
    assert pipeline.memory_bytes() > weights + 10**8
