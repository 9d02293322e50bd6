"""What is kept of a span: counts, lengths, ids and hashes, and never what was said."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.otlp.normalise import text_hash
from tests.collectors.otlp.spans import (
    REMOTE_PARENT,
    Sent,
    arrived,
    below,
    facts,
    received,
    request,
)
from tests.collectors.otlp.stories import (
    DIALECTS,
    HASHES,
    IDS,
    KIND,
    OPERATION,
    PROMPT,
    QUESTION,
    SCORES,
    documents,
)

RETRIEVE, CHAT = {KIND: "RETRIEVER"}, {OPERATION: "chat"}


def test_the_facts_of_a_request_in_openinference() -> None:
    spans = {s.name: s.facts for s in arrived(*DIALECTS["openinference"]())}
    asked = {"query": text_hash(QUESTION), "query_chars": len(QUESTION)}
    found = {"documents": 3, "ids": IDS, "scores": SCORES}
    best = {"documents": 2, "ids": [IDS[0], IDS[2]], "scores": [SCORES[0], SCORES[2]]}
    assert spans == {
        "RAG.run": asked,
        "Retriever.retrieve": {**asked, **found},
        "Embedding.embed": {"model": "minilm", "texts": 1, "text_chars": len(QUESTION), **asked},
        "Ranker.run": {**asked, "model": "maxsim", "top_k": 2, "input_documents": 3, **best},
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


# The question


@given(st.text(), st.sampled_from([" ", "\n", "\t ", "  \u00a0"]))
def test_equal_questions_have_equal_hashes_whatever_their_case_and_space(
    text: str, space: str
) -> None:
    other = space + space.join(text.split()) + space
    assert text_hash(other) == text_hash(text)
    assert text_hash(other.swapcase()) == text_hash(text.swapcase())
    assert text_hash(text.upper().lower()) == text_hash(text.upper())


def test_capitals_of_any_script_are_folded() -> None:
    assert text_hash("WO LIEGT DIE HAUPTSTRASSE?") == text_hash("wo liegt die Hauptstraße?")
    assert text_hash("ΟΔΥΣΣΕΥΣ") == text_hash("οδυσσευς")


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


def test_documents_that_are_handed_over_are_no_question() -> None:
    """A reranking chain of LangChain is handed documents alone."""
    chain = {KIND: "CHAIN", "input.value": json.dumps([{"page_content": "text"}])}
    assert facts("rerank", chain, parent=9) == {"input_documents": 1}
    asked = facts("rerank", {**chain, "input.value": "[urgent] what is x?"}, parent=9)
    assert asked["query"] == text_hash("[urgent] what is x?")


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


@pytest.mark.parametrize(
    "name",
    [
        "First Token Stream Event",
        "gen_ai.content.completion.chunk",
        "llm.content.completion.chunk",
    ],
)
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
