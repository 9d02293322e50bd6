"""The measured table: one row per workload, config and repeat; numbers only.

It is a folder of Parquet files, one a workload, read as one table. Quality is deterministic, so it
is the same in every repeat; its columns exist three times: over all queries, and over each of two
halves of them (``.a``, ``.b``; no gold document is in both), which are what independent repeats of
a quality measurement are. Times and counters are of the repeat. A column that does not apply, or
was not measured, is null.

Beside the columns below there are ``feature.<name>`` for every workload feature,
``hardware.<figure>`` for every figure of the profile of the machine that times were taken on, and
``counter.<name>`` for every counter that it has, taken around the timed queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from autorag.features import FEATURES
from autorag.hardware import FIGURES

SCHEMA = 1
"""Raised whenever a column is removed or means something else."""

Kind = Literal["text", "integer", "number", "flag"]
Part = Literal["quality", "index", "generation"]

HALVES = ("a", "b")
RANKING_METRICS = ("ndcg_at_10", "recall_at_1", "recall_at_5", "recall_at_10", "mrr_at_10")
CONTEXTS = (1, 2, 3, 5, 8, 10)
"""Values of ``generate.contexts`` whose tokens every row has."""

BUILDS = {
    "chunk": "splitting the documents",
    "embed": "vectors of the chunks",
    "index": "the vector index",
    "lexical": "the BM25 index of the chunks",
    "rerank": "token vectors of the chunks, for MaxSim",
}
"""What is built, each once for the knobs that it depends on. The vectors of ``minilm-int8`` and the
token vectors come from one pass: building both takes the seconds of one."""

TIMED_STAGES = ("embed", "retrieve", "rerank", "generate")
PSEUDO = "pseudo."


@dataclass(frozen=True, slots=True)
class Column:
    """A column and what stands in it."""

    name: str
    kind: Kind
    unit: str
    meaning: str


def _text(name: str, meaning: str) -> Column:
    return Column(name, "text", "", meaning)


def _count(name: str, meaning: str) -> Column:
    return Column(name, "integer", "", meaning)


def _number(name: str, unit: str, meaning: str) -> Column:
    return Column(name, "number", unit, meaning)


def _identity() -> Iterator[Column]:
    yield _count("schema", "version of this schema")
    yield _text("workload", "its name in the suite")
    yield _text("corpus", "variants of one corpus (sizes) share it: never on both sides of a split")
    yield _text("family", "wiki, finance, biomedical, code, docs, ...")
    yield _text("workload_hash", "hash of documents and queries, after subsampling")
    yield _text("query_source", "labelled, or pseudo: sentences held out of the corpus")
    yield _text("part", "quality, index or generation: the design that the config belongs to")
    yield _text("config", "canonical JSON of the config")
    yield _count("repeat", "0, 1, ...: timed at different times, in processes of their own")
    yield _number("measured_at", "s", "when the times were taken, since the epoch")
    yield _text("hardware", "fingerprint of the machine that times were taken on")
    yield _count("documents", "documents after subsampling")
    yield _count("timed_queries", "queries whose times were taken")


def _judged_sizes() -> Iterator[Column]:
    yield _count("queries", "queries whose quality was judged")
    yield _count("chunks", "distinct chunks of the config")
    yield _number("chunk_tokens", "tokens", "mean length of a chunk")


def _quality() -> Iterator[Column]:
    for metric in RANKING_METRICS:
        yield _number(metric, "ratio", "mean over the queries")
        for half in HALVES:
            yield _number(f"{metric}.{half}", "ratio", f"mean over half {half} of the queries")
    yield _number("ndcg_at_10.se", "ratio", "standard error of the mean over the queries")
    yield _number("ann_recall_at_10", "ratio", "against exact search on the same vectors")
    for contexts in CONTEXTS:
        yield _number(f"context_tokens_{contexts}", "tokens", f"mean of the first {contexts}")
    yield _count(f"{PSEUDO}queries", "pseudo-queries judged")
    for metric in RANKING_METRICS:
        yield _number(f"{PSEUDO}{metric}", "ratio", "on pseudo-queries made from the corpus alone")
        for half in HALVES:
            yield _number(f"{PSEUDO}{metric}.{half}", "ratio", f"half {half} of them")
    yield _number(f"{PSEUDO}ndcg_at_10.se", "ratio", "standard error over the pseudo-queries")


def _answers() -> Iterator[Column]:
    yield _number("answer_f1", "ratio", "generation part only")
    yield _number("answer_em", "ratio", "generation part only")


def _times() -> Iterator[Column]:
    for q in (50, 95):
        yield _number(f"latency_p{q}_ms", "ms", "text in to ranked contexts out")
        for stage in TIMED_STAGES:
            yield _number(f"{stage}_p{q}_ms", "ms", f"the stage {stage}")
    yield _number("ttft_p95_ms", "ms", "to the first token, retrieval included")
    yield _number("end_to_end_p95_ms", "ms", "to the last token, retrieval included")
    yield _number(
        "query_s", "s", "asking the timed queries, and answering some where answers are generated"
    )


def _costs() -> Iterator[Column]:
    yield _number("memory_mb", "MB", "resident to serve, a deterministic sum")
    yield _number("index_mb", "MB", "the vector index as faiss serialises it")
    yield _number("start_s", "s", "starting a process and loading models")


def _builds() -> Iterator[Column]:
    for build, meaning in BUILDS.items():
        yield _number(f"build.{build}_s", "s", f"{meaning}, with nothing built before")


def _work() -> Iterator[Column]:
    yield _number("work.distances", "1", "vectors or codes compared, a query (faiss's own count)")
    yield _number("work.hops", "1", "HNSW nodes visited, a query")
    yield _number("work.postings", "1", "BM25 postings of a query's words")
    yield _number("work.query_tokens", "tokens", "mean length of a query, special tokens left out")


def _conditions() -> Iterator[Column]:
    yield _number("cpu_pressure", "ratio", "share of the timed pass in which a task waited")
    yield Column("busy", "flag", "", "something else wanted the CPU while times were taken")
    yield _number("slow_share", "ratio", "timed queries that were asked in slow moments only")


COLUMNS: tuple[Column, ...] = (
    *_identity(),
    *_judged_sizes(),
    *_quality(),
    *_answers(),
    *_times(),
    *_costs(),
    *_builds(),
    *_work(),
    *_conditions(),
    *(_number(f"feature.{f.name}", f.unit, f.definition) for f in FEATURES),
    *(_number(f"hardware.{name}", info.unit, info.meaning) for name, info in FIGURES.items()),
)
"""Every column but the counters, in order."""

QUALITY = frozenset(c.name for c in (*_judged_sizes(), *_quality(), *_builds(), *_work()))
"""Columns of the quality phase, the same in every repeat."""
