"""Any trace at all settles, into what its picture shows."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.stages import STAGES
from autorag.telemetry import REQUEST, Span
from tests.collectors.otlp.spans import T0_NS
from tests.collectors.otlp.traces import ONCE, settled, span, told

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


def meant(spans: list[Span]) -> list[Span]:
    """What a chain is that only its name calls a splitter: it packs the prompt while a question is
    answered."""
    answered = {s.kind for s in spans} & {"retrieve", "rerank", "generate"}
    if not answered or any(s.confidence == 1 for s in spans if s.kind == "chunk"):
        return spans
    return [s._replace(kind="prompt") if s.kind == "chunk" else s for s in spans]


@given(traces())
def test_stages_take_what_their_picture_shows(spans: list[Span]) -> None:
    spans = [s._replace(facts={k: v for k, v in s.facts.items() if k != "ttft_ms"}) for s in spans]
    found = told(settled(*spans))
    spans = meant(spans)
    by_id = {s.span_id: s for s in spans}
    above = {s.span_id: {a.kind for a in ancestors(s, by_id)} for s in spans}
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
    found = told(settled(*spans))
    spans = meant(spans)
    by_id = {s.span_id: s for s in spans}
    for fact, together in (("prompt_tokens", sum), ("documents", sum), ("top_k", max)):
        for stage in STAGES:
            tell = [s for s in spans if s.kind == stage and fact in s.facts]
            counted = [
                s.facts[fact]
                for s in tell
                if not any(a.kind == stage and fact in a.facts for a in ancestors(s, by_id))
            ]
            assert found.get(stage, {}).get(fact) == (together(counted) if counted else None)


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
    spans = meant(spans)
    kinds = {s.kind for s in spans} & set(STAGES)
    assert {s for s in found if s != REQUEST} >= kinds
    for stage in kinds:
        assert 1 <= found[stage]["calls"] <= sum(s.kind == stage for s in spans)
