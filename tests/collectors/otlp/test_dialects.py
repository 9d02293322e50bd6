"""What instrumentations call things is understood: every name of every dialect."""

from __future__ import annotations

from typing import Any

import pytest

from autorag.telemetry import OTHER_KINDS, Span
from collectors.otlp.dialects import GROUPS, GUESSED, IMPLIED, NAMED, SURE, WANTED
from collectors.otlp.normalise import text_hash
from tests.collectors.otlp.spans import Sent, arrived
from tests.collectors.otlp.stories import DIALECTS, KIND, OPERATION


def classified(name: str, attributes: dict[str, Any]) -> tuple[str, float]:
    (span,) = arrived(Sent(name, attributes))
    return span.kind, span.confidence


@pytest.mark.parametrize(
    ("attribute", "value", "kind"),
    [
        *(("autorag.stage", s, s) for s in ("parse", "chunk", "embed", "retrieve", "rerank")),
        ("autorag.stage", "generate", "generate"),
        (KIND, "RETRIEVER", "retrieve"),
        (KIND, "RERANKER", "rerank"),
        (KIND, "EMBEDDING", "embed"),
        (KIND, "LLM", "generate"),
        (KIND, "llm", "generate"),
        (KIND, "PROMPT", "prompt"),
        (KIND, "TOOL", "tool"),
        (KIND, "AGENT", "agent"),
        (KIND, "GUARDRAIL", "guardrail"),
        (KIND, "EVALUATOR", "evaluation"),
        (KIND, "CHAIN", "chain"),
        (KIND, "UNKNOWN", "chain"),
        (OPERATION, "chat", "generate"),
        (OPERATION, "text_completion", "generate"),
        (OPERATION, "generate_content", "generate"),
        (OPERATION, "embeddings", "embed"),
        (OPERATION, "retrieval", "retrieve"),
        (OPERATION, "vector_db_retrieve", "retrieve"),
        (OPERATION, "rerank", "rerank"),
        (OPERATION, "execute_tool", "tool"),
        (OPERATION, "invoke_agent", "chain"),
        (OPERATION, "invoke_workflow", "chain"),
        ("llm.request.type", "chat", "generate"),
        ("llm.request.type", "completion", "generate"),
        ("llm.request.type", "embedding", "embed"),
        ("llm.request.type", "rerank", "rerank"),
        ("traceloop.span.kind", "workflow", "chain"),
        ("traceloop.span.kind", "task", "chain"),
    ],
)
def test_what_an_app_says_of_a_span_is_certain(attribute: str, value: str, kind: str) -> None:
    assert classified("a span", {attribute: value}) == (kind, SURE)


@pytest.mark.parametrize(
    "attributes",
    [
        {KIND: "CHAIN"},
        {KIND: "LLM", "llm.prompt_template.template": "{q}"},
        {OPERATION: "chat"},
        {"traceloop.span.kind": "task"},
        {"db.system": "qdrant", "db.operation": "search"},
    ],
)
def test_the_app_knows_better_than_its_instrumentation(attributes: dict[str, Any]) -> None:
    said = {**attributes, "autorag.stage": "rerank"}
    assert classified("VectorStoreRetriever", said) == ("rerank", SURE)


@pytest.mark.parametrize("value", ["", "index", "retrieval", 5, True, ["rerank"], {"a": 1}, None])
def test_a_stage_that_is_none_is_passed_over(value: Any) -> None:
    said = {"autorag.stage": value, KIND: "RETRIEVER"}
    assert classified("x", said) == ("retrieve", SURE)


@pytest.mark.parametrize(
    "key",
    ["autorag.stage", KIND, OPERATION, "llm.request.type", "traceloop.span.kind",
     "db.system", "db.system.name", "db.operation", "gen_ai.task.status"],
)  # fmt: skip
@pytest.mark.parametrize("value", [7, 0.5, True, b"chat", ["chat"], {"chat": 1}, [], {}])
def test_a_word_that_is_something_else_says_nothing(key: str, value: Any) -> None:
    assert classified("a span", {key: value}) == ("other", SURE)


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("rerank", "rerank"),
        ("execute_task rerank", "rerank"),
        ("Re-Ranking the passages", "rerank"),
        ("CohereRerank.postprocess_nodes", "rerank"),
        ("MetaFieldRanker.run", "rerank"),
        ("LostInTheMiddleRanker.run", "rerank"),
        ("SentenceSplitter.split_text", "chunk"),
        ("RecursiveCharacterTextSplitter", "chunk"),
        ("split_documents", "chunk"),
        ("SemanticChunker", "chunk"),
        ("SentenceWindowNodeParser._parse_nodes", "chunk"),
    ],
)
@pytest.mark.parametrize(
    "attributes", [{KIND: "CHAIN"}, {OPERATION: "execute_task"}, {"traceloop.span.kind": "task"}]
)
def test_a_chain_is_what_its_name_says_with_less_confidence(
    name: str, stage: str, attributes: dict[str, Any]
) -> None:
    assert classified(name, attributes) == (stage, NAMED)


