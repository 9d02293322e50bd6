"""What is kept of a span: counts, lengths, ids and hashes, and never what was said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.otlp.dialects import FIRST_TOKEN_EVENTS
from collectors.otlp.normalise import ID_CHARS, KEPT_IDS, NAME_CHARS, text_hash
from tests.collectors.otlp.spans import (
    ANSWER,
    DIALECTS,
    DOCUMENTS,
    PROMPT,
    QUESTION,
    REMOTE_PARENT,
    RERANKED,
    Sent,
    arrived,
    constructed,
    documents,
    facts,
    received,
    request,
)

KIND = "openinference.span.kind"
OPERATION = "gen_ai.operation.name"
RETRIEVE, RERANK, CHAT = {KIND: "RETRIEVER"}, {KIND: "RERANKER"}, {OPERATION: "chat"}
IDS = [id_ for id_, _, _ in DOCUMENTS]
SCORES = [score for _, score, _ in DOCUMENTS]
HASHES = [text_hash(text) for _, _, text in DOCUMENTS]


def below(attributes: Mapping[str, Any], **sent: Any) -> Mapping[str, Any]:
    """Facts of a span that is not the first of its request."""
    return facts("a span", attributes, parent=9, **sent)


def test_the_facts_of_a_request_in_openinference() -> None:
    spans = {s.name: s.facts for s in arrived(*DIALECTS["openinference"]())}
    asked = {"query": text_hash(QUESTION), "query_chars": len(QUESTION)}
    found = {"documents": 3, "ids": IDS, "scores": SCORES}
    best = {"documents": 2, "ids": [IDS[0], IDS[2]], "scores": [SCORES[0], SCORES[2]]}
    assert spans == {
        "RAG.run": asked,
        "Retriever.retrieve": {**asked, **found},
        "Embedding.embed": {"model": "minilm", "texts": 1, "text_chars": len(QUESTION)},
        "Ranker.run": {"model": "maxsim", "top_k": 2, "input_documents": 3, **best},
        "PromptBuilder.run": {},
        "Generator.run": {
            "model": "gemma",
            "prompt_tokens": 40,
            "completion_tokens": 6,
            "prompt_chars": len(PROMPT),
            "ttft_ms": 10.0,
        },
    }


def test_the_facts_of_a_request_in_openllmetry() -> None:
    spans = {s.kind: s.facts for s in arrived(*DIALECTS["openllmetry"]())}
    asked = {"query": text_hash(QUESTION), "query_chars": len(QUESTION)}
    assert spans["retrieve"] == {**asked, "documents": 3, "ids": HASHES}
    assert spans["rerank"] == {"input_documents": 3, "documents": 2, "ids": [IDS[0], IDS[2]]}


# What was said is never kept.

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


# Documents


@pytest.mark.parametrize("number", [1, 19, KEPT_IDS, KEPT_IDS + 1, 100])
def test_the_first_documents_are_kept_and_all_are_counted(number: int) -> None:
    some = [(f"d{i}", 1 - i / 128, f"text {i}") for i in range(number)]
    told = below({**RETRIEVE, **documents("retrieval.documents", some)})
    assert told["documents"] == number
    assert told["ids"] == [f"d{i}" for i in range(min(number, KEPT_IDS))]
    assert told["scores"] == [1 - i / 128 for i in range(min(number, KEPT_IDS))]


def test_their_order_is_that_of_their_numbers_and_not_that_of_arrival() -> None:
    attributes = documents("retrieval.documents", DOCUMENTS)
    told = below({**dict(reversed(attributes.items())), **RETRIEVE})
    assert told["ids"] == IDS


def test_documents_that_the_sdk_dropped_are_counted_and_their_ids_unknown() -> None:
    """Attributes are dropped from the first on: the best documents go first."""
    some = documents("retrieval.documents", [(f"d{i}", 0.5, "text") for i in range(100)])
    left = {k: v for k, v in some.items() if int(k.split(".")[2]) >= 37}
    told = below({**RETRIEVE, **left}, dropped=37 * 3)
    assert told == {"documents": 100, "dropped": 111}


def test_the_rank_of_a_document_is_kept_where_those_before_it_were_dropped() -> None:
    some = documents("retrieval.documents", [(f"d{i}", 1.0, "text") for i in range(4)])
    left = {k: v for k, v in some.items() if int(k.split(".")[2]) >= 2}
    told = below({**RETRIEVE, **left})
    assert told["ids"] == [None, None, "d2", "d3"]
    assert told["scores"] == [None, None, 1.0, 1.0]


def test_ids_that_stand_only_in_the_output_are_found_by_rank() -> None:
    """LangChain numbers contents, and lists the ids in its output alone."""
    some = documents("retrieval.documents", DOCUMENTS)
    attributes = {k: v for k, v in some.items() if k.endswith("content")}
    listed = {"documents": [{"id": id_, "page_content": text} for id_, _, text in DOCUMENTS]}
    output = {"output.value": json.dumps(listed)}
    assert below({**RETRIEVE, **attributes, **output})["ids"] == IDS
    last = {k: v for k, v in attributes.items() if ".2." in k}
    assert below({**RETRIEVE, **last, **output})["ids"] == IDS
    shorter = {"output.value": json.dumps({"documents": listed["documents"][:1]})}
    assert below({**RETRIEVE, **attributes, **shorter})["ids"] == HASHES


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
        ([{"id": 7}, {"id": ""}, {}], ["7", None, None]),
        ({"documents": [{"id": "a", "score": 2}]}, ["a"]),
        ({"outputs": [{"page_content": "x"}]}, [text_hash("x")]),
        (constructed(DOCUMENTS), IDS),
        ({"nodes": ["<NodeWithScore(…)>", "<NodeWithScore(…)>"]}, None),
        (["text", 5, None, []], None),
    ],
)
def test_documents_in_one_attribute(value: Any, ids: list[str | None] | None) -> None:
    for written in (json.dumps(value), value):
        told = below({OPERATION: "retrieval", "gen_ai.retrieval.documents": written})
        assert told.get("ids") == ids
        listed = value if isinstance(value, list) else next(iter(value.values()))
        assert told["documents"] == len(listed)


@pytest.mark.parametrize(
    "output", ["", "three of them", "{}", '{"documents": 3}', "[", "5", "null"]
)
def test_an_output_that_is_no_list_counts_nothing(output: str) -> None:
    assert below({**RETRIEVE, "output.value": output}) == {}


def test_no_documents_is_a_number_too() -> None:
    assert below({**RETRIEVE, "output.value": "[]"}) == {"documents": 0}


@pytest.mark.parametrize("score", ["0.5", True, float("nan"), float("inf"), -float("inf"), None])
def test_a_score_that_is_no_number_is_unknown(score: Any) -> None:
    some = [("a", score, "text"), ("b", 0.25, "text")]
    told = below({**RETRIEVE, **documents("retrieval.documents", some)})
    assert told["scores"] == [None, 0.25]
    assert "scores" not in below({**RETRIEVE, **documents("retrieval.documents", some[:1])})


@pytest.mark.parametrize("number", ["9" * 30, "9" * 400, "1e400", "-" + "9" * 25])
def test_a_number_beyond_all_sense_is_unknown(number: str) -> None:
    listed = f'[{{"id": "a", "score": {number}}}, {{"id": "b", "score": 0.5}}]'
    told = below({**RETRIEVE, "output.value": listed})
    assert told.get("scores", [None, 0.5]) == [None, 0.5]


def test_a_reranker_counts_what_it_was_handed() -> None:
    attributes = documents("reranker.input_documents", DOCUMENTS)
    assert below({**RERANK, **attributes})["input_documents"] == 3
    handed = {"input.value": json.dumps({"inputs": constructed(DOCUMENTS)})}
    told = below({**RERANK, **handed, "output.value": json.dumps(constructed(RERANKED))})
    assert (told["input_documents"], told["documents"]) == (3, 2)
    assert "input_documents" not in below({**RERANK, "input.value": QUESTION})


def test_long_ids_and_names_are_cut() -> None:
    some = [("i" * 500, 1.0, "text")]
    (span,) = arrived(Sent("n" * 500, {**RETRIEVE, **documents("retrieval.documents", some)}))
    assert (len(span.name), [len(i) for i in span.facts["ids"]]) == (NAME_CHARS, [ID_CHARS])


def test_a_name_beyond_the_limit_tells_the_kind_by_what_is_kept() -> None:
    (span,) = arrived(Sent("n" * 500 + " rerank", {KIND: "CHAIN"}))
    assert span.kind == "chain"


# The question


@given(st.text(), st.sampled_from([" ", "\n", "\t ", "  \u00a0"]))
def test_equal_questions_have_equal_hashes_whatever_their_case_and_space(
    text: str, space: str
) -> None:
    other = space + space.join(text.split()) + space
    assert text_hash(other) == text_hash(text)
    assert text_hash(other.swapcase()) == text_hash(text.swapcase())
    assert text_hash(text.upper().lower()) == text_hash(text.upper())


@given(st.text(), st.text())
def test_other_questions_have_other_hashes(one: str, other: str) -> None:
    def folded(text: str) -> str:
        return " ".join(text.casefold().split())

    if folded(one) != folded(other):
        assert text_hash(one) != text_hash(other)


@pytest.mark.parametrize(
    "written",
    [
        "what is x?",
        "  What\n is  X? ",
        '{"query": "What is x?", "filters": null}',
        '{"query_bundle": {"query_str": "what is x?", "embedding": null}}',
        '{"inputs": "what is x?", "tags": []}',
        '{"data": {"retriever": {"query": "what is x?"}, "prompt": {"q": "other"}}}',
        '  {"question": "WHAT IS X?"}',
    ],
)
def test_a_question_is_found_among_the_arguments_of_a_call(written: str) -> None:
    told = below({**RETRIEVE, "input.value": written})
    assert told["query"] == text_hash("what is x?")
    assert told["query_chars"] == len("  What\n is  X? " if "\n" in written else "what is x?")


@pytest.mark.parametrize(
    "written",
    ["", "{}", '{"inputs": {"input": ""}}', '{"query": 5}', "{broken", '{"a":' * 9 + "1" + "}" * 9,
     '{"a":{"b":{"c":{"d":{"e":{"query":"too deep"}}}}}}', 5, ["what"], {"query": "what"}, None],
)  # fmt: skip
def test_what_holds_no_question_has_none(written: Any) -> None:
    assert below({**RETRIEVE, "input.value": written}) == {}


def test_only_the_first_span_and_retrieving_tell_the_question() -> None:
    asked = {"query": text_hash("x"), "query_chars": 1}
    chain = {KIND: "CHAIN", "input.value": "x"}
    assert facts("root", chain) == asked
    assert facts("remote", chain, parent=9, flags=REMOTE_PARENT) == asked
    assert below(chain) == {}
    assert below({**RETRIEVE, "input.value": "x"}) == asked
    assert below({KIND: "EMBEDDING", "input.value": "x"}) == {}


# First token, sampling, entry


@pytest.mark.parametrize("name", sorted(FIRST_TOKEN_EVENTS))
def test_the_first_token_is_the_first_of_its_events(name: str) -> None:
    events = [(name, 30.0, {}), (name, 12.5, {}), ("other", 1.0, {})]
    assert below(CHAT, start_ms=10, ms=50, events=events) == {"ttft_ms": 2.5}


def test_an_event_tells_more_than_an_attribute() -> None:
    said = {**CHAT, "gen_ai.response.time_to_first_chunk": 0.5}
    event = ("gen_ai.content.completion.chunk", 4.0, {})
    assert below(said, events=[event]) == {"ttft_ms": 4.0}
    assert below(said, start_ms=5, events=[event]) == {"ttft_ms": 500.0}


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e300, 1.7e308, "0.5", True])
def test_a_first_token_at_no_possible_time_is_unknown(seconds: Any) -> None:
    assert below({**CHAT, "gen_ai.response.time_to_first_chunk": seconds}) == {}


@pytest.mark.parametrize(
    "count", [-1, -0.5, "42", True, float("nan"), 1e300, [42], {"a": 1}, b"42"]
)
def test_a_count_that_is_none_is_unknown(count: Any) -> None:
    assert below({**CHAT, "gen_ai.usage.input_tokens": count}) == {}


@pytest.mark.parametrize("model", ["", "unknown", None, 5, ["gemma"]])
def test_a_model_without_a_name_is_unknown(model: Any) -> None:
    assert below({**CHAT, "gen_ai.request.model": model}) == {}


@pytest.mark.parametrize(
    ("trace_state", "weight"),
    [
        ("ot=th:0", 1.0),
        ("ot=th:8", 2.0),
        ("ot=th:c", 4.0),
        ("ot=th:fd70a4", pytest.approx(100, rel=1e-4)),
        ("ot=rv:abcdefabcdefab;th:8", 2.0),
        ("ot=th:8;rv:abcdefabcdefab", 2.0),
        ("vendor=x,ot=th:8", 2.0),
        ("vendor=th:4, ot=th:8,other=th:c", 2.0),
        ("ot=th:ffffffffffffff", 16.0**14),
    ],
)
def test_a_sampled_span_stands_for_others(trace_state: str, weight: Any) -> None:
    assert below({}, trace_state=trace_state) == {"weight": weight}


@pytest.mark.parametrize(
    "trace_state",
    ["", "ot=", "ot=th:", "ot=th:xyz", "ot=th:123456789abcdef", "vendor=th:8", "not=th:8",
     "ot=rv:8", "ot=th:8x", "th:8"],
)  # fmt: skip
def test_without_a_threshold_it_is_not_known_for_how_many(trace_state: str) -> None:
    assert below({}, trace_state=trace_state) == {}


@given(st.integers(0, 16**14 - 1), st.integers(1, 14))
def test_the_weight_is_the_inverse_of_the_sampling_probability(threshold: int, digits: int) -> None:
    shown = f"{threshold:014x}"[:digits]
    weight = below({}, trace_state=f"ot=th:{shown}")["weight"]
    kept = 16**digits - int(shown, 16)
    assert weight * kept == pytest.approx(16.0**digits)


@pytest.mark.parametrize(
    ("parent", "flags", "entry"),
    [(None, 0, True), (None, 0x100, True), (7, 0, False), (7, 0x100, False), (7, 0x200, False),
     (7, REMOTE_PARENT, True), (7, REMOTE_PARENT | 1, True)],
)  # fmt: skip
def test_an_app_is_entered_without_a_parent_or_with_one_elsewhere(
    parent: int | None, flags: int, entry: bool
) -> None:
    (span,) = arrived(Sent("s", parent=parent, flags=flags))
    assert span.entry == entry
    assert (span.parent_id is None) == (parent is None)


def test_a_zero_parent_is_none() -> None:
    (span,) = arrived(Sent("s", parent=0))
    assert (span.parent_id, span.entry) == (None, True)


def test_dropped_attributes_are_told_with_advice() -> None:
    found = received(request([Sent("a", dropped=3), Sent("b", id=2), Sent("c", id=3, dropped=1)]))
    assert found.rejected == 0
    assert "2 spans" in found.message
    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in found.message


# What databases and JSON cannot take

awkward = st.text(st.sampled_from("ab\0\x01\x7f\u2028\ufeff\U0001f600é"), max_size=9)


@given(awkward, awkward)
def test_any_text_can_be_stored(name: str, id_: str) -> None:
    some = documents("retrieval.documents", [(id_, 0.5, name)])
    annotation = {
        "annotations.0.annotation.name": f"n{id_}",
        "annotations.0.annotation.label": name,
    }
    (span,) = arrived(Sent(name, {**RETRIEVE, "input.value": id_, **some, **annotation}))
    shown = msgspec.json.encode(span.facts)
    assert msgspec.json.decode(shown) == span.facts
    assert "\0" not in span.name + str(span.facts)
    assert rb"\u0000" not in shown
