"""The reference pipeline as an app runs it: asked by many threads, and changed while it is."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from answering import Answering
from opentelemetry.trace import Tracer
from tracing import stage_spans

from autorag.documents import load_documents
from autorag.limits import usable_cores
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext
from autorag.pipeline.embedders import embedder_dims
from autorag.pipeline.generate import generators
from autorag.pipeline.parse import parse_documents
from autorag.pipeline.rag import Pipeline, Result
from autorag.pipeline.space import reference_space


@dataclass(frozen=True)
class Live:
    """A pipeline that answers, one question at a time: it is not made for several threads."""

    pipeline: Pipeline
    lock: Lock = field(default_factory=Lock)


class Rag:
    """Answers questions about the documents of a folder or file.

    Args:
        home: keeps what is built, so that a change builds only what no earlier one did.
        answers: whether answers are generated, not only contexts ranked.
    """

    def __init__(self, docs: Path, home: Path, *, answers: bool) -> None:
        self._docs = docs
        self._context = BuildContext(ArtifactStore(home / "artifacts"), home / "models")
        self._answering = Answering(self._context)
        self._answers = answers and self._answering.possible
        self._space = reference_space(
            embedder_dims(), generators=generators(), cores=usable_cores()
        )
        self._changing = Lock()
        self._documents = self._read()
        self._live: Live | None = None

    def defaults(self) -> dict[str, Any]:
        """What to run with until the service says otherwise."""
        return self._space.default().to_json()

    def manifest(self) -> dict[str, str]:
        """Document id → content hash."""
        return {d.id: d.content_hash for d in self._documents}

    def apply(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Run with these settings; returns those that the pipeline which answers now has. A change
        is built aside, and questions are answered by the old pipeline meanwhile.

        Raises:
            AutoragError: it cannot run with them.
        """
        with self._changing:
            config = self._space.config(settings)
            if self._live is None or self._live.pipeline.config.to_json() != config.to_json():
                self._live = Live(Pipeline.open(config, self._documents, self._context))
            return self._live.pipeline.config.to_json()

    def reload(self) -> None:
        """Read the documents again and run on them."""
        with self._changing:
            assert self._live is not None
            documents = self._read()
            config = self._live.pipeline.config
            self._live = Live(Pipeline.open(config, documents, self._context))
            self._documents = documents

    def ask(self, question: str, tracer: Tracer) -> dict[str, Any]:
        """Ranked contexts, and an answer where one can be generated."""
        assert self._live is not None
        live = self._live
        with tracer.start_as_current_span("question"):
            with live.lock:
                started_ns = time.time_ns()
                result = live.pipeline.retrieve(question)
            contexts = _contexts(live.pipeline, result)
            stage_spans(tracer, started_ns, result.stage_ms, contexts)
            answer = self._answer(question, contexts, live.pipeline.config, tracer)
        return {"contexts": contexts, "answer": answer, "stage_ms": result.stage_ms}

    def close(self) -> None:
        """End what runs in the background."""
        self._answering.close()

    def _answer(
        self,
        question: str,
        contexts: Sequence[Mapping[str, Any]],
        config: Mapping[str, Any],
        tracer: Tracer,
    ) -> str | None:
        if not self._answers:
            return None
        texts = [context["text"] for context in contexts[: config["generate.contexts"]]]
        with tracer.start_as_current_span("generate", attributes={"autorag.stage": "generate"}):
            return self._answering.answer(question, texts, config)

    def _read(self) -> list[Any]:
        return parse_documents(load_documents(self._docs), self._context.store)[0]


def _contexts(pipeline: Pipeline, result: Result) -> list[dict[str, Any]]:
    found = zip(
        pipeline.occurrences(result), result.rows.tolist(), result.scores.tolist(), strict=True
    )
    texts = pipeline.built.chunks.texts
    return [{"doc": at[0].doc, "score": score, "text": texts[row]} for at, row, score in found]
