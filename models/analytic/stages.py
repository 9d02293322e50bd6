"""The analytic model: what a config takes on a machine, before anything is learned or built.

Every stage is a sum of operators (``machine.Operator``), each the slower of computing and moving
its data, at the level of memory where that lies. Which level that is depends on the whole query:
its stages share the cache, so a transformer's weights push out the index (``machine``). Times are
those of a typical query, to be compared with medians.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autorag.errors import InputError
from autorag.hardware import HardwareProfile
from autorag.pipeline.generate import LOCAL
from autorag.pipeline.space import NO_RERANKER
from models.analytic import inference, lexical, retrieval
from models.analytic.building import build_seconds
from models.analytic.chunking import Chunking, chunking
from models.analytic.inference import WEIGHT_BYTES, CrossEncoder
from models.analytic.knobs import Knobs
from models.analytic.machine import Machine, Operator
from models.analytic.memory import resident_bytes, shares_encoder
from models.analytic.shape import WorkloadShape

STAGES = ("embed", "retrieve", "rerank")
RERANK_CALL_S = 60e-6
"""Scaling scores and ordering candidates."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a config takes.

    Attributes:
        stage_ms: milliseconds of each stage that runs.
        latency_ms: their sum, query to ranked contexts.
        ttft_ms: query to the first token of the answer; None where none is generated here.
        token_ms: milliseconds of every further token; None in the same cases.
        build_s: seconds of every artifact that it needs (``building``).
    """

    stage_ms: Mapping[str, float]
    latency_ms: float
    ttft_ms: float | None
    token_ms: float | None
    memory_mb: float
    build_s: Mapping[str, float]


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

    def predict(self, config: Mapping[str, Any], shape: WorkloadShape) -> Prediction:
        """What a config takes on a workload.

        Raises:
            InputError: the profile lacks a figure that the config needs, or the config names a
                reranker that this model was not told of.
        """
        knobs = Knobs.of(config)
        chunks = chunking(shape, knobs.splitter, knobs.chunk_tokens, knobs.overlap)
        query = _Query(knobs, shape, chunks, self._machine, self._cross_encoder(knobs))
        stage_ms = query.stage_ms()
        latency_ms = sum(stage_ms.values())
        written = self._generate and knobs.generator == LOCAL
        prompt_ms, token_ms = query.generation_ms() if written else (None, None)
        weights = query.cross_encoder.weights_bytes if query.cross_encoder else 0.0
        memory = resident_bytes(knobs, shape, chunks, weights, generate=self._generate)
        return Prediction(
            stage_ms,
            latency_ms,
            None if prompt_ms is None else latency_ms + prompt_ms,
            token_ms,
            memory / 1e6,
            build_seconds(knobs, shape, chunks, self._machine),
        )

    def _cross_encoder(self, knobs: Knobs) -> CrossEncoder | None:
        if knobs.reranker in (NO_RERANKER, "bm25", "maxsim"):
            return None
        known = self._cross_encoders.get(knobs.reranker)
        if known is None:
            raise InputError(
                f"rerank.model = {knobs.reranker}: its shape is not known here",
                key="rerank.model",
                value=knobs.reranker,
            )
        return known


@dataclass(frozen=True, slots=True)
class _Query:
    """One query through the stages of one config."""

    knobs: Knobs
    shape: WorkloadShape
    chunks: Chunking
    machine: Machine
    cross_encoder: CrossEncoder | None

    def stage_ms(self) -> dict[str, float]:
        """Milliseconds of the stages that run."""
        steps: dict[str, Sequence[Operator]] = {}
        if self.knobs.dense:
            steps["embed"] = (self._encoded(self.knobs.embedder, self.knobs.threads_embed),)
        steps["retrieve"] = tuple(self._retrieving())
        if self.knobs.reranker != NO_RERANKER:
            steps["rerank"] = tuple(self._reranking())
        touched = self._weights() + sum(s.scanned for part in steps.values() for s in part)
        return {
            stage: 1e3 * sum(s.seconds(self.machine, touched) for s in part)
            for stage, part in steps.items()
        }

    def generation_ms(self) -> tuple[float, float]:
        """Milliseconds from ranked contexts to the first token, and of every further one."""
        knobs, context = self.knobs, self.knobs.contexts * self.chunks.tokens
        threads = knobs.threads_generate
        prompt = inference.prompt_s(context, self.shape.query_tokens, threads, self.machine)
        return 1e3 * prompt, 1e3 * inference.token_s(context, threads, self.machine)

    def _encoded(self, model: str, threads: int) -> Operator:
        shape = self.shape
        return inference.query_vector(
            model, shape.query_tokens, shape.vocabulary, threads, self.machine
        )

    def _retrieving(self) -> Iterable[Operator]:
        knobs, chunks, shape = self.knobs, self.chunks, self.shape
        if knobs.dense:
            yield from retrieval.search(
                knobs, chunks.chunks, shape.lid, shape.query_imbalance, self.machine
            )
        if knobs.lexical:
            yield from lexical.search(lexical.matches(shape, chunks), chunks, self.machine)
        if knobs.dense and knobs.lexical:
            yield lexical.fusing(min(chunks.chunks, knobs.fetched))

    def _reranking(self) -> Iterable[Operator]:
        knobs, chunks, shape = self.knobs, self.chunks, self.shape
        pairs = min(float(knobs.depth), self._candidates())
        yield Operator(RERANK_CALL_S)
        if knobs.reranker == "bm25":
            found = lexical.matches(shape, chunks)
            for step in lexical.scoring(found, chunks, self.machine):
                yield Operator(step.compute_s) if knobs.lexical else step
        elif knobs.reranker == "maxsim":
            if not shares_encoder(knobs):
                yield self._encoded("minilm-int8", knobs.threads_rerank)
            yield inference.late_interaction(pairs, shape.query_tokens, chunks.tokens, self.machine)
        elif self.cross_encoder is not None:
            yield inference.cross_encoding(
                self.cross_encoder,
                pairs,
                shape.query_tokens,
                chunks.tokens,
                knobs.threads_rerank,
                self.machine,
            )

    def _candidates(self) -> float:
        """Most that retrieval can return: lexical search finds what holds a word."""
        if self.knobs.dense:
            return self.chunks.chunks
        return self.chunks.chunks * lexical.matches(self.shape, self.chunks).share

    def _weights(self) -> float:
        """Bytes of models that a query passes."""
        weights = WEIGHT_BYTES.get(self.knobs.embedder, 0.0)
        if self.knobs.reranker == "maxsim" and not shares_encoder(self.knobs):
            weights += WEIGHT_BYTES["minilm-int8"]
        return weights
