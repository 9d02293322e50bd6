"""The settling pass: the spans of one trace become its observations.

Only whole traces can be read: children arrive before parents and in other requests. Of nested spans
of one kind the outermost counts, once. A model call that streams may end its span when the stream
begins: a first token that comes later shows that, and the call then lasts as long as the nearest
span above it that was still open. What a stage took is the union of the wall intervals of its
spans, so that calls side by side are not added up; ``self_ms`` leaves out what other stages took
inside it. A stage without spans has no observation: unknown is not zero.

Observations of a stage: ``duration_ms``, ``self_ms``, ``calls``, ``errors``, and the facts of
:mod:`collectors.otlp.normalise` that its spans have. Of the request: ``duration_ms``, ``errors``,
``spans``, ``query_chars``, ``dropped_attributes``, and ``ttft_ms`` from its start to the first
token of the last answer. Judgements are ``quality.NAME``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autorag.stages import STAGES
from autorag.telemetry import REQUEST, Observation, Phase, Span, Trace

Interval = tuple[int, int]

ADDED = {
    "documents": "documents",
    "input_documents": "documents",
    "texts": "texts",
    "text_chars": "characters",
    "prompt_tokens": "tokens",
    "completion_tokens": "tokens",
    "cached_tokens": "tokens",
    "prompt_chars": "characters",
}
"""Facts that are added up over the calls of a stage, and their units."""

NS = 1_000_000_000

GOOD_LABELS = frozenset({"pass", "passed", "correct", "relevant", "true", "yes", "good", "👍"})
BAD_LABELS = frozenset({"fail", "failed", "incorrect", "not_relevant", "irrelevant", "unrelated",
                        "false", "no", "bad", "👎"})  # fmt: skip
"""Labels that are scores of 1 and 0, where a judgement has no score."""


@dataclass(frozen=True)
class _Tree:
    """The spans of a trace.

    Attributes:
        by_id: span id → span.
        orphans: a span's parent is not there.
        outermost: span id → kind → the outermost span of that kind above it.
        stage_above: span id → kind of the nearest stage above it.
    """

    spans: Sequence[Span]
    by_id: dict[bytes, Span]
    orphans: bool
    outermost: dict[bytes, dict[str, Span]]
    stage_above: dict[bytes, str | None]

    @classmethod
    def of(cls, spans: Sequence[Span]) -> _Tree:
        by_id = {s.span_id: s for s in spans}
        orphans = any(s.parent_id not in by_id for s in spans if s.parent_id and not s.entry)
        tree = cls(spans, by_id, orphans, {}, {})
        for span in spans:
            path = _unknown_path(span, by_id, tree.outermost)
            for parent, child in zip([None, *path], path, strict=False):
                tree._place(child, parent or by_id.get(child.parent_id or b""))
        return tree

    def _place(self, span: Span, parent: Span | None) -> None:
        """Derive what is above a span from what is above its parent."""
        above = self.outermost.get(parent.span_id, {}) if parent is not None else {}
        if parent is not None and parent.kind not in above:
            above = {**above, parent.kind: parent}
        self.outermost[span.span_id] = above
        nearest = parent.kind if parent is not None and parent.kind in STAGES else None
        if parent is not None and nearest is None:
            nearest = self.stage_above.get(parent.span_id)
        self.stage_above[span.span_id] = nearest

    def above(self, span: Span) -> Iterator[Span]:
        """The spans above one, nearest first."""
        seen = {span.span_id}
        at = self.by_id.get(span.parent_id) if span.parent_id else None
        while at is not None and at.span_id not in seen:
            yield at
            seen.add(at.span_id)
            at = self.by_id.get(at.parent_id) if at.parent_id else None

    def inside(self, kind: str) -> Iterator[Span]:
        """Spans of other stages that have a span of this kind above them."""
        for span in self.spans:
            if span.kind != kind and span.kind in STAGES and kind in self.outermost[span.span_id]:
                yield span


def _unknown_path(
    span: Span, by_id: dict[bytes, Span], known: Mapping[bytes, object]
) -> list[Span]:
    """From the highest ancestor that is not known yet down to the span. A circle, which only a
    hostile trace has, is cut where it closes."""
    path: list[Span] = []
    seen: set[bytes] = set()
    at: Span | None = span
    while at is not None and at.span_id not in known and at.span_id not in seen:
        path.append(at)
        seen.add(at.span_id)
        at = by_id.get(at.parent_id) if at.parent_id else None
    return path[::-1]


@dataclass(frozen=True)
class _Stage:
    """The spans of one stage: the outermost, and those of its kind below each of them."""

    outermost: Sequence[Span]
    below: dict[bytes, list[Span]]

    def facts(self, name: str) -> list[Any]:
        """A fact of every call: the span's own, else those of the nested spans."""
        found: list[Any] = []
        for span in self.outermost:
            if name in span.facts:
                found.append(span.facts[name])
            else:
                nested = self.below.get(span.span_id, [])
                found += [s.facts[name] for s in nested if name in s.facts]
        return found


