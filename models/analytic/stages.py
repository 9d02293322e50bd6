"""The analytic model: what configs take on a machine, before anything is learned or built.

Every stage is a sum of operators (``machine.Operator``), each the slower of computing and moving
its data, at the level of memory where that lies. Which level that is depends on the whole query:
its stages share the cache, so a transformer's weights push out the index (``machine``). Times are
those of a typical query, to be compared with medians.

Many configs are predicted at once, a row each: arrays are ``(n,)``. An operator is computed for the
rows that it is a step of (``machine.Step``), so that a row's figures, and the figures of the
machine that it needs, are the same whatever the other rows are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from autorag.errors import InputError
from autorag.hardware import HardwareProfile
from autorag.pipeline.generate import LOCAL
from autorag.pipeline.space import BUILT_IN_RERANKERS, NO_RERANKER
from models.analytic import inference, lexical, retrieval
from models.analytic.building import build_seconds
from models.analytic.chunking import Chunking, chunking
from models.analytic.columns import Floats, Rows
from models.analytic.inference import WEIGHT_BYTES, CrossEncoder
from models.analytic.knobs import Knobs
from models.analytic.lexical import Matches
from models.analytic.machine import Machine, Operator, Step
from models.analytic.memory import resident_bytes, shares_encoder
from models.analytic.retrieval import Compared
from models.analytic.shape import WorkloadShape

STAGES = ("embed", "retrieve", "rerank")
RERANK_CALL_S = 60e-6
"""Scaling scores and ordering candidates."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What configs take, and the work that it is made of; float64 ``(n,)``.

    Attributes:
        stage_ms: milliseconds of every stage; NaN where it does not run.
        latency_ms: their sum, query to ranked contexts.
        ttft_ms: query to the first token of the answer; NaN where none is generated here.
        token_ms: milliseconds of every further token; NaN in the same cases.
        chunks, chunk_tokens: distinct chunks, and tokens of one on average.
        distances: vectors or codes that a query is compared with, centroids left out; NaN without
            a vector index.
        postings: (word, chunk) pairs that BM25 adds up for a query; NaN where neither the search
            nor the reranker is BM25.
    """

    stage_ms: Mapping[str, Floats]
    latency_ms: Floats
    ttft_ms: Floats
    token_ms: Floats
    memory_mb: Floats
    chunks: Floats
    chunk_tokens: Floats
    distances: Floats
    postings: Floats

    def take(self, rows: Rows) -> Predictions:
        """The configs at these indices ``(k,)``, in their order."""
        return Predictions(
            {name: column.take(rows) for name, column in self.stage_ms.items()},
            self.latency_ms.take(rows),
            self.ttft_ms.take(rows),
            self.token_ms.take(rows),
            self.memory_mb.take(rows),
            self.chunks.take(rows),
            self.chunk_tokens.take(rows),
            self.distances.take(rows),
            self.postings.take(rows),
        )


class AnalyticModel:
    """Predicts for one machine.

    Args:
        generate: answers are generated: the generator counts.
        cross_encoders: the local ones that configs may name, by path.
    """

    def __init__(
        self,
        profile: HardwareProfile,
        *,
        generate: bool = False,
        cross_encoders: Mapping[str, CrossEncoder] | None = None,
    ) -> None:
        self._machine = Machine(profile)
        self._generate = generate
        self._cross_encoders = dict(cross_encoders or {})

    def predict(self, knobs: Knobs, shape: WorkloadShape) -> Predictions:
        """What configs take on a workload.

        Raises:
            InputError: the profile lacks a figure that one of them needs, or one names a reranker
                that this model was not told of.
        """
        encoders = self._named(knobs)
        chunks = chunking(shape, knobs.cut)
        work = retrieval.compared(knobs, chunks.chunks, shape.lid, shape.query_imbalance)
        found = lexical.matches(shape, chunks)
        queries = _Queries(knobs, shape, chunks, work, found, self._machine, encoders)
        stage_ms = queries.stage_ms()
        latency_ms = np.nansum(list(stage_ms.values()), axis=0)
        prompt_ms, token_ms = queries.generation_ms(generate=self._generate)
        weights = knobs.reranker.numbers({p: e.weights_bytes for p, e in encoders.items()})
        memory = resident_bytes(knobs, shape, chunks, weights, generate=self._generate)
        return Predictions(
            stage_ms,
            latency_ms,
            latency_ms + prompt_ms,
            token_ms,
            memory / 1e6,
            chunks.chunks,
            chunks.tokens,
            work.vectors,
            np.where(knobs.scored, found.postings, np.nan),
        )

    def build_s(self, knobs: Knobs, shape: WorkloadShape) -> Mapping[str, Floats]:
        """Seconds of every artifact (``building``), ``(n,)``; NaN where it is not needed.

        Raises:
            InputError: the profile lacks a figure that one of them needs.
        """
        return build_seconds(knobs, shape, chunking(shape, knobs.cut), self._machine)

    def _named(self, knobs: Knobs) -> dict[str, CrossEncoder]:
        """The cross-encoders that are used."""
        used = [name for name, _ in knobs.reranker.groups() if name not in BUILT_IN_RERANKERS]
        for name in used:
            if name not in self._cross_encoders:
                raise InputError(
                    f"rerank.model = {name}: its shape is not known here",
                    key="rerank.model",
                    value=name,
                )
        return {name: self._cross_encoders[name] for name in used}


@dataclass(frozen=True, slots=True)
class _Queries:
    """One query through the stages of every config."""

    knobs: Knobs
    shape: WorkloadShape
    chunks: Chunking
    work: Compared
    found: Matches
    machine: Machine
    cross_encoders: Mapping[str, CrossEncoder]

    def stage_ms(self) -> dict[str, Floats]:
        """Milliseconds of every stage; NaN where it does not run."""
        steps = {
            "embed": list(self._embedding()),
            "retrieve": list(self._retrieving()),
            "rerank": list(self._reranking()),
        }
        touched = self._weights()
        for rows, step in (s for part in steps.values() for s in part):
            touched[rows] += step.scanned
        found = {stage: 1e3 * self._seconds(part, touched) for stage, part in steps.items()}
        found["embed"][~self.knobs.dense] = np.nan
        found["rerank"][self.knobs.reranker.among(NO_RERANKER)] = np.nan
        return found

    def generation_ms(self, *, generate: bool) -> tuple[Floats, Floats]:
        """Milliseconds from ranked contexts to the first token, and of every further one; NaN where
        none is generated here."""
        prompt_ms, token_ms = np.full((2, len(self.knobs)), np.nan)
        rows = np.flatnonzero(generate & self.knobs.generator.among(LOCAL))
        if rows.size:
            threads = self.knobs.threads_generate[rows]
            context = self.knobs.contexts[rows] * self.chunks.tokens[rows]
            prompt = inference.prompt_s(context, self.shape.query_tokens, threads, self.machine)
            prompt_ms[rows] = 1e3 * prompt
            token_ms[rows] = 1e3 * inference.token_s(context, threads, self.machine)
        return prompt_ms, token_ms

    def _seconds(self, steps: Iterable[Step], touched: Floats) -> Floats:
        total = np.zeros(len(self.knobs))
        for rows, step in steps:
            total[rows] += step.seconds(self.machine, touched[rows])
        return total

    def _encoded(self, model: str, threads: Floats) -> Operator:
        shape = self.shape
        return inference.query_vector(
            model, shape.query_tokens, shape.vocabulary, threads, self.machine
        )

    def _embedding(self) -> Iterator[Step]:
        for model, rows in self.knobs.embedder.groups():
            if model:
                yield Step(rows, self._encoded(model, self.knobs.threads_embed[rows]))

    def _retrieving(self) -> Iterator[Step]:
        knobs, chunks = self.knobs, self.chunks
        yield from retrieval.search(knobs, self.work, chunks.chunks, self.machine)
        rows = np.flatnonzero(knobs.lexical)
        if rows.size:
            for step in lexical.search(self.found.take(rows), chunks.take(rows), self.machine):
                yield Step(rows, step)
        both = np.flatnonzero(knobs.dense & knobs.lexical)
        yield Step(both, lexical.fusing(np.minimum(chunks.chunks, knobs.fetched)[both]))

    def _reranking(self) -> Iterator[Step]:
        pairs = np.minimum(self.knobs.depth, self._candidates())
        for model, rows in self.knobs.reranker.groups():
            if model == NO_RERANKER:
                continue
            yield Step(rows, Operator(RERANK_CALL_S))
            if model == "bm25":
                yield from self._scoring(rows)
            elif model == "maxsim":
                yield from self._interacting(rows, pairs[rows])
            else:
                yield Step(rows, self._cross_encoding(model, rows, pairs[rows]))

    def _scoring(self, rows: Rows) -> Iterator[Step]:
        """BM25 of the candidates; what the search has just used is in the cache."""
        cold = ~self.knobs.lexical[rows]
        for step in lexical.scoring(self.found.take(rows), self.chunks.take(rows), self.machine):
            lines, scanned = (np.where(cold, n, 0.0) for n in (step.lines, step.scanned))
            yield Step(rows, replace(step, lines=lines, scanned=scanned))

    def _interacting(self, rows: Rows, pairs: Floats) -> Iterator[Step]:
        """Late interaction, behind an encoder of its own where the embedder's cannot be used."""
        own = rows[~shares_encoder(self.knobs)[rows]]
        if own.size:
            yield Step(own, self._encoded("minilm-int8", self.knobs.threads_rerank[own]))
        asked, tokens = self.shape.query_tokens, self.chunks.tokens[rows]
        yield Step(rows, inference.late_interaction(pairs, asked, tokens, self.machine))

    def _cross_encoding(self, model: str, rows: Rows, pairs: Floats) -> Operator:
        return inference.cross_encoding(
            self.cross_encoders[model],
            pairs,
            self.shape.query_tokens,
            self.chunks.tokens[rows],
            self.knobs.threads_rerank[rows],
            self.machine,
        )

    def _candidates(self) -> Floats:
        """Most that retrieval can return: lexical search finds what holds a word."""
        chunks = self.chunks.chunks
        return np.where(self.knobs.dense, chunks, chunks * self.found.share)

    def _weights(self) -> Floats:
        """Bytes of models that a query passes."""
        own = self.knobs.reranker.among("maxsim") & ~shares_encoder(self.knobs)
        embedders = self.knobs.embedder.numbers(WEIGHT_BYTES)
        return embedders + np.where(own, WEIGHT_BYTES["minilm-int8"], 0.0)