@pytest.mark.parametrize(
    "name",
    ["RunnableSequence", "StrOutputParser", "retrieve", "generate", "ChatPromptTemplate", "frank",
     "RetrieverQueryEngine.query", "SimilarityPostprocessor._postprocess_nodes", "ranking", ""],
)  # fmt: skip
def test_any_other_chain_is_a_chain(name: str) -> None:
    assert classified(name, {KIND: "CHAIN"}) == ("chain", SURE)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("PromptBuilder.run", {}),
        ("ChatPromptBuilder.run", {"llm.model_name": "gemma"}),
        ("fill", {"llm.prompt_template.template": "{question}"}),
    ],
)
def test_a_prompt_builder_that_is_labelled_as_a_model_call_is_none(
    name: str, attributes: dict[str, Any]
) -> None:
    assert classified(name, {KIND: "LLM", **attributes}) == ("prompt", SURE)


@pytest.mark.parametrize(
    "sign",
    [
        {"llm.model_name": "gemma"},
        {"llm.token_count.prompt": 0},
        {"llm.output_messages.0.message.content": "yes"},
        {"llm.output_messages.0.message.role": "assistant"},
    ],
)
def test_a_model_call_that_tells_its_template_is_still_one(sign: dict[str, Any]) -> None:
    said = {KIND: "LLM", "llm.prompt_template.template": "{question}", **sign}
    assert classified("MockLLM.predict", said) == ("generate", SURE)


@pytest.mark.parametrize("name", ["parse", "chunk", "embed", "retrieve", "rerank", "generate"])
def test_a_plain_span_that_is_named_like_a_stage_is_a_guess(name: str) -> None:
    assert classified(name, {"code.function": "f"}) == (name, GUESSED)


@pytest.mark.parametrize("name", ["GET /search", "retriever", "Rerank", "index", "reranker", ""])
def test_any_other_plain_span_is_none_of_ours(name: str) -> None:
    assert classified(name, {"http.method": "GET"}) == ("other", SURE)


@pytest.mark.parametrize(
    "system",
    ["chroma", "elasticsearch", "lancedb", "marqo", "milvus", "opensearch", "pinecone", "qdrant",
     "vespa", "weaviate"],
)  # fmt: skip
@pytest.mark.parametrize(
    "keys", [("db.system", "db.operation"), ("db.system.name", "db.operation.name")]
)
def test_a_search_of_a_vector_database_retrieves(system: str, keys: tuple[str, str]) -> None:
    for operation in ("query", "search", "QueryPoints", "knn"):
        assert classified("POST", dict(zip(keys, (system, operation), strict=True))) == (
            "retrieve",
            IMPLIED,
        )
    for operation in ("insert", "upsert", "delete", "create_collection"):
        assert classified(f"{system}.query", dict(zip(keys, (system, operation), strict=True))) == (
            "other",
            SURE,
        )


def test_a_database_without_an_operation_is_judged_by_the_name_of_the_span() -> None:
    assert classified("chroma.query", {"db.system": "chroma"}) == ("retrieve", IMPLIED)
    assert classified("chroma.add", {"db.system": "chroma"}) == ("other", SURE)
    assert classified("SELECT query", {"db.system": "postgresql"}) == ("other", SURE)


# Every key, and the fact that it leads to. Spelled out: the table is what these tests are about.

CHAT, EMBED = {OPERATION: "chat"}, {OPERATION: "embeddings"}
RETRIEVE, RERANK = {OPERATION: "retrieval"}, {KIND: "RERANKER"}
TWO = '[{"id": "a", "score": 0.5}, {"id": "b", "score": 0.25}]'
FOUND = {"documents": 2, "ids": ["a", "b"], "scores": [0.5, 0.25]}
ASKED = {"query": text_hash("what is it?"), "query_chars": 12}