def settle(trace_id: bytes, spans: Sequence[Span], *, cut: bool) -> Trace:
    """What the spans of a trace say.

    Args:
        spans: all that are known, at least one, in any order.
        cut: there are more that were not read.
    """
    spans = sorted(spans, key=lambda s: (s.start_ns, s.span_id))
    tree = _Tree.of(spans)
    stages = {stage: found for stage in STAGES if (found := _stage(tree, stage)).outermost}
    phase = _phase(stages)
    weight = max((s.facts["weight"] for s in spans if "weight" in s.facts), default=1.0)
    entry = _entry(tree)
    start_ns = min(s.start_ns for s in spans)

    def observe(
        stage: str, metric: str, value: float, unit: str, of: Sequence[Span]
    ) -> Observation:
        at = of[0].start_ns // NS
        confidence = 1.0 if stage == REQUEST else min(s.confidence for s in of)
        return Observation(at, phase, stage, metric, float(value), unit, confidence, weight)

    observations = [o for name, s in stages.items() for o in _of_stage(tree, name, s, observe)]
    observations += _of_request(tree, entry, stages, observe)
    observations += _judgements(tree, observe)
    return Trace(
        trace_id,
        start_ns,
        entry.duration_ns if entry is not None else None,
        phase,
        _query(stages, entry),
        entry is not None and entry.error,
        entry is not None and not tree.orphans and not cut,
        weight,
        observations,
    )


_Observe = Callable[[str, str, float, str, Sequence[Span]], Observation]


def _stage(tree: _Tree, kind: str) -> _Stage:
    outermost: list[Span] = []
    below: dict[bytes, list[Span]] = {}
    for span in tree.spans:
        if span.kind != kind:
            continue
        above = tree.outermost[span.span_id].get(kind)
        if above is None:
            outermost.append(span)
        else:
            below.setdefault(above.span_id, []).append(span)
    stage = _Stage(outermost, below)
    return stage if kind != "generate" else _Stage(_streamed(tree, stage), below)


def _streamed(tree: _Tree, stage: _Stage) -> list[Span]:
    """Model calls, those that streamed with the time that the stream took."""
    return [_until_streamed(tree, span, stage) for span in stage.outermost]


def _until_streamed(tree: _Tree, span: Span, stage: _Stage) -> Span:
    tokens = [
        s.start_ns + int(s.facts["ttft_ms"] * 1e6)
        for s in (span, *stage.below.get(span.span_id, ()))
        if "ttft_ms" in s.facts
    ]
    if span.duration_ns is None or not tokens or max(tokens) <= span.start_ns + span.duration_ns:
        return span
    ends = (s.start_ns + s.duration_ns for s in tree.above(span) if s.duration_ns is not None)
    end = next((e for e in ends if e >= max(tokens)), max(tokens))
    return span._replace(duration_ns=end - span.start_ns)


def _phase(stages: Iterable[str]) -> Phase | None:
    found = set(stages)
    if found & {"retrieve", "rerank", "generate"}:
        return "query"
    return "build" if found & {"parse", "chunk", "embed"} else None


