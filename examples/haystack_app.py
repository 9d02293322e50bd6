"""Questions answered from documents with Haystack, traced by OpenInference.

python examples/haystack_app.py "How do I copy a directory tree?"
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from haystack import Document, Pipeline, component
from haystack.components.builders import PromptBuilder
from haystack.components.preprocessors import RecursiveDocumentSplitter
from haystack.components.retrievers import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from openinference.instrumentation.haystack import HaystackInstrumentor
from parts import documents
from parts.answering import PROMPT, LanguageModel, language_model
from parts.asking import Answer, ask, command_line
from parts.minilm import MiniLm
from parts.stopwatch import Stopwatch
from parts.telemetry import set_up_tracing

CONTEXT = "{% for document in documents %}{{ document.content }}\n\n{% endfor %}"


@component
class MiniLmTextEmbedder:
    def __init__(self, minilm: MiniLm, watch: Stopwatch) -> None:
        self.model = minilm.name
        self._minilm = minilm
        self._watch = watch

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        with self._watch.stage("embed"):
            return {"embedding": self._minilm.embed([text])[0]}


@component
class MiniLmDocumentEmbedder:
    def __init__(self, minilm: MiniLm) -> None:
        self.model = minilm.name
        self._minilm = minilm

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        vectors = self._minilm.embed([d.content for d in documents])
        pairs = zip(documents, vectors, strict=True)
        return {"documents": [replace(document, embedding=v) for document, v in pairs]}


class TimedDocumentStore(InMemoryDocumentStore):
    """Times the search; the question was embedded before."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__(embedding_similarity_function="cosine")
        self._watch = watch

    def embedding_retrieval(self, *args: Any, **kwargs: Any) -> list[Document]:
        with self._watch.stage("retrieve"):
            return super().embedding_retrieval(*args, **kwargs)


@component
class LateInteractionRanker:
    def __init__(self, minilm: MiniLm, top_k: int, watch: Stopwatch) -> None:
        self.model = minilm.name
        self._minilm = minilm
        self._top_k = top_k
        self._watch = watch

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document]) -> dict[str, Any]:
        with self._watch.stage("rerank"):
            scores = self._minilm.relevance(query, [d.content for d in documents])
            scored = [replace(d, score=s) for d, s in zip(documents, scores, strict=True)]
            return {"documents": sorted(scored, key=lambda d: -d.score)[: self._top_k]}


@component
class StreamingGenerator:
    """Haystack's interface to a :class:`parts.answering.LanguageModel`."""

    def __init__(self, model: LanguageModel, watch: Stopwatch) -> None:
        self._model = model
        self._watch = watch

    @component.output_types(replies=list[str], meta=list[dict[str, Any]])
    def run(self, prompt: str) -> dict[str, Any]:
        reply = "".join(p.text for p in self._watch.generation(self._model.stream(prompt)))
        meta = {"model": self._model.name, "usage": self._watch.usage}
        return {"replies": [reply], "meta": [meta]}


def connected(components: dict[str, Any], *connections: tuple[str, str]) -> Pipeline:
    pipeline = Pipeline()
    for name, part in components.items():
        pipeline.add_component(name, part)
    for sender, receiver in connections:
        pipeline.connect(sender, receiver)
    return pipeline


class Rag:
    """Retrieve ``k`` passages, rerank them, answer from the best."""

    def __init__(
        self, corpus: Sequence[documents.Document], k: int, keep: int, watch: Stopwatch
    ) -> None:
        minilm = MiniLm()
        store = TimedDocumentStore(watch)
        indexing = connected(
            {
                "splitter": RecursiveDocumentSplitter(
                    split_length=60, separators=["\n\n", "\n", " "]
                ),
                "embedder": MiniLmDocumentEmbedder(minilm),
                "writer": DocumentWriter(store),
            },
            ("splitter", "embedder"),
            ("embedder", "writer"),
        )
        indexing.run({"splitter": {"documents": [Document(d.id, content=d.text) for d in corpus]}})
        template = PROMPT.format(context=CONTEXT, question="{{ question }}")
        self._pipeline = connected(
            {
                "embedder": MiniLmTextEmbedder(minilm, watch),
                "retriever": InMemoryEmbeddingRetriever(store, top_k=k),
                "ranker": LateInteractionRanker(minilm, keep, watch),
                "prompt": PromptBuilder(template, required_variables="*"),
                "generator": StreamingGenerator(language_model(minilm), watch),
            },
            ("embedder", "retriever"),
            ("retriever", "ranker"),
            ("ranker", "prompt.documents"),
            ("prompt", "generator"),
        )

    def answer(self, question: str) -> Answer:
        asked = {"text": question, "query": question, "question": question}
        results = self._pipeline.run(asked, include_outputs_from={"retriever", "ranker"})
        return Answer(
            results["generator"]["replies"][0],
            [d.id for d in results["retriever"]["documents"]],
            [d.id for d in results["ranker"]["documents"]],
        )


def main() -> None:
    args = command_line("Answer questions from documents with Haystack.").parse_args()
    provider = set_up_tracing()
    HaystackInstrumentor().instrument()
    watch = Stopwatch()
    rag = Rag(documents.read_documents(args.docs), args.k, args.keep, watch)
    ask(args.questions, rag.answer, watch, provider)


if __name__ == "__main__":
    main()