FOUR = {"texts": 1, "text_chars": 4, "query": text_hash("four"), "query_chars": 4}
FACTS: list[tuple[str, dict[str, Any], Any, dict[str, Any]]] = [
    *(
        (key, CHAT, "gemma", {"model": "gemma"})
        for key in (
            "gen_ai.response.model",
            "gen_ai.request.model",
            "llm.model_name",
            "llm.response.model_name",
        )
    ),
    ("embedding.model_name", EMBED, "minilm", {"model": "minilm"}),
    ("reranker.model_name", RERANK, "maxsim", {"model": "maxsim"}),
    *(
        (key, CHAT, 42, {"prompt_tokens": 42})
        for key in (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "llm.usage.prompt_tokens",
        )
    ),
    *(
        (key, CHAT, 5, {"completion_tokens": 5})
        for key in (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "llm.usage.completion_tokens",
        )
    ),
    *(
        (key, CHAT, 30, {"cached_tokens": 30})
        for key in (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "llm.token_count.prompt_details.cache_read",
        )
    ),
    ("gen_ai.response.time_to_first_chunk", CHAT, 0.25, {"ttft_ms": 250.0}),
    ("gen_ai.server.time_to_first_token", CHAT, 0.25, {"ttft_ms": 250.0}),
    *(
        (key, RETRIEVE, 7, {"top_k": 7})
        for key in ("gen_ai.retrieval.top_k", "db.vector.query.top_k", "pinecone.query.top_k")
    ),
    ("reranker.top_k", RERANK, 7, {"top_k": 7}),
    *(
        (key, RETRIEVE, "What  is it?", ASKED)
        for key in (
            "gen_ai.retrieval.query.text",
            "reranker.query",
            "input.value",
            "traceloop.entity.input",
            "gen_ai.task.input",
        )
    ),
    *(
        (key, RETRIEVE, TWO, FOUND)
        for key in (
            "gen_ai.retrieval.documents",
            "output.value",
            "traceloop.entity.output",
            "gen_ai.task.output",
        )
    ),
    ("retrieval.documents.0.document.id", RETRIEVE, "a", {"documents": 1, "ids": ["a"]}),
    ("retrieval.documents.0.document.score", RETRIEVE, 0.5, {"documents": 1, "scores": [0.5]}),
    ("reranker.output_documents.1.document.id", RERANK, "b", {"documents": 2, "ids": [None, "b"]}),
    ("reranker.output_documents.0.document.score", RERANK, 2, {"documents": 1, "scores": [2]}),
    ("reranker.input_documents.4.document.id", RERANK, "e", {"input_documents": 5}),
    ("embedding.embeddings.2.embedding.vector", EMBED, [0.5], {"texts": 3}),
    ("embedding.embeddings.0.embedding.text", EMBED, "four", FOUR),
    ("llm.input_messages.0.message.content", CHAT, "hello", {"prompt_chars": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "kind", "value", "expected"), FACTS, ids=[f[0] for f in FACTS])
def test_every_name_leads_to_its_fact(
    key: str, kind: dict[str, Any], value: Any, expected: dict[str, Any]
) -> None:
    sent = Sent("a span", {**kind, key: value}, parent=9)
    (span,) = arrived(sent)
    assert span.facts == expected


def test_no_name_of_the_table_is_left_out_above() -> None:
    here = {key for key, _, _, _ in FACTS}
    classifying = {
        "autorag.stage", KIND, OPERATION, "llm.request.type", "traceloop.span.kind",
        "db.system", "db.system.name", "db.operation", "db.operation.name",
        "llm.prompt_template.template", "gen_ai.task.status",
    }  # fmt: skip
    judging = {k for k in WANTED if k.startswith("gen_ai.evaluation.")}
    assert {key for key in here if key in WANTED} == WANTED - classifying - judging
    groups = {g for g in GROUPS if any(key.startswith(f"{g}.") for key in here)}
    judged = {g for g in GROUPS if g.endswith(("annotations", "evaluations"))}
    assert groups | judged | {"llm.output_messages"} == set(GROUPS)


def test_the_first_of_several_names_that_has_a_value_counts() -> None:
    (span,) = arrived(
        Sent(
            "chat",
            {
                **CHAT,
                "gen_ai.response.model": None,
                "gen_ai.request.model": "asked for",
                "llm.usage.prompt_tokens": 1,
                "gen_ai.usage.input_tokens": 2,
            },
            parent=9,
        )
    )
    assert span.facts == {"model": "asked for", "prompt_tokens": 2}


def test_a_failed_task_of_openllmetry_is_an_error() -> None:
    task = {"traceloop.span.kind": "task"}
    spans = arrived(
        Sent("a", {**task, "gen_ai.task.status": "failure"}, id=1),
        Sent("b", {**task, "gen_ai.task.status": "success"}, id=2),
        Sent("c", task, id=3, error=True),
    )
    assert [s.error for s in spans] == [True, False, True]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_tells_the_same_stages(dialect: str) -> None:
    spans: dict[str, Span] = {s.kind: s for s in arrived(*DIALECTS[dialect]())}
    stages = {k: s for k, s in spans.items() if k not in OTHER_KINDS}
    expected = {"embed", "retrieve", "rerank", "generate"}
    assert set(stages) == expected - ({"embed"} if dialect == "openllmetry" else set())
    assert stages["generate"].facts["prompt_tokens"] == 40
    assert stages["generate"].facts["completion_tokens"] == 6
    assert stages["generate"].facts["model"] == "gemma"
    assert stages["retrieve"].facts["documents"] == 3
    hashes = {s.facts["query"] for s in stages.values() if "query" in s.facts}
    assert len(hashes) == 1