def _entry(tree: _Tree) -> Span | None:
    """The span that the app was entered by; the longest, should there be several."""
    entries = [s for s in tree.spans if s.entry]
    return max(entries, key=lambda s: (s.duration_ns or -1, s.span_id), default=None)


def _query(stages: dict[str, _Stage], entry: Span | None) -> str | None:
    asked = stages["retrieve"].facts("query") if "retrieve" in stages else []
    query = asked[0] if asked else entry.facts.get("query") if entry is not None else None
    return str(query) if query is not None else None


def _of_stage(tree: _Tree, name: str, stage: _Stage, observe: _Observe) -> Iterator[Observation]:
    spans = stage.outermost
    own, others = _intervals(spans), _intervals(tree.inside(name))
    if own:
        yield observe(name, "duration_ms", _covered(own) / 1e6, "ms", spans)
        alone = _covered([*own, *others]) - _covered(others)
        yield observe(name, "self_ms", alone / 1e6, "ms", spans)
    yield observe(name, "calls", len(spans), "calls", spans)
    yield observe(name, "errors", sum(s.error for s in spans), "calls", spans)
    for fact, unit in ADDED.items():
        values = stage.facts(fact)
        if values:
            yield observe(name, fact, sum(values), unit, spans)
    asked = stage.facts("top_k")
    if asked:
        yield observe(name, "top_k", max(asked), "documents", spans)
    waited = stage.facts("ttft_ms")
    if waited:
        yield observe(name, "ttft_ms", waited[-1], "ms", spans)


def _of_request(
    tree: _Tree, entry: Span | None, stages: dict[str, _Stage], observe: _Observe
) -> Iterator[Observation]:
    if entry is None:
        return
    if entry.duration_ns is not None:
        yield observe(REQUEST, "duration_ms", entry.duration_ns / 1e6, "ms", [entry])
    yield observe(REQUEST, "errors", entry.error, "requests", [entry])
    yield observe(REQUEST, "spans", len(tree.spans), "spans", [entry])
    if "query_chars" in entry.facts:
        yield observe(REQUEST, "query_chars", entry.facts["query_chars"], "characters", [entry])
    dropped = sum(s.facts.get("dropped", 0) for s in tree.spans)
    if dropped:
        yield observe(REQUEST, "dropped_attributes", dropped, "attributes", [entry])
    yield from _first_token(entry, stages, observe)


def _first_token(
    entry: Span, stages: dict[str, _Stage], observe: _Observe
) -> Iterator[Observation]:
    if "generate" not in stages:
        return
    last = stages["generate"].outermost[-1]
    nested = [last, *stages["generate"].below.get(last.span_id, [])]
    timed = [s for s in nested if "ttft_ms" in s.facts]
    if timed:
        first_token_ms = (timed[0].start_ns - entry.start_ns) / 1e6 + timed[0].facts["ttft_ms"]
        yield observe(REQUEST, "ttft_ms", first_token_ms, "ms", [entry])


def _judgements(tree: _Tree, observe: _Observe) -> Iterator[Observation]:
    """Judgements belong to the stage that they judge, or to the request."""
    for span in tree.spans:
        for name, score, label in span.facts.get("evaluations", ()):
            value = score if score is not None else _label_score(label)
            if value is None:
                continue
            stage = span.kind if span.kind in STAGES else tree.stage_above[span.span_id] or REQUEST
            yield observe(stage, f"quality.{name}", value, "score", [span])


def _label_score(label: str | None) -> float | None:
    word = (label or "").strip().lower().replace(" ", "_")
    return 1.0 if word in GOOD_LABELS else 0.0 if word in BAD_LABELS else None


def _intervals(spans: Iterable[Span]) -> list[Interval]:
    return [(s.start_ns, s.start_ns + s.duration_ns) for s in spans if s.duration_ns is not None]


def _covered(intervals: Iterable[Interval]) -> int:
    """Length of the union of intervals."""
    total = 0
    reached: int | None = None
    for start, end in sorted(intervals):
        if reached is None or start > reached:
            total += end - start
        else:
            total += max(0, end - reached)
        reached = end if reached is None else max(reached, end)
    return total
