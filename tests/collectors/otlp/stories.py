"""One request to one app, as three dialects tell it, with the same times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from collectors.otlp.normalise import text_hash
from tests.collectors.otlp.spans import Sent

KIND = "openinference.span.kind"
OPERATION = "gen_ai.operation.name"

QUESTION = "Which river ends in the  Black Sea?"
ANSWER = "The Danube does."
DOCUMENTS = (
    ("danube#2", 0.91, "The Danube ends in the Black Sea."),
    ("nile#1", 0.55, "The Nile ends in the Mediterranean Sea."),
    ("volga#4", 0.52, "The Volga ends in the Caspian Sea."),
)
IDS = [id_ for id_, _, _ in DOCUMENTS]
SCORES = [score for _, score, _ in DOCUMENTS]
HASHES = [text_hash(text) for _, _, text in DOCUMENTS]
RERANKED = (DOCUMENTS[0], DOCUMENTS[2])
PROMPT = f"{RERANKED[0][2]} {RERANKED[1][2]} {QUESTION}"


def openinference(trace: int = 1) -> list[Sent]:
    """As LlamaIndex or Haystack tells it: the question is embedded inside of retrieving."""
    retrieved = documents("retrieval.documents", DOCUMENTS)
    return [
        Sent("RAG.run", {KIND: "CHAIN", "input.value": QUESTION}, 0, 100, 1, None, trace),
        Sent(
            "Retriever.retrieve",
            {KIND: "RETRIEVER", "input.value": json.dumps({"query": QUESTION}), **retrieved},
            *(5, 25, 2, 1, trace),
        ),
        Sent(
            "Embedding.embed",
            {
                KIND: "EMBEDDING",
                "embedding.model_name": "minilm",
                "embedding.embeddings.0.embedding.text": QUESTION,
                "embedding.embeddings.0.embedding.vector": [0.25, 0.5, 0.125],
            },
            *(6, 4, 3, 2, trace),
        ),
        Sent(
            "Ranker.run",
            {
                KIND: "RERANKER",
                "reranker.query": QUESTION,
                "reranker.top_k": 2,
                "reranker.model_name": "maxsim",
                **documents("reranker.input_documents", DOCUMENTS),
                **documents("reranker.output_documents", RERANKED),
            },
            *(30, 20, 4, 1, trace),
        ),
        Sent(
            "PromptBuilder.run",
            {
                KIND: "LLM",
                "llm.prompt_template.template": "{documents} {question}",
                "output.value": PROMPT,
            },
            *(50, 1, 5, 1, trace),
        ),
        Sent(
            "Generator.run",
            {
                KIND: "LLM",
                "llm.model_name": "gemma",
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.content": PROMPT,
                "llm.output_messages.0.message.content": ANSWER,
                "llm.token_count.prompt": 40,
                "llm.token_count.completion": 6,
            },
            *(51, 44, 6, 1, trace),
            events=[("First Token Stream Event", 61.0, {})],
        ),
    ]


def genai(trace: int = 1) -> list[Sent]:
    """As the OpenTelemetry conventions tell it, which have no rerank: the app says that itself."""
    retrieved = [{"id": id_, "score": score} for id_, score, _ in DOCUMENTS]
    return [
        Sent("invoke_workflow rag", {OPERATION: "invoke_workflow"}, 0, 100, 1, None, trace),
        Sent(
            "retrieval rivers",
            {
                OPERATION: "retrieval",
                "gen_ai.retrieval.query.text": QUESTION,
                "gen_ai.retrieval.top_k": 3,
                "gen_ai.retrieval.documents": json.dumps(retrieved),
            },
            *(5, 25, 2, 1, trace),
        ),
        Sent(
            "embeddings minilm",
            {OPERATION: "embeddings", "gen_ai.request.model": "minilm"},
            *(6, 4, 3, 2, trace),
        ),
        Sent("best of them", {"autorag.stage": "rerank"}, 30, 20, 4, 1, trace),
        Sent(
            "chat gemma",
            {
                OPERATION: "chat",
                "gen_ai.request.model": "gemma",
                "gen_ai.usage.input_tokens": 40,
                "gen_ai.usage.output_tokens": 6,
                "gen_ai.response.time_to_first_chunk": 0.010,
                "gen_ai.input.messages": json.dumps([{"role": "user", "content": PROMPT}]),
            },
            *(51, 44, 6, 1, trace),
        ),
    ]


def openllmetry(trace: int = 1) -> list[Sent]:
    """As OpenLLMetry tells it of LangChain, which has no span for embedding."""
    entity = "traceloop.span.kind"
    found = json.dumps({"documents": [{"page_content": text} for _, _, text in DOCUMENTS]})
    return [
        Sent(
            "RunnableSequence.workflow",
            {
                entity: "workflow",
                OPERATION: "invoke_agent",
                "traceloop.entity.input": json.dumps({"inputs": QUESTION, "tags": []}),
            },
            *(0, 100, 1, None, trace),
        ),
        Sent(
            "vector_db_retrieve VectorStoreRetriever",
            {
                entity: "task",
                OPERATION: "vector_db_retrieve",
                "traceloop.entity.input": json.dumps({"query": QUESTION, "tags": ["seq:step:1"]}),
                "traceloop.entity.output": found,
            },
            *(5, 25, 2, 1, trace),
        ),
        Sent(
            "execute_task rerank",
            {
                entity: "task",
                OPERATION: "execute_task",
                "traceloop.entity.input": json.dumps({"inputs": constructed(DOCUMENTS)}),
                "traceloop.entity.output": json.dumps({"outputs": constructed(RERANKED)}),
            },
            *(30, 20, 4, 1, trace),
        ),
        Sent(
            "execute_task ChatPromptTemplate",
            {entity: "task", OPERATION: "execute_task"},
            *(50, 1, 5, 1, trace),
        ),
        Sent(
            "ChatModel.chat",
            {
                OPERATION: "chat",
                "gen_ai.response.model": "gemma",
                "gen_ai.usage.input_tokens": 40,
                "gen_ai.usage.output_tokens": 6,
            },
            *(51, 44, 6, 1, trace),
        ),
    ]


DIALECTS = {"openinference": openinference, "genai": genai, "openllmetry": openllmetry}


def documents(group: str, some: Sequence[tuple[str, float, str]]) -> dict[str, Any]:
    """Documents in numbered attributes."""
    found: dict[str, Any] = {}
    for number, (id_, score, text) in enumerate(some):
        found[f"{group}.{number}.document.id"] = id_
        found[f"{group}.{number}.document.score"] = score
        found[f"{group}.{number}.document.content"] = text
    return found


def constructed(some: Sequence[tuple[str, float, str]]) -> list[dict[str, Any]]:
    """Documents as LangChain writes them: calls of their constructor."""
    path = ["langchain", "schema", "document", "Document"]
    return [
        {"lc": 1, "id": path, "kwargs": {"id": id_, "page_content": text}} for id_, _, text in some
    ]
