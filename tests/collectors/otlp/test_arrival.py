"""A request of each dialect, from the message to its observations, whatever way it came."""

from __future__ import annotations

import random

import pytest

from autorag.telemetry import REQUEST, Span
from collectors.otlp.normalise import text_hash
from collectors.otlp.settle import settle
from tests.collectors.otlp.spans import T0_NS, arrived, kept, received, request, trace_id
from tests.collectors.otlp.stories import DIALECTS, PROMPT, QUESTION
from tests.collectors.otlp.traces import ONCE, settled, span, told

TIMES = {
    "retrieve": {"duration_ms": 25.0, "self_ms": 21.0},
    "embed": {"duration_ms": 4.0, "self_ms": 4.0},
    "rerank": {"duration_ms": 20.0, "self_ms": 20.0},
    "generate": {"duration_ms": 44.0, "self_ms": 44.0},
}


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
        REQUEST: {
            "duration_ms": 100.0, "ttft_ms": 61.0, "errors": 0.0, "spans": 5.0,
            "query_chars": float(len(QUESTION)),
        },
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
