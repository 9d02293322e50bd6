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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from autorag.stages import STAGES
from autorag.telemetry import REQUEST, Observation, Phase, Span, Trace
from collectors.otlp.dialects import SURE

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

PROMPT = "prompt"
"""What a chain does that is named a splitter while a question is answered: it packs the prompt."""

MOST_ABOVE = 100
"""Spans above a streamed call among which the one is sought that was still open."""

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
        above_it: span id → stage → the outermost and the nearest span of that stage above it;
            parents come before their children.
        stage_above: span id → the nearest stage above it.
    """

    spans: Sequence[Span]
    by_id: dict[bytes, Span]
    orphans: bool
    above_it: dict[bytes, dict[str, tuple[Span, Span]]]
    stage_above: dict[bytes, str | None]

    @classmethod
    def of(cls, spans: Sequence[Span]) -> _Tree:
        by_id = {s.span_id: s for s in spans}
        orphans = any(s.parent_id not in by_id for s in spans if s.parent_id and not s.entry)
        tree = cls(spans, by_id, orphans, {}, {})
        for span in spans:
            for child in _unknown_path(span, by_id, tree.above_it):
                tree._place(child)
        return tree

    def _place(self, span: Span) -> None:
        """Derive what is above a span from what is above its parent, if that is known."""
        above: dict[str, tuple[Span, Span]] = {}
        nearest: str | None = None
        if span.parent_id is not None and span.parent_id in self.above_it:
            parent = self.by_id[span.parent_id]
            above, nearest = self.above_it[span.parent_id], self.stage_above[span.parent_id]
            if parent.kind in STAGES:
                outermost, _ = above.get(parent.kind, (parent, parent))
                above, nearest = {**above, parent.kind: (outermost, parent)}, parent.kind
        self.above_it[span.span_id] = above
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
            if span.kind != kind and span.kind in STAGES and kind in self.above_it[span.span_id]:
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
    """The spans of one stage.

    Attributes:
        outermost: in the order of time.
        below: span id of an outermost → the spans of its kind below it, each with the span id of
            the nearest one above it; parents come before their children.
        told: names of the facts that any of them has.
    """

    outermost: Sequence[Span]
    below: dict[bytes, list[tuple[Span, bytes]]]
    told: frozenset[str]

    def facts(self, name: str) -> list[Any]:
        """A fact of every call: the span's own, else those of the nested spans."""
        if name not in self.told:
            return []
        return [s.facts[name] for span in self.outermost for s in self.having(span, name)]

    def having(self, span: Span, name: str) -> list[Span]:
        """The spans that tell a fact of a call, which none above them tells."""
        if name in span.facts:
            return [span]
        found: list[Span] = []
        told: set[bytes] = set()
        for nested, above in self.below.get(span.span_id, ()):
            if above in told:
                told.add(nested.span_id)
            elif name in nested.facts:
                told.add(nested.span_id)
                found.append(nested)
        return sorted(found, key=_by_time)


def settle(trace_id: bytes, spans: Sequence[Span], *, cut: bool) -> Trace:
    """What the spans of a trace say.

    Args:
        spans: all that are known, at least one, in any order.
        cut: there are more that were not read.
    """
    phase = _phase({s.kind for s in spans})
    if phase == "query" and all(s.confidence < SURE for s in spans if s.kind == "chunk"):
        spans = [s._replace(kind=PROMPT) if s.kind == "chunk" else s for s in spans]
    spans = sorted(spans, key=_by_time)
    tree = _Tree.of(spans)
    kinds = {s.kind for s in spans}
    stages = {stage: _stage(tree, stage) for stage in STAGES if stage in kinds}
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
        _asked(stages, entry, "query"),
        entry is not None and entry.error,
        entry is not None and not tree.orphans and not cut,
        weight,
        observations,
    )


def _by_time(span: Span) -> tuple[int, bytes]:
    return span.start_ns, span.span_id


_Observe = Callable[[str, str, float, str, Sequence[Span]], Observation]


def _stage(tree: _Tree, kind: str) -> _Stage:
    outermost: list[Span] = []
    below: dict[bytes, list[tuple[Span, bytes]]] = {}
    told: set[str] = set()
    for span_id, above in tree.above_it.items():
        span = tree.by_id[span_id]
        if span.kind != kind:
            continue
        told.update(span.facts)
        if kind not in above:
            outermost.append(span)
        else:
            top, nearest = above[kind]
            below.setdefault(top.span_id, []).append((span, nearest.span_id))
    stage = _Stage(sorted(outermost, key=_by_time), below, frozenset(told))
    return stage if kind != "generate" else replace(stage, outermost=_streamed(tree, stage))


def _streamed(tree: _Tree, stage: _Stage) -> list[Span]:
    """Model calls, those that streamed with the time that the stream took."""
    return [_until_streamed(tree, span, stage) for span in stage.outermost]


def _until_streamed(tree: _Tree, span: Span, stage: _Stage) -> Span:
    nested = (s for s, _ in stage.below.get(span.span_id, ()))
    tokens = [
        s.start_ns + int(s.facts["ttft_ms"] * 1e6) for s in (span, *nested) if "ttft_ms" in s.facts
    ]
    if span.duration_ns is None or not tokens or max(tokens) <= span.start_ns + span.duration_ns:
        return span
    above = islice(tree.above(span), MOST_ABOVE)
    ends = (s.start_ns + s.duration_ns for s in above if s.duration_ns is not None)
    end = next((e for e in ends if e >= max(tokens)), max(tokens))
    return span._replace(duration_ns=end - span.start_ns)


def _phase(kinds: Set[str]) -> Phase | None:
    if kinds & {"retrieve", "rerank", "generate"}:
        return "query"
    return "build" if kinds & {"parse", "chunk", "embed"} else None


def _entry(tree: _Tree) -> Span | None:
    """The span that the app was entered by; the longest, should there be several."""
    entries = [s for s in tree.spans if s.entry]
    return max(entries, key=lambda s: (s.duration_ns or -1, s.span_id), default=None)


def _asked(stages: dict[str, _Stage], entry: Span | None, fact: str) -> Any:
    """What is known of the question, from the stage that knows best; None where none does."""
    answering = _phase(stages.keys()) == "query"
    for stage in ("retrieve", "rerank", "embed") if answering else ():
        told = stages[stage].facts(fact) if stage in stages else []
        if told:
            return told[0]
    return entry.facts.get(fact) if entry is not None else None


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
    asked = _asked(stages, entry, "query_chars")
    if asked is not None:
        yield observe(REQUEST, "query_chars", asked, "characters", [entry])
    dropped = sum(s.facts.get("dropped", 0) for s in tree.spans)
    if dropped:
        yield observe(REQUEST, "dropped_attributes", dropped, "attributes", [entry])
    yield from _first_token(entry, stages, observe)


def _first_token(
    entry: Span, stages: dict[str, _Stage], observe: _Observe
) -> Iterator[Observation]:
    if "generate" not in stages:
        return
    timed = stages["generate"].having(stages["generate"].outermost[-1], "ttft_ms")
    if timed:
        first_token_ms = (timed[0].start_ns - entry.start_ns) / 1e6 + timed[0].facts["ttft_ms"]
        if first_token_ms >= 0:
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
