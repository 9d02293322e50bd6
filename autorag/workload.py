"""A workload: documents and queries, read from anywhere, ready to be measured."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from autorag.documents import Document, document_from_json, document_to_json
from autorag.hashing import address
from autorag.pseudo import COUNT, pseudo_queries
from autorag.queries import Query, query_from_json, query_to_json

QuerySource = Literal["labelled", "pseudo"]


@dataclass(frozen=True)
class Workload:
    """Documents, and queries with gold.

    ``query_source`` is ``labelled`` for given queries and ``pseudo`` for sentences held out of
    the corpus. ``parse_reused`` tells whether parsing was answered from the artifact store.
    """

    name: str
    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    query_source: QuerySource = "labelled"
    parse_reused: bool = False

    @cached_property
    def hash_hex(self) -> str:
        """Identifies the content, whatever its name."""
        documents = [[d.id, d.content_hash] for d in self.documents]
        return address([documents, [query_to_json(q) for q in self.queries]])

    @property
    def part_hashes(self) -> dict[str, str]:
        """Identify the documents and the queries, each alone: of a query's gold only which
        documents, since where in them it stands changes with their text."""
        documents = [[d.id, d.content_hash] for d in self.documents]
        queries = [
            [q.id, q.question, [u.doc for u in q.units], list(q.answers), q.answerable]
            for q in self.queries
        ]
        return {"documents": address(documents), "queries": address(queries)}

    def summary(self) -> dict[str, Any]:
        """What every result says about the workload."""
        return {
            "name": self.name,
            "documents": len(self.documents),
            "queries": len(self.queries),
            "query_source": self.query_source,
            "hash": self.hash_hex,
        }


def pseudo_workload(
    name: str,
    documents: Iterable[Document],
    rng: np.random.Generator,
    parse_reused: bool,
    count: int = COUNT,
) -> Workload:
    """A workload from documents alone, with at most ``count`` queries."""
    kept, queries = pseudo_queries(list(documents), rng, count)
    return Workload(name, tuple(kept), tuple(queries), "pseudo", parse_reused)


def write_snapshot(workload: Workload, path: Path) -> None:
    """Write the workload to one file, for measuring processes; atomic. One that is there already
    is the same: its time of change becomes now, which tells that it is used."""
    try:
        os.utime(path)
        return
    except FileNotFoundError:
        pass
    row = {
        "name": workload.name,
        "documents": [document_to_json(d) for d in workload.documents],
        "queries": [query_to_json(q) for q in workload.queries],
        "query_source": workload.query_source,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{uuid.uuid4().hex}.draft")
    draft.write_text(json.dumps(row), encoding="utf-8")
    draft.replace(path)


def read_snapshot(path: Path) -> Workload:
    """The inverse of :func:`write_snapshot`."""
    row = json.loads(path.read_text(encoding="utf-8"))
    return Workload(
        row["name"],
        tuple(document_from_json(d) for d in row["documents"]),
        tuple(query_from_json(q) for q in row["queries"]),
        row["query_source"],
    )
