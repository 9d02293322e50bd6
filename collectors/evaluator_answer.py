"""What an HTTP evaluator answers, checked strictly: a wrong figure must not become a result.

    {"results": [{"id", "doc_ids": [...], "scores"?: [...], "stage_ms"?: {...},
                  "context_tokens"?: number, "answer"?: text}, ...],
     "memory_mb"?: number, "build_s"?: number}

Other keys are ignored. What is left out or null is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autorag.errors import MeasurementError
from autorag.jsonl import encodable

STAGES = ("embed", "retrieve", "rerank", "ttft", "generate")
MOST_DOCS = 1000
LARGEST = 1e30
"""Numbers above it do not fit where scores are kept."""

SHOWN = 300
"""Characters of an answer that an error shows."""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """What the evaluator found for one query."""

    query: str
    doc_ids: tuple[str, ...]
    scores: tuple[float, ...]
    stage_ms: Mapping[str, float]
    context_tokens: float | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What the evaluator found for a batch, in the order in which it was asked."""

    queries: tuple[QueryAnswer, ...]
    memory_mb: float | None
    build_s: float | None


def read_answer(content: bytes, asked: Sequence[str]) -> BatchAnswer:
    """The answer to a batch of query ids, each of which is answered once.

    Raises:
        MeasurementError: it is not of the form; names the query and the key.
    """
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MeasurementError(f"the evaluator's answer is not JSON: {error}") from error
    results = row.get("results") if isinstance(row, dict) else None
    if not isinstance(results, list):
        raise MeasurementError("the evaluator's answer has no list 'results'")
    found: dict[str, QueryAnswer] = {}
    for result in results:
        answer = _query(result, asked)
        if answer.query in found:
            raise MeasurementError(f"query {answer.query!r}: answered twice")
        found[answer.query] = answer
    missing = [q for q in asked if q not in found]
    if missing:
        raise MeasurementError(f"query {missing[0]!r}: not answered ({len(missing)} in all)")
    where = "the evaluator's answer"
    return BatchAnswer(
        tuple(found[q] for q in asked),
        _optional(where, "memory_mb", row.get("memory_mb")),
        _optional(where, "build_s", row.get("build_s")),
    )


def refusal(status: int, content: bytes) -> str:
    """Why an evaluator refused: the detail of its problem document, else the text."""
    text = content[: 4 * SHOWN].decode(errors="replace")
    try:
        row = json.loads(content)
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict) and row.get("detail"):
        detail = row["detail"]
        text = detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)
    plain = "".join(c if c.isprintable() else " " for c in text[:SHOWN]).strip()
    return f"answered {status}: {plain}" if plain else f"answered {status}"


def _query(result: Any, asked: Sequence[str]) -> QueryAnswer:
    id_ = result.get("id") if isinstance(result, dict) else None
    if not isinstance(id_, str) or id_ not in asked:
        raise MeasurementError(f"results: {_short(id_)} is not the id of a query that was asked")
    where = f"query {id_!r}"
    docs = _doc_ids(where, result.get("doc_ids"))
    return QueryAnswer(
        id_,
        docs,
        _scores(where, result.get("scores"), len(docs)),
        _stage_ms(where, result.get("stage_ms")),
        _optional(where, "context_tokens", result.get("context_tokens")),
        _text(where, "answer", result.get("answer")),
    )


def _doc_ids(where: str, value: Any) -> tuple[str, ...]:
    strings = isinstance(value, list) and all(isinstance(d, str) and encodable(d) for d in value)
    if not strings or len(value) > MOST_DOCS:
        raise _wrong(where, "doc_ids", value, f"a list of at most {MOST_DOCS} strings")
    return tuple(value)


def _scores(where: str, value: Any, count: int) -> tuple[float, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) != count:
        raise _wrong(where, "scores", value, f"a list as long as doc_ids ({count})")
    return tuple(_number(where, "scores", score, -LARGEST) for score in value)


def _stage_ms(where: str, value: Any) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not value.keys() <= set(STAGES):
        raise _wrong(where, "stage_ms", value, f"an object of {', '.join(STAGES)}")
    times = {s: _optional(where, f"stage_ms.{s}", value.get(s)) for s in STAGES}
    return {stage: ms for stage, ms in times.items() if ms is not None}


def _text(where: str, key: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _wrong(where, key, value, "a text")
    return value


def _optional(where: str, key: str, value: Any) -> float | None:
    return None if value is None else _number(where, key, value, 0.0)


def _number(where: str, key: str, value: Any, least: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value <= LARGEST:
        raise _wrong(where, key, value, "a finite number" + (" from 0" if least == 0 else ""))
    return float(value)


def _wrong(where: str, key: str, value: Any, expected: str) -> MeasurementError:
    return MeasurementError(f"{where}: {key!r} = {_short(value)}: expected {expected}")


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
