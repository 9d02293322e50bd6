"""Queries: reading them, their gold, and the split that keeps selection and report apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autorag.documents import Document
from autorag.errors import QueriesError
from autorag.evaluation.gold import GoldUnit, Span, gold_units
from autorag.jsonl import encodable, read_objects

SEARCH_SHARE = 0.7
REPORT_MINIMUM = 50


@dataclass(frozen=True, slots=True)
class Query:
    """A question with what it must find (``units``) and, when ``answerable``, its answers."""

    id: str
    question: str
    units: tuple[GoldUnit, ...]
    answers: tuple[str, ...] = ()
    answerable: bool = True

    @property
    def has_answer(self) -> bool:
        """Whether it counts for answer metrics."""
        return self.answerable and bool(self.answers)


def load_queries(path: Path, documents: Mapping[str, Document]) -> list[Query]:
    """Read ``{"id","question","answers"?,"relevant"?,"spans"?,"meta"?}`` lines.

    Queries without any gold document cannot be judged and are an error.

    Raises:
        QueriesError: missing file, malformed line, duplicate id, gold that does not exist.
    """
    if not path.is_file():
        raise QueriesError(f"no such file: {path}", key="queries", value=str(path))
    seen: dict[str, int] = {}
    queries = []
    for number, row in read_objects(path, QueriesError):
        where = f"{path}:{number}"
        id_ = row.get("id")
        if not isinstance(id_, str) or not id_ or id_ in seen:
            first = f" (first on line {seen[id_]})" if isinstance(id_, str) and id_ else ""
            raise QueriesError(
                f"{where}: needs a unique, non-empty string 'id', got {id_!r}{first}",
                key=where,
                value=id_,
            )
        seen[id_] = number
        queries.append(query_from_row(row, where, documents))
    if not queries:
        raise QueriesError(f"{path}: no queries", key="queries", value=str(path))
    return queries


def query_from_row(row: Mapping[str, Any], where: str, documents: Mapping[str, Document]) -> Query:
    """One query from its JSON object; ``where`` names it in errors."""
    question = row.get("question")
    if not isinstance(question, str) or not question.strip() or not encodable(question):
        raise QueriesError(f"{where}: needs a non-empty string 'question'", key=where)
    answers = _strings(row, "answers", where)
    relevant = _strings(row, "relevant", where)
    meta = row.get("meta")
    answerable = not (isinstance(meta, dict) and meta.get("answerable") is False)
    try:
        units = gold_units(row["id"], relevant, _spans(row, where), answers, documents)
    except QueriesError as error:
        raise QueriesError(f"{where}: {error}", key=error.key, value=error.value) from None
    if not units:
        raise QueriesError(
            f"{where}: query {row['id']!r} names no gold document ('relevant' or 'spans')",
            key=where,
            value=row["id"],
        )
    return Query(row["id"], question, units, tuple(answers), answerable)


def split_queries(
    queries: Sequence[Query], rng: np.random.Generator
) -> tuple[list[Query], list[Query]]:
    """Split into (search, report), grouped by gold document: no document is on both sides.

    Report gets 30 % of the queries, and at least 50 of 100 or more.
    Both sides keep the order of ``queries``.
    """
    groups = _groups(queries)
    least = REPORT_MINIMUM if len(queries) >= 2 * REPORT_MINIMUM else 1
    wanted = max(round((1 - SEARCH_SHARE) * len(queries)), least)
    report: set[int] = set()
    for group in rng.permutation(len(groups)):
        if len(report) + len(groups[group]) <= min(wanted, len(queries) - 1):
            report.update(groups[group])
    while len(report) < least:
        left = [g for g in groups if not report.issuperset(g)]
        smallest = min(left, key=len)
        if len(left) == 1 or (report and 2 * (len(report) + len(smallest)) > len(queries)):
            break
        report.update(smallest)
    search = [q for i, q in enumerate(queries) if i not in report]
    return search, [q for i, q in enumerate(queries) if i in report]


def query_groups(queries: Sequence[Query]) -> dict[str, int]:
    """Query id → number of its group: queries connected through shared gold documents."""
    return {queries[i].id: g for g, group in enumerate(_groups(queries)) for i in group}


def subsample(queries: Sequence[Query], most: int, rng: np.random.Generator) -> list[Query]:
    """At most ``most`` queries drawn without replacement, in their order."""
    if len(queries) <= most:
        return list(queries)
    chosen = rng.choice(len(queries), size=most, replace=False)
    return [queries[i] for i in sorted(chosen)]


def query_to_json(query: Query) -> dict[str, Any]:
    """A JSON object, read back by :func:`query_from_json`."""
    return {
        "id": query.id,
        "question": query.question,
        "units": [[u.doc, [list(p) for p in u.places]] for u in query.units],
        "answers": list(query.answers),
        "answerable": query.answerable,
    }


def query_from_json(row: Mapping[str, Any]) -> Query:
    """The inverse of :func:`query_to_json`."""
    units = tuple(GoldUnit(doc, tuple((s, e) for s, e in places)) for doc, places in row["units"])
    return Query(row["id"], row["question"], units, tuple(row["answers"]), row["answerable"])


def _groups(queries: Sequence[Query]) -> list[list[int]]:
    """Indices of queries connected through shared gold documents (union-find)."""
    parent: dict[str, str] = {}

    def root(doc: str) -> str:
        while parent.setdefault(doc, doc) != doc:
            parent[doc] = parent[parent[doc]]
            doc = parent[doc]
        return doc

    for query in queries:
        first, *rest = (u.doc for u in query.units)
        for doc in rest:
            parent[root(doc)] = root(first)
    groups: dict[str, list[int]] = {}
    for i, query in enumerate(queries):
        groups.setdefault(root(query.units[0].doc), []).append(i)
    return list(groups.values())


def _strings(row: Mapping[str, Any], key: str, where: str) -> list[str]:
    values = row.get(key) or []
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise QueriesError(f"{where}: {key!r} must be a list of strings", key=where, value=values)
    return values


def _spans(row: Mapping[str, Any], where: str) -> dict[str, list[Span]]:
    spans: dict[str, list[Span]] = {}
    rows: Iterable[Any] = row.get("spans") or []
    if not isinstance(rows, list):
        raise QueriesError(f"{where}: 'spans' must be a list", key=where, value=rows)
    for span in rows:
        try:
            doc, start, end = span["doc"], int(span["start"]), int(span["end"])
            hash(doc)
        except (TypeError, KeyError, ValueError, OverflowError):
            raise QueriesError(
                f"{where}: a span needs 'doc', 'start' and 'end', got {span!r}",
                key=where,
                value=span,
            ) from None
        spans.setdefault(doc, []).append((start, end))
    return spans
