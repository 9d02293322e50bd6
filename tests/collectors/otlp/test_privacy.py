"""What was said is never kept, in any attribute of any dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collectors.otlp.spans import Sent, arrived, below, received, request
from tests.collectors.otlp.stories import (
    ANSWER,
    DIALECTS,
    DOCUMENTS,
    KIND,
    OPERATION,
    PROMPT,
    QUESTION,
)

SECRET = "the patient's name"
SAID = [
    "input.value",
    "output.value",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "gen_ai.task.input",
    "gen_ai.task.output",
    "gen_ai.retrieval.query.text",
    "gen_ai.retrieval.documents",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "reranker.query",
    "llm.prompt_template.template",
    "llm.prompt_template.variables",
    "llm.prompts",
    "llm.input_messages.0.message.content",
    "llm.output_messages.0.message.content",
    "embedding.embeddings.0.embedding.text",
    "retrieval.documents.0.document.content",
    "retrieval.documents.0.document.metadata",
    "reranker.input_documents.0.document.content",
    "reranker.output_documents.0.document.content",
    "annotations.0.annotation.explanation",
    "gen_ai.evaluation.explanation",
    "exception.message",
    "db.statement",
    "metadata",
    "user.id",
]
CALLS = ["query", "question", "inputs", "args", "text", "nodes", "documents", "outputs"]
kinds = st.sampled_from(
    [{KIND: k} for k in ("RETRIEVER", "RERANKER", "EMBEDDING", "LLM", "CHAIN", "PROMPT")]
    + [{OPERATION: o} for o in ("chat", "retrieval", "embeddings", "execute_task", "rerank")]
)
texts = st.builds(lambda a, b: f"{a}{SECRET}{b}", st.text(max_size=9), st.text(max_size=9))
contents = st.one_of(
    texts,
    st.builds(lambda k, t: json.dumps({k: t}), st.sampled_from(CALLS), texts),
    st.builds(lambda k, t: json.dumps({k: {"kwargs": [t]}}), st.sampled_from(CALLS), texts),
    st.builds(lambda k, t: json.dumps({k: [{"page_content": t}]}), st.sampled_from(CALLS), texts),
    st.builds(lambda t: json.dumps([{"kwargs": {"page_content": t, "metadata": t}}]), texts),
    st.builds(lambda t: [t, {"text": t}], texts),
    st.builds(lambda t: {"content": t}, texts),
)


@given(kinds, st.dictionaries(st.sampled_from(SAID), contents), st.booleans())
def test_what_was_said_is_never_kept(
    kind: dict[str, Any], said: dict[str, Any], root: bool
) -> None:
    events = [("exception", 0.5, said), ("gen_ai.evaluation.result", 0.5, said)]
    sent = Sent("s", {**said, **kind}, parent=None if root else 9, events=events)
    assert SECRET not in repr(arrived(sent))
    assert SECRET not in repr(received(request([sent])))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_of_a_request_is_kept_in_words(dialect: str) -> None:
    shown = repr(arrived(*DIALECTS[dialect]()))
    for text in (QUESTION, ANSWER, PROMPT, *(t for _, _, t in DOCUMENTS)):
        assert text not in shown
        assert text[4:20] not in shown


def test_vectors_are_not_kept() -> None:
    vector = [0.123456 + i for i in range(384)]
    told = below({KIND: "EMBEDDING", "embedding.embeddings.0.embedding.vector": vector})
    assert told == {"texts": 1}
