"""Questions answered from documents with LlamaIndex, traced by OpenInference.

python examples/llamaindex_app.py "How do I copy a directory tree?"
"""

from collections.abc import Sequence
from typing import Any

from llama_index.core import (
    Document,
    PromptTemplate,
    QueryBundle,
    VectorStoreIndex,
    set_global_tokenizer,
)
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import VectorIndexRetriever
from llama_index.core.schema import NodeWithScore
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from parts import documents
from parts.answering import PROMPT, language_model
from parts.asking import Answer, ask, command_line
from parts.minilm import MiniLm
from parts.stopwatch import Stopwatch
from parts.telemetry import set_up_tracing

dispatcher = get_dispatcher(__name__)


class MiniLmEmbedding(BaseEmbedding):
    minilm: Any
    watch: Any

    def get_query_embedding(self, query: str) -> list[float]:
        with self.watch.stage("embed"):
            return super().get_query_embedding(query)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.minilm.embed([query])[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.minilm.embed([text])[0]


class TimedRetriever(VectorIndexRetriever):
    """Times the search, and keeps what it found; the question is embedded within it."""

    def __init__(self, index: VectorStoreIndex, k: int, watch: Stopwatch) -> None:
        super().__init__(index, similarity_top_k=k)
        self._watch = watch
        self.found: list[NodeWithScore] = []

    def retrieve(self, str_or_query_bundle: str | QueryBundle) -> list[NodeWithScore]:
        with self._watch.stage("retrieve"):
            self.found = super().retrieve(str_or_query_bundle)
        return self.found


class LateInteractionRerank(BaseNodePostprocessor):
    """Tells LlamaIndex by two events that it reranks, as its own StructuredLLMRerank does."""

    minilm: Any
    watch: Any
    keep: int

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle
    ) -> list[NodeWithScore]:
        with self.watch.stage("rerank"):
            start = {"query": query_bundle, "top_n": self.keep, "model_name": self.minilm.name}
            dispatcher.event(ReRankStartEvent(nodes=nodes, **start))
            texts = [n.get_content() for n in nodes]
            scores = self.minilm.relevance(query_bundle.query_str, texts)
            best = sorted(zip(scores, nodes, strict=True), key=lambda pair: -pair[0])[: self.keep]
            reranked = [NodeWithScore(node=n.node, score=score) for score, n in best]
            dispatcher.event(ReRankEndEvent(nodes=reranked))
            return reranked


class StreamingCompletion(CustomLLM):
    """LlamaIndex's interface to a :class:`parts.answering.LanguageModel`."""

    model: Any
    watch: Any

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model.name)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, **kwargs: Any) -> CompletionResponseGen:
        return self._pieces(prompt)

    @llm_completion_callback()
    def complete(self, prompt: str, **kwargs: Any) -> CompletionResponse:
        *_, last = self._pieces(prompt)
        return last

    def _pieces(self, prompt: str) -> CompletionResponseGen:
        text = ""
        for piece in self.watch.generation(self.model.stream(prompt)):
            text += piece.text
            yield CompletionResponse(text=text, delta=piece.text, raw={"usage": piece.usage})


class Rag:
    """Retrieve ``k`` passages, rerank them, answer from the best."""

    def __init__(
        self, corpus: Sequence[documents.Document], k: int, keep: int, watch: Stopwatch
    ) -> None:
        minilm = MiniLm()
        set_global_tokenizer(minilm.tokens)
        splitter = TokenTextSplitter(
            chunk_size=100, chunk_overlap=10, id_func=lambda i, document: f"{document.id_}#{i}"
        )
        nodes = splitter.get_nodes_from_documents([Document(text=d.text, id_=d.id) for d in corpus])
        embedding = MiniLmEmbedding(model_name=minilm.name, minilm=minilm, watch=watch)
        index = VectorStoreIndex(nodes, embed_model=embedding)
        self._retriever = TimedRetriever(index, k, watch)
        llm = StreamingCompletion(model=language_model(minilm), watch=watch)
        prompt = PROMPT.format(context="{context_str}", question="{query_str}")
        self._engine = RetrieverQueryEngine(
            self._retriever,
            get_response_synthesizer(
                llm=llm, text_qa_template=PromptTemplate(prompt), streaming=True
            ),
            node_postprocessors=[LateInteractionRerank(minilm=minilm, watch=watch, keep=keep)],
        )

    def answer(self, question: str) -> Answer:
        response = self._engine.query(question)
        text = "".join(response.response_gen)
        found = [n.node_id for n in self._retriever.found]
        return Answer(text, found, [n.node_id for n in response.source_nodes])


def main() -> None:
    args = command_line("Answer questions from documents with LlamaIndex.").parse_args()
    provider = set_up_tracing()
    LlamaIndexInstrumentor().instrument()
    watch = Stopwatch()
    rag = Rag(documents.read_documents(args.docs), args.k, args.keep, watch)
    ask(args.questions, rag.answer, watch, provider)


if __name__ == "__main__":
    main()
