"""Parts that remember: the rankings of parts that do not, and everything is computed once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autorag.documents import Document
from autorag.pipeline.build import BuildContext
from autorag.pipeline.embedders import Lsa, Static, Transformer
from autorag.pipeline.lexical import LexicalSearch
from autorag.pipeline.parts import SharedParts
from autorag.pipeline.rag import Pipeline
from autorag.pipeline.remembering import RememberingParts
from autorag.pipeline.rerank import MaxSim
from autorag.pipeline.transformer import TransformerEncoder
from autorag.pipeline.workbench import Workbench, build_order
from autorag.space import Config
from tests.autorag.pipeline.corpus import config, documents, many_documents, queries

CORPUS = [*documents(), *many_documents(60)]
QUESTIONS = [*(q.question for q in queries()), "qqqq", "the of and", "page 7 on tea"]
INT8: dict[str, Any] = {"embed__model": "minilm-int8"}
STATIC: dict[str, Any] = {"embed__model": "static"}
LSA: dict[str, Any] = {"embed__model": "lsa"}
HYBRID: dict[str, Any] = {"retrieve__mode": "hybrid"}
LEXICAL: dict[str, Any] = {"retrieve__mode": "lexical"}

CONFIGS = sorted(
    (
        config(**base, **reranked)
        for base in (
            LEXICAL,
            INT8,
            STATIC,
            LSA,
            {**HYBRID, **INT8, "retrieve__alpha": 0.2},
            {**HYBRID, **STATIC},
            {**HYBRID, **LSA, "retrieve__alpha": 0.8},
            {**INT8, "embed__dim": 64},
            {**STATIC, "index__kind": "hnsw"},
        )
        for reranked in (
            {},
            {"rerank__model": "bm25"},
            {"rerank__model": "maxsim", "rerank__depth": 20},
            {"rerank__model": "maxsim", "rerank__depth": 50, "rerank__weight": 1.0},
        )
    ),
    key=build_order,
)

SECOND_PROCESS = """
import sys
from pathlib import Path
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext
from autorag.pipeline.remembering import RememberingParts
from autorag.pipeline.transformer import TransformerEncoder
from tests.autorag.pipeline.test_remembering import INT8, QUESTIONS, remembering
from tests.autorag.pipeline.corpus import config
context = BuildContext(ArtifactStore(Path(sys.argv[1])), Path(sys.argv[2]))
TransformerEncoder.encode = None
pipeline = remembering(context).pipeline(config(**INT8, rerank__model="maxsim"))
print([pipeline.retrieve(q).rows.tolist() for q in QUESTIONS])
"""


def remembering(
    context: BuildContext,
    questions: Sequence[str] = QUESTIONS,
    corpus: Sequence[Document] = CORPUS,
) -> Workbench:
    return Workbench(CONFIGS[0], corpus, context, RememberingParts(context, questions))


def rankings(pipeline: Pipeline) -> list[list[int]]:
    return [pipeline.retrieve(q).rows.tolist() for q in QUESTIONS]


def test_rankings_are_those_of_parts_that_do_not_remember(shared_context: BuildContext) -> None:
    plain = Workbench(CONFIGS[0], CORPUS, shared_context, SharedParts(shared_context))
    bench = remembering(shared_context)
    for chosen in CONFIGS:
        wanted, found = plain.pipeline(chosen), bench.pipeline(chosen)
        assert rankings(found) == rankings(wanted), chosen
        for question in QUESTIONS:
            np.testing.assert_allclose(
                found.retrieve(question).scores, wanted.retrieve(question).scores, atol=1e-5
            )


Calls = Counter[Any]


def counted(
    monkeypatch: pytest.MonkeyPatch, kind: type, method: str, asked: Callable[..., list[Any]]
) -> Calls:
    """How often each thing was asked of a method."""
    calls: Calls = Counter()
    original = getattr(kind, method)

    def counting(self: Any, *given: Any, **named: Any) -> Any:
        calls.update(asked(*given))
        return original(self, *given, **named)

    monkeypatch.setattr(kind, method, counting)
    return calls


def pairs(query: str, rows: np.ndarray) -> list[tuple[str, int]]:
    return [(query, row) for row in rows.tolist()]


def test_each_thing_is_computed_once_for_all_configs(
    context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = remembering(context)
    bench.pipeline(config(**INT8, rerank__model="maxsim"))
    counts = [
        counted(monkeypatch, Static, "encode_query", lambda text: [text]),
        counted(monkeypatch, Lsa, "encode_query", lambda text: [text]),
        counted(monkeypatch, LexicalSearch, "scores", lambda query: [query]),
        counted(monkeypatch, LexicalSearch, "postings", lambda query: [query]),
        counted(monkeypatch, MaxSim, "scores", pairs),
        counted(monkeypatch, TransformerEncoder, "encode", lambda texts, *_: list(texts)),
    ]
    for chosen in CONFIGS:
        pipeline = bench.pipeline(chosen)
        rankings(pipeline)
        if pipeline.built.lexical is not None:
            assert all(pipeline.built.lexical.postings(q) >= 0 for q in QUESTIONS)
    *once, encoded = counts
    assert encoded == Counter()
    for calls in once:
        assert set(QUESTIONS[:10]) <= {c[0] if isinstance(c, tuple) else c for c in calls}
        assert set(calls.values()) == {1}


def test_a_transformer_on_torch_encodes_a_query_once(
    shared_context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = remembering(shared_context, corpus=documents()[:10])
    made = [bench.pipeline(config(embed__model="minilm", embed__dim=d)) for d in (64, 128)]
    calls = counted(monkeypatch, Transformer, "encode_query", lambda text: [text])
    for pipeline in made:
        rankings(pipeline)
    assert calls == Counter(QUESTIONS)


def test_another_process_finds_the_encoded_queries_in_the_store(
    shared_context: BuildContext, models: Path
) -> None:
    chosen = config(**INT8, rerank__model="maxsim")
    found = rankings(remembering(shared_context).pipeline(chosen))
    root = str(shared_context.store.root)
    told = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS, root, str(models)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.strip() == str(found), told.stderr


def test_only_new_questions_are_encoded(
    context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembering(context, QUESTIONS[:3]).pipeline(config(**INT8))
    calls = counted(monkeypatch, TransformerEncoder, "encode", lambda texts, *_: list(texts))
    pipeline = remembering(context, QUESTIONS[2:5]).pipeline(config(**INT8))
    assert calls == Counter(QUESTIONS[3:5])
    assert len(rankings(pipeline)) == len(QUESTIONS)


def test_a_question_given_twice_is_one(shared_context: BuildContext) -> None:
    twice = remembering(shared_context, QUESTIONS * 2).pipeline(config(**INT8))
    assert rankings(twice) == rankings(remembering(shared_context).pipeline(config(**INT8)))


@pytest.mark.parametrize("limit", [0, 3 * 4 * len(CORPUS)])
def test_scores_are_right_when_few_are_remembered(
    shared_context: BuildContext, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    chosen: Config = config(**LEXICAL)
    wanted = rankings(remembering(shared_context).pipeline(chosen))
    monkeypatch.setattr("autorag.pipeline.remembering.REMEMBERED_BYTES", limit)
    calls = counted(monkeypatch, LexicalSearch, "scores", lambda query: [query])
    pipeline = remembering(shared_context).pipeline(chosen)
    assert rankings(pipeline) == rankings(pipeline) == wanted
    assert list(calls.values()).count(1) == min(limit // (4 * len(CORPUS)), len(QUESTIONS))


def test_postings_are_those_of_the_index(shared_context: BuildContext) -> None:
    built = remembering(shared_context).pipeline(config(**LEXICAL)).built
    plain = Pipeline.open(config(**LEXICAL), CORPUS, shared_context).built
    assert built.lexical is not None
    assert plain.lexical is not None
    for question in QUESTIONS * 2:
        assert built.lexical.postings(question) == plain.lexical.postings(question)
    assert built.lexical.bytes == plain.lexical.bytes
