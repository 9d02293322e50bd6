"""Documents that come back: how many, which, in what order, with what scores."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collectors.otlp.normalise import ID_CHARS, KEPT_IDS, NAME_CHARS, text_hash
from tests.collectors.otlp.spans import Sent, arrived, below
from tests.collectors.otlp.stories import (
    DOCUMENTS,
    HASHES,
    IDS,
    KIND,
    OPERATION,
    QUESTION,
    RERANKED,
    constructed,
    documents,
)

RETRIEVE, RERANK = {KIND: "RETRIEVER"}, {KIND: "RERANKER"}


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
