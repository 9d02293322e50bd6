"""From a raw span to a span in the language of the stages.

Facts that a span may have, beside its times; a fact that was not sent is absent:

==================  ==========================================================================
``model``           name of the model
``query``           hash of the question, case and white space folded (a single text that is
                    embedded may be one)
``query_chars``     its length
``documents``       documents returned
``ids``, ``scores``  of the first :data:`KEPT_IDS` of them, best first, None where it is unknown;
                    a document without an id has the hash of its text
``input_documents``  documents handed to a reranker
``top_k``           documents asked for
``texts``, ``text_chars``  texts embedded, and their characters
``prompt_tokens``, ``completion_tokens``, ``cached_tokens``  as the model counts them
``prompt_chars``    characters of the messages to the model
``ttft_ms``         from the start to the first token
``evaluations``     ``[name, score, label]`` of judgements about this span
``dropped``         attributes that the sender's SDK left out
``weight``          requests that this one stands for, from the sampler's threshold
==================  ==========================================================================

Texts and vectors themselves are dropped here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from autorag.telemetry import Span
from collectors.otlp import dialects
from collectors.otlp.attributes import Attributes
from collectors.otlp.raw import BadRecord, RawLog, RawSpan

NAME_CHARS = 120
ID_CHARS = 64
KEPT_IDS = 20
LONGEST_JSON = 1 << 20
LATEST_NS = 2**63 - 1

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
REMOTE_PARENT = 0x300
"""Flags of a span whose parent is in another process (bit 8: known, bit 9: it is)."""

_QUESTION_KEYS = ("query", "query_str", "question", "input", "inputs", "q", "text")
_THRESHOLD = re.compile(r"(?:^|,)\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,]|$)")
_SPACE = re.compile(r"\s+")


def normalise(raw: RawSpan) -> Span | BadRecord:
    """The span, or why it cannot be one."""
    wrong = _what_is_wrong(raw)
    if wrong is not None:
        return BadRecord(wrong)
    name = _short(raw.name, NAME_CHARS)
    kind, confidence = dialects.classify(name, raw.attributes)
    parent = raw.parent_id if any(raw.parent_id) else None
    entry = parent is None or raw.flags & REMOTE_PARENT == REMOTE_PARENT
    failed = raw.failed or raw.attributes.first(dialects.TASK_STATUS) == "failure"
    duration = raw.end_ns - raw.start_ns
    return Span(
        raw.trace_id,
        raw.span_id,
        parent,
        entry,
        name,
        kind,
        confidence,
        raw.start_ns,
        duration if duration >= 0 and raw.end_ns <= LATEST_NS else None,
        failed,
        dict(_facts(raw, kind, entry)),
    )


def evaluation(log: RawLog) -> Span | BadRecord | None:
    """An evaluation result that came as a log record, as a span of no duration under the span that
    it judges; None when the record is something else."""
    judged = log.attributes.first(dialects.EVALUATION_NAME)
    if judged is None and log.event != dialects.EVALUATION_EVENT:
        return None
    result = _judgement(log.attributes)
    if result is None:
        return BadRecord("an evaluation result without a name, or with neither score nor label")
    if not 0 < log.time_ns <= LATEST_NS:
        return BadRecord("an evaluation result without a time")
    identity = blake2b(digest_size=TRACE_ID_BYTES)
    identity.update(msgspec.json.encode([log.trace_id, log.span_id, log.time_ns, result]))
    digest = identity.digest()
    known = len(log.trace_id) == TRACE_ID_BYTES and any(log.trace_id)
    under = known and len(log.span_id) == SPAN_ID_BYTES and any(log.span_id)
    return Span(
        log.trace_id if known else digest,
        digest[:SPAN_ID_BYTES],
        log.span_id if under else None,
        False,
        dialects.EVALUATION_EVENT,
        "evaluation",
        dialects.SURE,
        log.time_ns,
        0,
        False,
        {"evaluations": [result]},
    )


def _what_is_wrong(raw: RawSpan) -> str | None:
    if len(raw.trace_id) != TRACE_ID_BYTES or not any(raw.trace_id):
        return f"trace id {raw.trace_id.hex()[:ID_CHARS]!r}: expected 16 bytes, not all zero"
    if len(raw.span_id) != SPAN_ID_BYTES or not any(raw.span_id):
        return f"span id {raw.span_id.hex()[:ID_CHARS]!r}: expected 8 bytes, not all zero"
    if len(raw.parent_id) not in (0, SPAN_ID_BYTES):
        return f"parent span id {raw.parent_id.hex()[:ID_CHARS]!r}: expected 8 bytes"
    if not 0 < raw.start_ns <= LATEST_NS:
        return f"start time {raw.start_ns}: expected nanoseconds since the epoch"
    return None


def _facts(raw: RawSpan, kind: str, entry: bool) -> Iterator[tuple[str, Any]]:
    attributes = raw.attributes
    if entry or kind in _ASKED:
        yield from _question(attributes)
    of_kind = _FACTS.get(kind)
    if of_kind is not None:
        yield from of_kind(raw)
    judgements = list(_judgements(raw))
    if judgements:
        yield "evaluations", judgements
    if raw.dropped > 0:
        yield "dropped", raw.dropped
    weight = _weight(raw.trace_state)
    if weight is not None:
        yield "weight", weight


_ASKED = ("retrieve", "rerank")
"""Stages that are handed the question."""


def _retrieve(raw: RawSpan) -> Iterator[tuple[str, Any]]:
    yield from _count("top_k", raw.attributes, dialects.TOP_K)
    members = raw.attributes.group("retrieval.documents")
    yield from _returned(members, raw.attributes)


def _rerank(raw: RawSpan) -> Iterator[tuple[str, Any]]:
    yield from _model(raw.attributes)
    yield from _count("top_k", raw.attributes, dialects.TOP_K)
    candidates = raw.attributes.group("reranker.input_documents")
    handed = _listed(raw.attributes.first(dialects.QUESTION)) if not candidates else None
    if candidates or handed is not None:
        yield "input_documents", max(candidates) + 1 if candidates else len(handed or ())
    yield from _returned(raw.attributes.group("reranker.output_documents"), raw.attributes)


def _embed(raw: RawSpan) -> Iterator[tuple[str, Any]]:
    yield from _model(raw.attributes)
    members = raw.attributes.group("embedding.embeddings")
    if members:
        yield "texts", max(members) + 1
    texts = [t for m in members.values() if isinstance(t := m.get("embedding.text"), str)]
    if texts:
        yield "text_chars", sum(map(len, texts))
    if len(members) == len(texts) == 1:
        yield "query", text_hash(texts[0])
        yield "query_chars", len(texts[0])
    yield from _count("prompt_tokens", raw.attributes, dialects.PROMPT_TOKENS)


def _generate(raw: RawSpan) -> Iterator[tuple[str, Any]]:
    attributes = raw.attributes
    yield from _model(attributes)
    yield from _count("prompt_tokens", attributes, dialects.PROMPT_TOKENS)
    yield from _count("completion_tokens", attributes, dialects.COMPLETION_TOKENS)
    yield from _count("cached_tokens", attributes, dialects.CACHED_TOKENS)
    messages = attributes.group("llm.input_messages").values()
    contents = [c for m in messages if isinstance(c := m.get("message.content"), str)]
    if contents:
        yield "prompt_chars", sum(map(len, contents))
    first = [e.time_ns for e in raw.events if e.name in dialects.FIRST_TOKEN_EVENTS]
    seconds = attributes.first(dialects.FIRST_CHUNK_S)
    if first and min(first) >= raw.start_ns:
        yield "ttft_ms", (min(first) - raw.start_ns) / 1e6
    elif _is_number(seconds) and 0 <= seconds * 1e9 <= LATEST_NS:
        yield "ttft_ms", seconds * 1e3


_FACTS: Mapping[str, Callable[[RawSpan], Iterator[tuple[str, Any]]]] = {
    "retrieve": _retrieve,
    "rerank": _rerank,
    "embed": _embed,
    "generate": _generate,
}


def _model(attributes: Attributes) -> Iterator[tuple[str, Any]]:
    name = attributes.first(dialects.MODEL)
    if isinstance(name, str) and name not in ("", "unknown"):
        yield "model", _short(name, ID_CHARS)


def _count(
    fact: str, attributes: Attributes, keys: tuple[str, ...]
) -> Iterator[tuple[str, int | float]]:
    value = attributes.first(keys)
    if _is_number(value) and value >= 0:
        yield fact, value


def _returned(
    members: Mapping[int, Mapping[str, Any]], attributes: Attributes
) -> Iterator[tuple[str, Any]]:
    """Documents that came back. Their number is that of the highest one: attributes that the SDK
    drops are the first, so that the ids and scores of the first may be unknown."""
    if members:
        count = max(members) + 1
        best: list[Mapping[str, Any]] = [members.get(i, {}) for i in range(min(count, KEPT_IDS))]
        yield "documents", count
        if not any("document.id" in m for m in best):
            best = _with_ids(best, _listed(attributes.first(dialects.OUTPUT)))
    else:
        listed = _listed(attributes.first(dialects.RETRIEVED + dialects.OUTPUT))
        if listed is None:
            return
        yield "documents", len(listed)
        best = list(listed[:KEPT_IDS])
    ids = [_document_id(m) for m in best]
    if any(ids):
        yield "ids", ids
    scores = [m.get("document.score", m.get("score")) for m in best]
    if any(_is_number(s) for s in scores):
        yield "scores", [s if _is_number(s) else None for s in scores]


def _with_ids(
    members: list[Mapping[str, Any]], listed: list[dict[str, Any]] | None
) -> list[Mapping[str, Any]]:
    """Documents whose ids stand only where the whole output is kept."""
    if listed is None or len(listed) < len(members):
        return members
    return [{**m, "id": other.get("id")} for m, other in zip(members, listed, strict=False)]


def _listed(value: Any) -> list[dict[str, Any]] | None:
    """Documents that are listed in one attribute, as a structure or as JSON."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, dict):
        value = next((value[k] for k in _LISTS if isinstance(value.get(k), list)), None)
    if not isinstance(value, list):
        return None
    return [_document(member) for member in value]


