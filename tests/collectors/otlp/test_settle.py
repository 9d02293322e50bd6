"""A trace settles into what its stages took, whatever way its spans came."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.stages import STAGES
from autorag.telemetry import REQUEST, Span, Trace
from collectors.otlp.normalise import text_hash
from collectors.otlp.settle import settle
from tests.collectors.otlp.spans import (
    DIALECTS,
    PROMPT,
    QUESTION,
    T0_NS,
    arrived,
    kept,
    ns,
    received,
    request,
    span_id,
    trace_id,
)

TRACE = trace_id(1)


def span(
    kind: str,
    start_ms: float = 0,
    ms: float | None = 1,
    id: int = 1,  # noqa: A002
    parent: int | None = None,
    **fields: Any,
) -> Span:
    made = Span(
        TRACE,
        span_id(id),
        span_id(parent) if parent is not None else None,
        parent is None,
        kind,
        kind,
        1.0,
        ns(start_ms),
        None if ms is None else round(ms * 1e6),
        False,
        {},
    )
    return made._replace(**fields)


def settled(*spans: Span, cut: bool = False) -> Trace:
    return settle(TRACE, spans, cut=cut)


def told(trace: Trace) -> dict[str, dict[str, float]]:
    """Stage → metric → value; only judgements may be several."""
    found: dict[str, dict[str, float]] = {}
    for observation in trace.observations:
        stage = found.setdefault(observation.stage, {})
        assert observation.metric not in stage or observation.metric.startswith("quality.")
        stage[observation.metric] = observation.value
    return found


# A request, in each dialect

TIMES = {
    "retrieve": {"duration_ms": 25.0, "self_ms": 21.0},
    "embed": {"duration_ms": 4.0, "self_ms": 4.0},
    "rerank": {"duration_ms": 20.0, "self_ms": 20.0},
    "generate": {"duration_ms": 44.0, "self_ms": 44.0},
}
ONCE = {"calls": 1.0, "errors": 0.0}


def test_a_request_in_openinference() -> None:
    trace = settled(*arrived(*DIALECTS["openinference"]()))
    assert told(trace) == {
        "embed": {**TIMES["embed"], **ONCE, "texts": 1.0, "text_chars": float(len(QUESTION))},
        "retrieve": {**TIMES["retrieve"], **ONCE, "documents": 3.0},
        "rerank": {
            **TIMES["rerank"], **ONCE, "documents": 2.0, "input_documents": 3.0, "top_k": 2.0,
        },
        "generate": {
            **TIMES["generate"], **ONCE, "prompt_tokens": 40.0, "completion_tokens": 6.0,
            "prompt_chars": float(len(PROMPT)), "ttft_ms": 10.0,
        },
        REQUEST: {
            "duration_ms": 100.0, "ttft_ms": 61.0, "errors": 0.0, "spans": 6.0,
            "query_chars": float(len(QUESTION)),
        },
    }  # fmt: skip
    assert (trace.start_ns, trace.duration_ns) == (T0_NS, 100_000_000)
    assert (trace.phase, trace.error, trace.complete, trace.weight) == ("query", False, True, 1.0)
    assert trace.query == text_hash(QUESTION)


def test_a_request_in_the_words_of_opentelemetry() -> None:
    trace = settled(*arrived(*DIALECTS["genai"]()))
    assert told(trace) == {
        "embed": {**TIMES["embed"], **ONCE},
        "retrieve": {**TIMES["retrieve"], **ONCE, "documents": 3.0, "top_k": 3.0},
        "rerank": {**TIMES["rerank"], **ONCE},
        "generate": {
            **TIMES["generate"], **ONCE, "prompt_tokens": 40.0, "completion_tokens": 6.0,
            "ttft_ms": 10.0,
        },
        REQUEST: {"duration_ms": 100.0, "ttft_ms": 61.0, "errors": 0.0, "spans": 5.0},
    }  # fmt: skip
    assert trace.query == text_hash(QUESTION)


def test_a_request_in_openllmetry_has_no_embedding_and_less_confidence_in_the_rerank() -> None:
    trace = settled(*arrived(*DIALECTS["openllmetry"]()))
    assert told(trace) == {
        "retrieve": {"duration_ms": 25.0, "self_ms": 25.0, **ONCE, "documents": 3.0},
        "rerank": {**TIMES["rerank"], **ONCE, "documents": 2.0, "input_documents": 3.0},
        "generate": {
            **TIMES["generate"], **ONCE, "prompt_tokens": 40.0, "completion_tokens": 6.0,
        },
        REQUEST: {
            "duration_ms": 100.0, "errors": 0.0, "spans": 5.0, "query_chars": float(len(QUESTION)),
        },
    }  # fmt: skip
    assert {o.confidence for o in trace.observations if o.stage == "rerank"} == {0.6}
    assert {o.confidence for o in trace.observations if o.stage != "rerank"} == {1.0}


def test_an_observation_stands_when_its_stage_began() -> None:
    found = settled(span("chain", 0, 9000), span("retrieve", 4500, 9, 2, 1))
    begun = T0_NS // 10**9
    assert {o.at for o in found.observations if o.stage == REQUEST} == {begun}
    assert {o.at for o in found.observations if o.stage == "retrieve"} == {begun + 4}
    assert {o.phase for o in found.observations} == {"query"}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("seed", range(5))
def test_requests_that_come_in_parts_out_of_order_and_twice_say_the_same(
    dialect: str, seed: int
) -> None:
    """Children come before their parents and in other requests; what is not answered in time is
    sent again."""
    rng = random.Random(seed)
    sent = [s for number in (1, 2) for s in DIALECTS[dialect](number)]
    whole = kept(received(request(sent)))
    parts = [s for s in sent for _ in range(rng.choice((1, 1, 2)))]
    rng.shuffle(parts)
    came: dict[tuple[bytes, bytes], Span] = {}
    while parts:
        some = [parts.pop() for _ in range(min(len(parts), rng.randint(1, 4)))]
        for found in kept(received(request(some))):
            came.setdefault((found.trace_id, found.span_id), found)
    for number in (1, 2):
        of_trace = [
            [s for s in spans if s.trace_id == trace_id(number)] for spans in (whole, came.values())
        ]
        assert settle(trace_id(number), of_trace[1], cut=False) == settle(
            trace_id(number), of_trace[0], cut=False
        )


# Any trace: what it says against what its picture shows

KINDS = (*STAGES, "chain", "other")
facts = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": st.integers(0, 99),
        "documents": st.integers(0, 99),
        "top_k": st.integers(1, 99),
        "ttft_ms": st.integers(0, 30),
        "query": st.sampled_from(["a", "b"]),
        "weight": st.sampled_from([1.0, 2.0]),
        "evaluations": st.just([["good", 0.5, None]]),
    },
)


@st.composite
def traces(draw: st.DrawFn, *, circles: bool = False) -> list[Span]:
    """A forest of spans of whole milliseconds, or any graph at all."""
    number = draw(st.integers(1, 12))
    spans = []
    for id_ in range(1, number + 1):
        above = st.integers(1, number + 1) if circles else st.integers(1, id_ - 1)
        parent = draw(st.none() | above) if circles or id_ > 1 else None
        spans.append(
            span(
                draw(st.sampled_from(KINDS)),
                draw(st.integers(0, 20)),
                draw(st.none() | st.integers(0, 20)),
                id_,
                parent,
                error=draw(st.booleans()),
                confidence=draw(st.sampled_from([0.4, 1.0])),
                facts=draw(facts),
            )
        )
    return spans


@given(traces(circles=True), st.randoms(use_true_random=False))
def test_the_order_of_spans_never_shows(spans: list[Span], rng: random.Random) -> None:
    shuffled = list(spans)
    rng.shuffle(shuffled)
    assert settled(*shuffled) == settled(*spans)


def ancestors(one: Span, by_id: dict[bytes, Span]) -> list[Span]:
    found = []
    while one.parent_id is not None:
        one = by_id[one.parent_id]
        found.append(one)
    return found


def milliseconds(spans: Iterable[Span]) -> set[int]:
    """The milliseconds in which some of these were open."""
    return {
        ms
        for s in spans
        if s.duration_ns is not None
        for ms in range(
            (s.start_ns - T0_NS) // 10**6, (s.start_ns - T0_NS + s.duration_ns) // 10**6
        )
    }


@given(traces())
def test_stages_take_what_their_picture_shows(spans: list[Span]) -> None:
    spans = [s._replace(facts={k: v for k, v in s.facts.items() if k != "ttft_ms"}) for s in spans]
    by_id = {s.span_id: s for s in spans}
    above = {s.span_id: {a.kind for a in ancestors(s, by_id)} for s in spans}
    found = told(settled(*spans))
    assert set(found) - {REQUEST} == {s.kind for s in spans} & set(STAGES)
    for stage, metrics in found.items():
        if stage == REQUEST:
            continue
        outermost = [s for s in spans if s.kind == stage and stage not in above[s.span_id]]
        inner = [
            s for s in spans if s.kind in STAGES and s.kind != stage and stage in above[s.span_id]
        ]
        assert metrics["calls"] == len(outermost)
        assert metrics["errors"] == sum(s.error for s in outermost)
        timed = [s for s in outermost if s.duration_ns is not None]
        assert ("duration_ms" in metrics) == ("self_ms" in metrics) == bool(timed)
        if timed:
            open_ = milliseconds(timed)
            assert metrics["duration_ms"] == len(open_)
            assert metrics["self_ms"] == len(open_ - milliseconds(inner))


@given(traces())
def test_a_fact_counts_once_for_a_call_and_is_the_outermost_that_tells_it(
    spans: list[Span],
) -> None:
    by_id = {s.span_id: s for s in spans}
    found = told(settled(*spans))
    for fact, together in (("prompt_tokens", sum), ("documents", sum), ("top_k", max)):
        for stage in STAGES:
            tell = [s for s in spans if s.kind == stage and fact in s.facts]
            counted = [
                s.facts[fact]
                for s in tell
                if not any(a.kind == stage and fact in a.facts for a in ancestors(s, by_id))
            ]
            assert found.get(stage, {}).get(fact) == (together(counted) if counted else None)


# Stages


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
    assert settled(span("chain")).query is None


# Traces that no app sends


def test_a_span_that_is_its_own_parent_counts() -> None:
    found = settled(span("retrieve", 0, 5, 1, 1))
    assert told(found) == {"retrieve": {"duration_ms": 5.0, "self_ms": 5.0, **ONCE}}
    assert not found.complete


@pytest.mark.parametrize("length", [2, 3, 10_000])
def test_a_circle_ends_and_is_counted_once(length: int) -> None:
    spans = [span("retrieve", i, 5, i, i % length + 1) for i in range(1, length + 1)]
    found = told(settled(*spans))
    assert set(found) == {"retrieve"}
    assert found["retrieve"]["calls"] == 1.0


@pytest.mark.parametrize("kinds", [("chain",), ("generate",), STAGES])
@pytest.mark.parametrize("upside_down", [False, True])
def test_a_chain_of_ten_thousand_spans_settles(kinds: Sequence[str], upside_down: bool) -> None:
    number = 10_000
    spans = [
        span(kinds[i % len(kinds)], number - i if upside_down else i, 2 * number, i, i - 1 or None)
        for i in range(1, number + 1)
    ]
    found = told(settled(*spans))
    assert found[REQUEST]["spans"] == number
    assert {found[s]["calls"] for s in set(kinds) & set(STAGES)} <= {1.0}


def test_ten_thousand_spans_side_by_side_settle() -> None:
    spans = [span("embed", i, 2, i + 1, 1, facts={"texts": 1}) for i in range(1, 10_000)]
    found = told(settled(span("chain", 0, 99), *spans))
    assert found["embed"]["duration_ms"] == 10_000.0
    assert found["embed"]["texts"] == 9_999.0


@given(traces(circles=True))
def test_any_graph_settles(spans: list[Span]) -> None:
    found = told(settled(*spans))
    kinds = {s.kind for s in spans} & set(STAGES)
    assert {s for s in found if s != REQUEST} >= kinds
    for stage in kinds:
        assert 1 <= found[stage]["calls"] <= sum(s.kind == stage for s in spans)
