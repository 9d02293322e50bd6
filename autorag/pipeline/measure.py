"""Measuring a built pipeline: closed loop, one client, caches cold, warm-up first; what was asked
while the machine was slow (``pace``) is asked again.

Per query: the ranking metrics of its gold units, and the milliseconds of every stage. Afterwards,
outside the timed loop: ANN recall against exact search on the same vectors, and answers for a
subsample when asked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from autorag.evaluation.answers import answer_em, answer_f1
from autorag.evaluation.gold import first_ranks
from autorag.evaluation.ranking import ranking_metrics
from autorag.hashing import bytes_address
from autorag.pipeline.index import exact_top
from autorag.pipeline.pace import Pace
from autorag.pipeline.rag import Pipeline, Result
from autorag.ports import Progress, QueryResult
from autorag.queries import Query
from autorag.racing import Referee

WARM_UP = 5
ROUNDS = 2
"""How often a query is asked again at most."""

GENERATE_QUERIES = 40
"""Answers generated per measurement: each takes 0.3–1 s."""

ANN_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pass over queries found: one result each, and how many of them come from a slow
    moment, because no calm one came.

    Attributes:
        lost: why it ended early; then the results are of the first queries.
    """

    results: list[Result]
    slow: int
    lost: str | None = None


def warm_up(pipeline: Pipeline, queries: Sequence[Query]) -> None:
    """Ask a few queries, outside the result cache, so that libraries are ready."""
    for query in queries[:WARM_UP]:
        pipeline.retrieve(query.question)
    pipeline.forget()


def run_queries(
    pipeline: Pipeline,
    queries: Sequence[Query],
    pace: Pace,
    progress: Progress | None = None,
    referee: Referee | None = None,
) -> Asked:
    """Ask every query once, in order; then those of slow moments again, each ``ROUNDS`` times at
    most. The result of the calmest moment counts. A race that is lost ends it at once."""
    found = _Calmest(len(queries), pace, referee)
    pace.worked(found.ask(pipeline, queries, progress))
    if found.lost is not None:
        return Asked(found.results, len(found.slow), found.lost)
    for _ in range(ROUNDS):
        if not found.slow or not pace.wait():
            break
        pace.worked_again(found.ask(pipeline, queries))
    return Asked(found.results, len(found.slow))


class _Calmest:
    """The result of every query from the calmest moment in which it was asked."""

    def __init__(self, count: int, pace: Pace, referee: Referee | None) -> None:
        self._pace = pace
        self._referee = referee
        self.lost: str | None = None
        self._found: list[tuple[float, Result | None]] = [(inf, None)] * count

    @property
    def results(self) -> list[Result]:
        return [r for _, r in self._found if r is not None]

    @property
    def slow(self) -> list[int]:
        """Queries that no calm moment had, but for those answered from the result cache."""
        return [
            i
            for i, (seconds, result) in enumerate(self._found)
            if self._pace.slow(seconds) and (result is None or result.stage_ms)
        ]

    def ask(
        self, pipeline: Pipeline, queries: Sequence[Query], progress: Progress | None = None
    ) -> float:
        """Ask what was not asked in a calm moment, with caches cold; returns the seconds."""
        asked, step = self.slow, max(1, len(queries) // 20)
        pipeline.forget()
        started, before = time.perf_counter(), self._pace.now()
        for i in asked:
            if progress is not None and i % step == 0:
                progress("query", i, len(queries))
            result, after = pipeline.retrieve(queries[i].question), self._pace.now()
            first = self._found[i][1] is None
            self._found[i] = min(self._found[i], (max(before, after), result), key=_calmer)
            if self._referee is not None and first:
                slow = self._pace.slow(max(before, after))
                self.lost = _lost(self._referee, pipeline, queries[i], result, slow=slow)
                if self.lost is not None:
                    break
                after = self._pace.now()
            before = after
        return time.perf_counter() - started


def _lost(
    referee: Referee, pipeline: Pipeline, query: Query, result: Result, *, slow: bool
) -> str | None:
    """Why a measurement is to end after this query."""
    metrics = ranking_metrics(first_ranks(query.units, pipeline.occurrences(result)))
    return referee.lost(query.id, metrics, None if slow else sum(result.stage_ms.values()))


def _calmer(found: tuple[float, Result | None]) -> tuple[bool, float]:
    """Sort key: asked at all, then by how calm it was. What was answered from the result cache when
    it was asked again has no times, and does not take the place of what has."""
    seconds, result = found
    return result is None or not result.stage_ms, seconds


def judge(
    pipeline: Pipeline, queries: Sequence[Query], asked: Sequence[Result]
) -> list[QueryResult]:
    """Per-query metrics of a pass."""
    recalls = ann_recalls(pipeline, queries)
    judged = []
    for query, result, recall in zip(queries, asked, recalls, strict=True):
        ranks = first_ranks(query.units, pipeline.occurrences(result))
        metrics = ranking_metrics(ranks)
        tokens = pipeline.built.chunks.tokens[pipeline.context_rows(result)]
        metrics["context_tokens"] = float(tokens.sum())
        if recall is not None:
            metrics["ann_recall_at_10"] = recall
        ids = [pipeline.built.chunks.ids[r].hex() for r in result.rows.tolist()]
        judged.append(QueryResult(query.id, metrics, result.stage_ms, ids, result.scores.tolist()))
    return judged


def add_answers(
    pipeline: Pipeline,
    queries: Sequence[Query],
    asked: Sequence[Result],
    judged: Sequence[QueryResult],
    progress: Progress | None = None,
) -> list[QueryResult]:
    """Generate answers for ``GENERATE_QUERIES`` queries that have gold answers, or for any when
    none has; those without are timed only."""
    usable = [i for i, q in enumerate(queries) if q.has_answer] or list(range(len(queries)))
    chosen = np.random.default_rng(0).permutation(usable)[:GENERATE_QUERIES].tolist()
    answered = list(judged)
    for done, i in enumerate(chosen):
        if progress is not None:
            progress("generate", done, len(chosen))
        query, before = queries[i], judged[i]
        answer, prompt = pipeline.generate(query.question, asked[i])
        scores = {}
        if query.has_answer:
            scores["answer_f1"] = answer_f1(answer.text, query.answers)
            scores["answer_em"] = answer_em(answer.text, query.answers)
        times = {"ttft": answer.ttft_ms, "generate": answer.total_ms}
        answered[i] = QueryResult(
            query.id,
            {**before.metrics, **scores},
            {**before.stage_ms, **times},
            before.chunk_ids,
            before.scores,
            bytes_address(prompt.encode()),
        )
    return answered


def ann_recalls(pipeline: Pipeline, queries: Sequence[Query]) -> list[float | None]:
    """Per query, the share of the exact nearest that the index finds; None without vectors."""
    vectors = pipeline.built.vectors
    if vectors is None:
        return [None] * len(queries)
    if pipeline.config["index.kind"] == "flat":
        return [1.0] * len(queries)
    asked = pipeline.query_vectors([q.question for q in queries])
    depth = min(ANN_DEPTH, len(vectors))
    exact = exact_top(vectors, asked, depth)
    found = [set(pipeline.nearest(v, depth).tolist()) for v in asked]
    return [len(f.intersection(e.tolist())) / depth for f, e in zip(found, exact, strict=True)]
