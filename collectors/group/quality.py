"""The quality phase: every query judged under every config, and what building it took.

Rankings are those of the pipeline, from parts that remember (see
:mod:`autorag.pipeline.remembering`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from autorag.evaluation.gold import first_ranks
from autorag.evaluation.ranking import ranking_metrics
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext
from autorag.pipeline.index import HNSW_KINDS, IVF_KINDS
from autorag.pipeline.measure import ann_recalls
from autorag.pipeline.rag import Pipeline, Result
from autorag.pipeline.remembering import RememberingParts
from autorag.pipeline.tokens import token_counts
from autorag.pipeline.workbench import Workbench
from autorag.ports import Progress
from autorag.space import Config
from autorag.table.schema import CONTEXTS, PSEUDO
from autorag.workload import read_snapshot
from collectors.group.job import Corpus, GroupJob


class Quality:
    """Rows of the quality phase."""

    def __init__(self, job: GroupJob, progress: Progress) -> None:
        store = ArtifactStore(Path(job.store), job.store_limit_bytes)
        context = BuildContext(store, Path(job.models), job.seed, progress=progress)
        first = job.to_configs()[0]
        self._real = Judge(job.real, first, context)
        self._pseudo = Judge(job.pseudo, first, context) if job.pseudo is not None else None

    def row(self, config: Config) -> dict[str, Any]:
        """Quality on the queries and the pseudo-queries, work counts and build costs.

        Raises:
            MeasurementError: too few chunks for the index kind.
        """
        row = self._real.row(config)
        if self._pseudo is not None:
            on_pseudo = self._pseudo.ranking(config)
            row |= {f"{PSEUDO}{name}": value for name, value in on_pseudo.items()}
        return row


class Judge:
    """Judges configs on one corpus."""

    def __init__(self, corpus: Corpus, config: Config, context: BuildContext) -> None:
        workload = read_snapshot(Path(corpus.snapshot))
        by_id = {q.id: q for q in workload.queries}
        self._half = {id_: half for half, ids in corpus.halves.items() for id_ in ids}
        self._queries = [by_id[id_] for id_ in self._half]
        questions = [q.question for q in self._queries]
        parts = RememberingParts(context, questions)
        self._bench = Workbench(config, workload.documents, context, parts)
        self._query_tokens = fmean(token_counts(questions))

    def ranking(self, config: Config) -> dict[str, float]:
        """Ranking metrics over all queries and over each half."""
        pipeline = self._bench.pipeline(config)
        return self._metrics(pipeline, [pipeline.retrieve(q.question) for q in self._queries])

    def row(self, config: Config) -> dict[str, Any]:
        """Everything that the quality phase knows of a config."""
        pipeline = self._bench.pipeline(config)
        before = search_stats(config)
        asked = [pipeline.retrieve(q.question) for q in self._queries]
        after = search_stats(config)
        row: dict[str, Any] = self._metrics(pipeline, asked)
        row |= {f"work.{k}": (after[k] - before[k]) / len(asked) for k in after}
        row |= self._work(config, pipeline)
        row |= self._tokens(pipeline, asked)
        row |= {f"build.{k}_s": v for k, v in self._bench.cost_s(config).items()}
        recalls = [r for r in ann_recalls(pipeline, self._queries) if r is not None]
        return row | ({"ann_recall_at_10": fmean(recalls)} if recalls else {})

    def _metrics(self, pipeline: Pipeline, asked: Sequence[Result]) -> dict[str, float]:
        judged = [
            ranking_metrics(first_ranks(q.units, pipeline.occurrences(r)))
            for q, r in zip(self._queries, asked, strict=True)
        ]
        halves = np.array([self._half[q.id] for q in self._queries])
        row: dict[str, float] = {"queries": len(judged)}
        for name in judged[0]:
            values = np.array([j[name] for j in judged])
            row[name] = float(values.mean())
            for half in np.unique(halves).tolist():
                row[f"{name}.{half}"] = float(values[halves == half].mean())
        ndcg = np.array([j["ndcg_at_10"] for j in judged])
        row["ndcg_at_10.se"] = float(ndcg.std(ddof=1) / np.sqrt(len(ndcg)))
        return row

    def _work(self, config: Config, pipeline: Pipeline) -> dict[str, float]:
        row = {"work.query_tokens": self._query_tokens}
        if config.get("index.kind") == "flat":
            row["work.distances"] = float(len(pipeline.built.chunks))
        lexical = pipeline.built.lexical
        if lexical is not None:
            row["work.postings"] = fmean(lexical.postings(q.question) for q in self._queries)
        return row

    def _tokens(self, pipeline: Pipeline, asked: Sequence[Result]) -> dict[str, float]:
        tokens = pipeline.built.chunks.tokens
        row: dict[str, float] = {"chunks": len(tokens), "chunk_tokens": float(tokens.mean())}
        totals = np.zeros((len(asked), max(CONTEXTS)))
        for total, result in zip(totals, asked, strict=True):
            found = tokens[result.rows[: max(CONTEXTS)]]
            total[: len(found)] = found
        means = totals.cumsum(axis=1).mean(axis=0)
        return row | {f"context_tokens_{n}": float(means[n - 1]) for n in CONTEXTS}


def search_stats(config: Config) -> Mapping[str, float]:
    """faiss's own counts so far, of this process and this index kind."""
    import faiss

    counts: Any = faiss.cvar
    if config.get("index.kind") in IVF_KINDS:
        return {"distances": counts.indexIVF_stats.ndis}
    if config.get("index.kind") in HNSW_KINDS:
        stats = counts.hnsw_stats
        return {"distances": stats.ndis, "hops": stats.nhops}
    return {}