def _document(member: Any) -> dict[str, Any]:
    """A document of a list; LangChain writes constructor calls."""
    if not isinstance(member, dict):
        return {}
    arguments = member.get("kwargs")
    return arguments if isinstance(arguments, dict) else member


_LISTS = ("documents", "outputs", "inputs", "nodes")


def _document_id(member: Mapping[str, Any]) -> str | None:
    id_ = member.get("document.id", member.get("id"))
    if isinstance(id_, str | int) and id_ != "":
        return _short(str(id_), ID_CHARS)
    text = member.get("document.content", member.get("page_content"))
    return text_hash(text) if isinstance(text, str) else None


def _question(attributes: Attributes) -> Iterator[tuple[str, Any]]:
    text = attributes.first(dialects.QUESTION)
    if not isinstance(text, str):
        return
    opening = text.lstrip()[:1]
    if opening == "{":
        text = _question_in(_parsed(text))
    elif opening == "[" and _parsed(text) is not None:
        return
    if text:
        yield "query", text_hash(text)
        yield "query_chars", len(text)


def _question_in(value: Any, depth: int = 0) -> str | None:
    """The question among the arguments of a call."""
    if not isinstance(value, dict) or depth > 3:
        return None
    for key in _QUESTION_KEYS:
        if isinstance(value.get(key), str):
            return str(value[key])
    inner = (_question_in(v, depth + 1) for v in value.values())
    return next((q for q in inner if q is not None), None)


