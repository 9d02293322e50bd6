"""Which documents and queries of a workload are measured, and the two halves of its queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autorag.documents import Document
from autorag.queries import Query, query_groups
from autorag.table.schema import HALVES
from autorag.workload import Workload


def sampled(workload: Workload, documents: int, queries: int, rng: np.random.Generator) -> Workload:
    """At most so many documents and queries, at least one query: queries drawn in turn as long as
    the documents that answer them fit, and other documents drawn to make up the number."""
    needed: set[str] = set()
    kept: list[int] = []
    for i in rng.permutation(len(workload.queries)).tolist():
        gold = {u.doc for u in workload.queries[i].units}
        if len(kept) < queries and (not kept or len(needed | gold) <= documents):
            needed |= gold
            kept.append(i)
    others = [d.id for d in workload.documents if d.id not in needed]
    drawn = rng.permutation(len(others))[: max(0, documents - len(needed))].tolist()
    wanted = needed | {others[i] for i in drawn}
    return replace(
        workload,
        documents=tuple(d for d in workload.documents if d.id in wanted),
        queries=tuple(workload.queries[i] for i in sorted(kept)),
    )


def drawn_documents(
    documents: Sequence[Document], most: int, rng: np.random.Generator
) -> list[Document]:
    """At most so many documents, in their order."""
    if len(documents) <= most:
        return list(documents)
    return [documents[i] for i in sorted(rng.permutation(len(documents))[:most].tolist())]


def halved(queries: Sequence[Query], rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
    """Query ids by half. Queries that share gold documents are in the same one."""
    groups: dict[int, list[str]] = {}
    for id_, group in query_groups(queries).items():
        groups.setdefault(group, []).append(id_)
    halves: dict[str, list[str]] = {half: [] for half in HALVES}
    for number in rng.permutation(len(groups)).tolist():
        min(halves.values(), key=len).extend(groups[number])
    return {half: tuple(ids) for half, ids in halves.items()}
