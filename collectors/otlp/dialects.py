"""What instrumentations call things: the alias table, and which operation a span is.

Three dialects and their older names: OpenInference (Arize), the OpenTelemetry GenAI conventions,
and OpenLLMetry (Traceloop). None has a stable release, so the table is ours and has a version:
raise it when a change gives spans another meaning.

Where an app says what a span is (``autorag.stage``, or a kind of its dialect) that is certain. A
chain or task whose name says that it reranks or splits is taken for that with less confidence. A
prompt builder that is labelled as a model call is none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collectors.otlp.attributes import Attributes

VERSION = 1

STAGE = ("autorag.stage",)
OPENINFERENCE_KIND = ("openinference.span.kind",)
OPERATION = ("gen_ai.operation.name",)
REQUEST_TYPE = ("llm.request.type",)
ENTITY_KIND = ("traceloop.span.kind",)
DATABASE = ("db.system.name", "db.system")
DATABASE_OPERATION = ("db.operation.name", "db.operation")

MODEL = (
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.model_name",
    "llm.response.model_name",
    "embedding.model_name",
    "reranker.model_name",
)
PROMPT_TOKENS = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
)
COMPLETION_TOKENS = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
)
CACHED_TOKENS = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
FIRST_CHUNK_S = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
TOP_K = (
    "gen_ai.retrieval.top_k",
    "reranker.top_k",
    "db.vector.query.top_k",
    "pinecone.query.top_k",
)
QUESTION = (
    "gen_ai.retrieval.query.text",
    "reranker.query",
    "input.value",
    "traceloop.entity.input",
    "gen_ai.task.input",
)
OUTPUT = ("output.value", "traceloop.entity.output", "gen_ai.task.output")
RETRIEVED = ("gen_ai.retrieval.documents",)
PROMPT_TEMPLATE = ("llm.prompt_template.template",)
TASK_STATUS = ("gen_ai.task.status",)
EVALUATION_NAME = ("gen_ai.evaluation.name",)
EVALUATION_SCORE = ("gen_ai.evaluation.score.value",)
EVALUATION_LABEL = ("gen_ai.evaluation.score.label",)

WANTED = frozenset(
    key
    for keys in (
        STAGE,
        OPENINFERENCE_KIND,
        OPERATION,
        REQUEST_TYPE,
        ENTITY_KIND,
        DATABASE,
        DATABASE_OPERATION,
        MODEL,
        PROMPT_TOKENS,
        COMPLETION_TOKENS,
        CACHED_TOKENS,
        FIRST_CHUNK_S,
        TOP_K,
        QUESTION,
        OUTPUT,
        RETRIEVED,
        PROMPT_TEMPLATE,
        TASK_STATUS,
        EVALUATION_NAME,
        EVALUATION_SCORE,
        EVALUATION_LABEL,
    )
    for key in keys
)
"""Attributes that are read."""

_JUDGED = frozenset({"name", "score", "label"})

GROUPS: dict[str, frozenset[str]] = {
    "retrieval.documents": frozenset({"document.id", "document.score", "document.content"}),
    "reranker.input_documents": frozenset(),
    "reranker.output_documents": frozenset({"document.id", "document.score", "document.content"}),
    "embedding.embeddings": frozenset({"embedding.text"}),
    "llm.input_messages": frozenset({"message.content"}),
    "llm.output_messages": frozenset(),
    **{
        f"{scope}{word}s": frozenset(f"{word}.{part}" for part in _JUDGED)
        for scope in ("", "trace.", "session.")
        for word in ("annotation", "evaluation")
    },
}
"""Numbered attributes: the fields that are read of each member of a group."""

FIRST_TOKEN_EVENTS = frozenset(
    {
        "First Token Stream Event",
        "gen_ai.content.completion.chunk",
        "llm.content.completion.chunk",
    }
)
EVALUATION_EVENT = "gen_ai.evaluation.result"

SURE, IMPLIED, NAMED, GUESSED = 1.0, 0.9, 0.6, 0.4
"""Confidence: the app said so; it follows from another attribute; the name of a chain says so; only
the name of a span without any dialect does."""

_OPENINFERENCE = {
    "RETRIEVER": "retrieve",
    "RERANKER": "rerank",
    "EMBEDDING": "embed",
    "LLM": "generate",
    "PROMPT": "prompt",
    "TOOL": "tool",
    "AGENT": "agent",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluation",
}
_OPERATIONS = {
    "chat": "generate",
    "text_completion": "generate",
    "generate_content": "generate",
    "completion": "generate",
    "llm_request": "generate",
    "embeddings": "embed",
    "embedding": "embed",
    "retrieval": "retrieve",
    "vector_db_retrieve": "retrieve",
    "rerank": "rerank",
    "execute_tool": "tool",
}
_VECTOR_DATABASES = frozenset(
    {
        "chroma",
        "chromadb",
        "elasticsearch",
        "faiss",
        "lancedb",
        "marqo",
        "milvus",
        "opensearch",
        "pinecone",
        "qdrant",
        "vespa",
        "weaviate",
    }
)
_SEARCHES = re.compile(r"query|search|retriev|knn|near_", re.IGNORECASE)
_NAMES = (
    ("rerank", re.compile(r"re-?rank|\branker\b|[a-z]Ranker\b", re.IGNORECASE)),
    ("chunk", re.compile(r"splitter|split_(text|documents)|chunker|node_?parser", re.IGNORECASE)),
)
_STAGE_NAMES = frozenset({"parse", "chunk", "embed", "retrieve", "rerank", "generate"})
_BUILDER = re.compile(r"prompt_?(builder|template)", re.IGNORECASE)

REMEMBERED_NAMES = 10_000
_named: dict[str, str | None] = {}


def classify(name: str, attributes: Attributes) -> tuple[str, float]:
    """The kind of a span and how sure that is.

    Args:
        name: of the span.
        attributes: its attributes.
    """
    stage = _word(attributes, STAGE)
    if stage in _STAGE_NAMES:
        return stage, SURE
    kind = _word(attributes, OPENINFERENCE_KIND)
    if kind:
        return _openinference(kind.upper(), name, attributes)
    operation = _word(attributes, OPERATION) or _word(attributes, REQUEST_TYPE)
    if operation in _OPERATIONS:
        return _OPERATIONS[operation], SURE
    if _word(attributes, DATABASE) in _VECTOR_DATABASES and _searches(name, attributes):
        return "retrieve", IMPLIED
    if operation or _word(attributes, ENTITY_KIND):
        return _chain(name)
    return (name, GUESSED) if name in _STAGE_NAMES else ("other", SURE)


def _word(attributes: Attributes, keys: tuple[str, ...]) -> str:
    """An attribute that should be a word; empty where it is missing or something else."""
    value = attributes.first(keys)
    return value if isinstance(value, str) else ""


def _openinference(kind: str, name: str, attributes: Attributes) -> tuple[str, float]:
    if kind == "LLM" and _builds_prompt(name, attributes):
        return "prompt", SURE
    found = _OPENINFERENCE.get(kind)
    return (found, SURE) if found is not None else _chain(name)


def _builds_prompt(name: str, attributes: Attributes) -> bool:
    """Whether a span that is labelled as a model call only fills a template: it names no model,
    counts no tokens and answers nothing."""
    if _BUILDER.search(name):
        return True
    filled = attributes.first(PROMPT_TEMPLATE) is not None
    called = attributes.first(MODEL) is not None or attributes.first(PROMPT_TOKENS) is not None
    return filled and not called and not attributes.group("llm.output_messages")


def _chain(name: str) -> tuple[str, float]:
    """What a chain or task does, by its name."""
    if name not in _named:
        if len(_named) >= REMEMBERED_NAMES:
            _named.clear()
        _named[name] = next((stage for stage, found in _NAMES if found.search(name)), None)
    stage = _named[name]
    return (stage, NAMED) if stage is not None else ("chain", SURE)


def _searches(name: str, attributes: Attributes) -> bool:
    return _SEARCHES.search(_word(attributes, DATABASE_OPERATION) or name) is not None
