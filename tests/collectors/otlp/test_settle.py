"""A trace settles into what its stages took."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from autorag.telemetry import REQUEST
from tests.collectors.otlp.traces import ONCE, settled, span, told


def test_nested_spans_of_one_kind_count_once() -> None:
    found = told(
        settled(
            span("chain", 0, 100),
            span("generate", 10, 50, 2, 1),
            span("chain", 11, 48, 3, 2),
            span("generate", 12, 40, 4, 3, facts={"prompt_tokens": 7}),
            span("generate", 13, 38, 5, 4, facts={"prompt_tokens": 7, "ttft_ms": 5.0}),
            span("generate", 70, 10, 6, 1, facts={"prompt_tokens": 5}),
        )
    )
    assert found["generate"] == {
        "duration_ms": 60.0,
        "self_ms": 60.0,
        "calls": 2.0,
        "errors": 0.0,
        "prompt_tokens": 12.0,
        "ttft_ms": 5.0,
    }


def test_calls_side_by_side_are_not_added_up() -> None:
    found = told(
        settled(
            span("chain", 0, 100),
            span("retrieve", 10, 20, 2, 1, facts={"documents": 5}),
            span("retrieve", 15, 20, 3, 1, facts={"documents": 5}),
            span("retrieve", 15, 5, 4, 1, facts={"documents": 5}),
            span("retrieve", 60, 10, 5, 1, facts={"documents": 5}),
        )
    )
    assert found["retrieve"]["duration_ms"] == 35.0
    assert (found["retrieve"]["calls"], found["retrieve"]["documents"]) == (4.0, 20.0)


def test_what_other_stages_take_inside_is_left_out_of_self() -> None:
    found = told(
        settled(
            span("retrieve", 0, 100),
            span("embed", 10, 20, 2, 1),
            span("chain", 40, 40, 3, 1),
            span("rerank", 50, 60, 4, 3),
            span("embed", 55, 1, 5, 4),
        )
    )
    assert found["retrieve"] == {"duration_ms": 100.0, "self_ms": 30.0, **ONCE}
    assert found["rerank"] == {"duration_ms": 60.0, "self_ms": 59.0, **ONCE}
    assert found["embed"] == {"duration_ms": 21.0, "self_ms": 21.0, **ONCE, "calls": 2.0}


def test_a_stage_that_did_not_run_has_no_row() -> None:
    found = settled(span("chain", 0, 5), span("retrieve", 1, 2, 2, 1))
    assert {o.stage for o in found.observations} == {"retrieve", REQUEST}
    assert told(found)["retrieve"] == {"duration_ms": 2.0, "self_ms": 2.0, **ONCE}


def test_a_call_of_unknown_duration_is_counted() -> None:
    found = told(settled(span("chain", 0, None), span("retrieve", 1, None, 2, 1)))
    assert found["retrieve"] == ONCE
    assert found[REQUEST] == {"errors": 0.0, "spans": 2.0}


def test_a_stage_is_as_sure_as_its_least_sure_span() -> None:
    found = settled(span("rerank", 0, 5), span("rerank", 6, 5, 2, confidence=0.6))
    assert {o.confidence for o in found.observations if o.stage == "rerank"} == {0.6}


@pytest.mark.parametrize(
    ("kinds", "phase"),
    [
        (["parse", "chunk", "embed"], "build"),
        (["embed"], "build"),
        (["chunk"], "build"),
        (["embed", "retrieve"], "query"),
        (["chunk", "generate"], "query"),
        (["rerank"], "query"),
        (["chain", "other", "tool"], None),
        (["index"], None),
    ],
)
def test_the_phase_is_that_of_the_stages(kinds: Sequence[str], phase: str | None) -> None:
    found = settled(*(span(k, id=i) for i, k in enumerate(kinds, 1)))
    assert found.phase == phase
    assert {o.phase for o in found.observations} == {phase}


# The first token


def test_a_call_that_streams_lasts_until_its_stream_ends() -> None:
    """Its own span may end where the stream begins."""
    found = told(
        settled(
            span("chain", 0, 100),
            span("chain", 10, 60, 2, 1),
            span("generate", 20, 5, 3, 2, facts={"ttft_ms": 15.0}),
        )
    )
    assert found["generate"]["duration_ms"] == 50.0
    assert found["generate"]["ttft_ms"] == 15.0
    assert found[REQUEST]["ttft_ms"] == 35.0


def test_a_stream_that_nothing_above_outlasts_lasts_until_its_first_token() -> None:
    found = told(settled(span("generate", 20, 5, 3, facts={"ttft_ms": 15.0})))
    assert found["generate"]["duration_ms"] == 15.0


def test_a_call_that_lasts_beyond_its_first_token_is_as_long_as_it_says() -> None:
    found = told(
        settled(span("chain", 0, 100), span("generate", 20, 15, 3, 1, facts={"ttft_ms": 15.0}))
    )
    assert found["generate"]["duration_ms"] == 15.0


def test_the_first_token_of_a_request_is_that_of_its_last_answer() -> None:
    found = told(
        settled(
            span("chain", 0, 100),
            span("generate", 10, 30, 2, 1, facts={"ttft_ms": 5.0}),
            span("generate", 50, 30, 3, 1),
            span("generate", 51, 28, 4, 3, facts={"ttft_ms": 7.0}),
            span("generate", 52, 26, 5, 4, facts={"ttft_ms": 6.0}),
        )
    )
    assert found[REQUEST]["ttft_ms"] == 58.0
    assert found["generate"]["ttft_ms"] == 7.0


def test_a_first_token_before_the_request_is_none_of_its() -> None:
    found = told(
        settled(span("generate", 0, 5, 1, facts={"ttft_ms": 2.0}), span("chain", 10, 90, 2))
    )
    assert "ttft_ms" not in found[REQUEST]
    assert found["generate"]["ttft_ms"] == 2.0


def test_an_answer_without_a_first_token_has_none() -> None:
    found = told(
        settled(
            span("chain", 0, 100),
            span("generate", 10, 30, 2, 1, facts={"ttft_ms": 5.0}),
            span("generate", 50, 30, 3, 1),
        )
    )
    assert "ttft_ms" not in found[REQUEST]


# The request


def test_a_trace_without_its_entry_is_not_complete() -> None:
    found = settled(span("retrieve", 0, 5, 2, 1))
    assert (found.complete, found.duration_ns, found.error) == (False, None, False)
    assert set(told(found)) == {"retrieve"}


def test_a_span_whose_parent_is_missing_leaves_the_trace_incomplete() -> None:
    found = settled(span("chain", 0, 9), span("retrieve", 1, 5, 3, 2))
    assert (found.complete, found.duration_ns) == (False, 9_000_000)
    assert settled(span("chain", 0, 9), span("retrieve", 1, 5, 3, 1)).complete
    assert not settled(span("chain", 0, 9), span("retrieve", 1, 5, 3, 1), cut=True).complete


def test_a_parent_in_another_process_is_not_missed() -> None:
    found = settled(span("chain", 0, 9, 2, 77, entry=True), span("retrieve", 1, 5, 3, 2))
    assert (found.complete, found.duration_ns) == (True, 9_000_000)
    assert told(found)[REQUEST]["duration_ms"] == 9.0


def test_the_longest_of_several_entries_is_the_request() -> None:
    found = settled(
        span("chain", 0, 2, 1, error=True),
        span("chain", 3, 9, 2, facts={"query_chars": 12, "query": "x"}),
        span("chain", 4, None, 3),
    )
    assert (found.duration_ns, found.error, found.query) == (9_000_000, False, "x")
    assert told(found)[REQUEST]["query_chars"] == 12.0


def test_a_request_fails_with_its_entry_and_a_stage_with_its_calls() -> None:
    spans = [
        span("chain", 0, 9, 1, error=True),
        span("retrieve", 1, 2, 2, 1, error=True),
        span("retrieve", 3, 2, 3, 1),
        span("retrieve", 4, 1, 4, 3, error=True),
    ]
    found = settled(*spans)
    assert found.error
    assert told(found)[REQUEST]["errors"] == 1.0
    assert told(found)["retrieve"]["errors"] == 1.0


def test_dropped_attributes_are_added_up() -> None:
    found = settled(
        span("chain", 0, 9, facts={"dropped": 3}),
        span("retrieve", 1, 5, 2, 1, facts={"dropped": 4}),
    )
    assert told(found)[REQUEST]["dropped_attributes"] == 7.0


def test_the_weight_of_a_sampled_trace_is_that_of_all_its_observations() -> None:
    found = settled(span("chain", 0, 9), span("retrieve", 1, 5, 2, 1, facts={"weight": 4.0}))
    assert found.weight == 4.0
    assert {o.weight for o in found.observations} == {4.0}


def test_the_question_is_the_one_that_was_retrieved_for() -> None:
    chain = span("chain", 0, 9, facts={"query": "asked"})
    found = settled(chain, span("retrieve", 1, 5, 2, 1, facts={"query": "rewritten"}))
    assert found.query == "rewritten"
    assert settled(chain).query == "asked"


def test_the_question_is_found_below_an_entry_that_does_not_know_it() -> None:
    entry, asked = span("other", 0, 9), {"query": "asked", "query_chars": 5}
    retrieve = span("retrieve", 3, 1, 3, 1)
    for stage in ("rerank", "embed"):
        found = settled(entry, span(stage, 1, 1, 2, 1, facts=asked), retrieve)
        assert found.query == "asked"
        assert told(found)[REQUEST]["query_chars"] == 5
    assert settled(entry, span("embed", 1, 1, 2, 1, facts=asked)).query is None
    assert settled(span("chain")).query is None
