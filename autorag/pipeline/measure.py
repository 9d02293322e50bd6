"""Measuring a built pipeline: closed loop, one client, caches cold, warm-up first.

Per query: the ranking metrics of its gold units, and the milliseconds of every stage. Afterwards,
outside the timed loop: ANN recall against exact search on the same vectors, and answers for a
subsample when asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autorag.evaluation.answers import answer_em, answer_f1
from autorag.evaluation.gold import first_ranks
from autorag.evaluation.ranking import ranking_metrics
from autorag.hashing import bytes_address
from autorag.pipeline.index import exact_top
from autorag.pipeline.rag import Pipeline, Result
from autorag.ports import Progress, QueryResult
from autorag.queries import Query

WARM_UP = 5
GENERATE_QUERIES = 40
"""Answers generated per measurement: each takes 0.3–1 s."""

ANN_DEPTH = 10


def warm_up(pipeline: Pipeline, queries: Sequence[Query]) -> None:
    """Ask a few queries, outside the result cache, so that libraries are ready."""
    for query in queries[:WARM_UP]:
        pipeline.retrieve(query.question)
    pipeline.forget()


def run_queries(
    pipeline: Pipeline, queries: Sequence[Query], progress: Progress | None = None
) -> list[Result]:
    """Ask every query once, in order."""
    pipeline.forget()
    results = []
    step = max(1, len(queries) // 20)
    for i, query in enumerate(queries):
        if progress is not None and i % step == 0:
            progress("query", i, len(queries))
        results.append(pipeline.retrieve(query.question))
    return results


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