def _judgements(raw: RawSpan) -> Iterator[list[Any]]:
    """Annotations and evaluations of a span, in its attributes or as its events."""
    for group, members in raw.attributes.groups.items():
        word = group.rpartition(".")[2].removesuffix("s")
        if word in ("annotation", "evaluation"):
            parts = ([m.get(f"{word}.{p}") for p in _PARTS] for m in members.values())
            yield from filter(None, (_judged(*p) for p in parts))
    for event in raw.events:
        if event.name == dialects.EVALUATION_EVENT:
            yield from filter(None, [_judgement(event.attributes)])


_PARTS = ("name", "score", "label")


def _judgement(attributes: Attributes) -> list[Any] | None:
    return _judged(
        attributes.first(dialects.EVALUATION_NAME),
        attributes.first(dialects.EVALUATION_SCORE),
        attributes.first(dialects.EVALUATION_LABEL),
    )


def _judged(name: Any, score: Any, label: Any) -> list[Any] | None:
    """Name, score and label of a judgement; None without a name, or with neither of the others."""
    score = score if _is_number(score) else None
    label = _short(label, ID_CHARS) if isinstance(label, str) else None
    if not isinstance(name, str) or not name or (score is None and label is None):
        return None
    return [_short(name, ID_CHARS), score, label]


def _weight(trace_state: str) -> float | None:
    """Requests that a sampled one stands for: the inverse of the sampling probability, which is 1
    less the threshold as a hexadecimal fraction
    (https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/)."""
    match = _THRESHOLD.search(trace_state) if trace_state else None
    if match is None:
        return None
    whole: int = 16 ** len(match[1])
    return whole / (whole - int(match[1], 16))


def text_hash(text: str) -> str:
    """Tells equal texts apart from others, case and white space folded."""
    folded = _SPACE.sub(" ", text).strip().casefold()
    return blake2b(folded.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _parsed(text: str) -> Any:
    if len(text) > LONGEST_JSON:
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _short(text: str, most: int) -> str:
    """The text as databases take it: no NUL, nothing that is not Unicode, not too long."""
    return text[:most].replace("\0", " ").encode("utf-8", "replace").decode()


def _is_number(value: Any) -> bool:
    """Whether something is a number that can be stored and added up."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LATEST_NS
    )
