"""Gold units: what a query must find, in a form that survives every chunking.

Per relevant document the unit is: the given spans; else every place where an answer stands
verbatim (case and white space folded, not inside a longer word); else the whole document. Of
several spans or places any one counts. A unit is found when the retrieved chunks hold at least
half of the characters of one of its places (pieces add up); any chunk of the document finds a
whole-document unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autorag.documents import Document
from autorag.errors import QueriesError

COVER = 0.5
"""Share of a place's characters that must be retrieved."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class GoldUnit:
    """One thing to find: a document and the places in it (character spans), any one of which
    counts. No places: the whole document."""

    doc: str
    places: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Retrieved:
    """One occurrence of a retrieved chunk: characters ``start:end`` of a document."""

    doc: str
    start: int
    end: int


def gold_units(
    query: str,
    relevant: Sequence[str],
    spans: Mapping[str, Sequence[Span]],
    answers: Sequence[str],
    documents: Mapping[str, Document],
) -> tuple[GoldUnit, ...]:
    """The gold units of one query, one per relevant document; none is dropped.

    Raises:
        QueriesError: a relevant document does not exist, or a span lies outside its document.
    """
    patterns = [p for p in (_pattern(a) for a in answers) if p is not None]
    units = []
    for doc in dict.fromkeys([*relevant, *spans]):
        if doc not in documents:
            raise QueriesError(
                f"query {query!r}: gold document {doc!r} does not exist", key=query, value=doc
            )
        text = documents[doc].text
        given = tuple(_checked(query, doc, span, len(text)) for span in spans.get(doc, ()))
        found = (m.span(1) for p in patterns for m in p.finditer(text))
        units.append(GoldUnit(doc, given or tuple(dict.fromkeys(found))))
    return tuple(units)


def first_ranks(
    units: Sequence[GoldUnit], ranking: Iterable[Sequence[Retrieved]]
) -> tuple[int | None, ...]:
    """The rank (from 1) at which each unit is found, or None.

    ``ranking`` is the retrieved chunks in order, each with all its occurrences (the same text may
    stand in several documents). A chunk that only repeats units already found takes no rank.
    """
    found: list[int | None] = [None] * len(units)
    held: dict[tuple[int, Span], list[Span]] = {}
    rank = 1
    for occurrences in ranking:
        hits = [i for i, u in enumerate(units) if _adds(i, u, occurrences, held)]
        new = [i for i in hits if found[i] is None]
        for i in new:
            found[i] = rank
        repeats = bool(hits) and not new
        rank += 0 if repeats else 1
    return tuple(found)


def _adds(
    number: int,
    unit: GoldUnit,
    occurrences: Sequence[Retrieved],
    held: dict[tuple[int, Span], list[Span]],
) -> bool:
    """Whether the chunk touches the unit and the unit is covered by what is held so far."""
    inside = [o for o in occurrences if o.doc == unit.doc]
    if not inside or not unit.places:
        return bool(inside)
    covered = False
    for place in unit.places:
        pieces = held.setdefault((number, place), [])
        new = [p for p in (_overlap(place, o) for o in inside) if p is not None]
        pieces += new
        if new and _length(pieces) >= COVER * (place[1] - place[0]):
            covered = True
    return covered


def _overlap(place: Span, chunk: Retrieved) -> Span | None:
    start, end = max(place[0], chunk.start), min(place[1], chunk.end)
    return (start, end) if start < end else None


def _length(pieces: Iterable[Span]) -> int:
    """Characters in the union of the pieces."""
    total, reach = 0, -1
    for start, end in sorted(pieces):
        total += max(0, end - max(start, reach))
        reach = max(reach, end)
    return total


def _pattern(answer: str) -> re.Pattern[str] | None:
    words = answer.split()
    if not words:
        return None
    body = r"\s+".join(re.escape(w) for w in words)
    before = r"(?<!\w)" if re.match(r"\w", words[0]) else ""
    after = r"(?!\w)" if re.search(r"\w$", words[-1]) else ""
    return re.compile(f"(?=({before}{body}{after}))", re.IGNORECASE)


def _checked(query: str, doc: str, span: Span, length: int) -> Span:
    if not 0 <= span[0] < span[1] <= length:
        raise QueriesError(
            f"query {query!r}: span {span[0]}:{span[1]} lies outside document {doc!r} "
            f"({length} characters)",
            key=query,
            value=list(span),
        )
    return span
