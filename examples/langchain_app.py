"""Questions answered from documents with LangChain, traced by OpenInference or OpenLLMetry.

python examples/langchain_app.py "How do I copy a directory tree?"
python examples/langchain_app.py --instrumentation openllmetry --docs notes/
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

os.environ["LANGSMITH_TRACING"] = "false"

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter
from parts import documents
from parts.answering import PROMPT, language_model
from parts.asking import Answer, ask, command_line
from parts.minilm import MiniLm
from parts.stopwatch import Stopwatch
from parts.telemetry import set_up_tracing


class MiniLmEmbeddings(Embeddings):
    def __init__(self, minilm: MiniLm, watch: Stopwatch) -> None:
        self._minilm = minilm
        self._watch = watch

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._minilm.embed(texts)

    def embed_query(self, text: str) -> list[float]:
        with self._watch.stage("embed"):
            return self._minilm.embed([text])[0]


class TimedVectorStore(InMemoryVectorStore):
    """Times the search; the question is embedded within it."""

    def __init__(self, embedding: Embeddings, watch: Stopwatch) -> None:
        super().__init__(embedding)
        self._watch = watch

    def similarity_search(self, *args: Any, **kwargs: Any) -> list[Document]:
        with self._watch.stage("retrieve"):
            return super().similarity_search(*args, **kwargs)


class StreamingChat(BaseChatModel):
    """LangChain's interface to a :class:`parts.answering.LanguageModel`."""

    model: Any
    watch: Any

    @property
    def _llm_type(self) -> str:
        return "example"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model.name}

    def _stream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for piece in self.watch.generation(self.model.stream(messages[-1].text)):
            usage = piece.usage and UsageMetadata(
                input_tokens=piece.usage["prompt_tokens"],
                output_tokens=piece.usage["completion_tokens"],
                total_tokens=piece.usage["total_tokens"],
            )
            message = AIMessageChunk(piece.text, usage_metadata=usage)
            yield ChatGenerationChunk(message=message)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages))


class Rag:
    """Retrieve ``k`` passages, rerank them, answer from the best."""

    def __init__(
        self, corpus: Sequence[documents.Document], k: int, keep: int, watch: Stopwatch
    ) -> None:
        self._keep = keep
        self._watch = watch
        self._minilm = MiniLm()
        splitter = RecursiveCharacterTextSplitter(chunk_size=400, chunk_overlap=40)
        passages = splitter.split_documents(
            Document(d.text, metadata={"source": d.id}) for d in corpus
        )
        ids = [f"{p.metadata['source']}#{i}" for i, p in enumerate(passages)]
        store = TimedVectorStore(MiniLmEmbeddings(self._minilm, watch), watch)
        store.add_documents(passages, ids=ids)
        self._retriever = store.as_retriever(search_kwargs={"k": k})
        self._reranker = RunnableLambda(self._rerank, name="rerank")
        self._prompt = ChatPromptTemplate.from_template(PROMPT)
        self._chat = StreamingChat(model=language_model(self._minilm), watch=watch)
        self._chain = RunnableLambda(self._answer, name="rag")

    def answer(self, question: str) -> Answer:
        return self._chain.invoke(question)

    def _answer(self, question: str) -> Answer:
        found = self._retriever.invoke(question)
        best = self._reranker.invoke({"question": question, "documents": found})
        context = "\n\n".join(d.page_content for d in best)
        prompt = self._prompt.invoke({"context": context, "question": question})
        reply = AIMessageChunk("")
        for chunk in self._chat.stream(prompt):
            reply += chunk
        return Answer(reply.text, [d.id for d in found], [d.id for d in best])

    def _rerank(self, asked: dict[str, Any]) -> list[Document]:
        with self._watch.stage("rerank"):
            found = asked["documents"]
            scores = self._minilm.relevance(asked["question"], [d.page_content for d in found])
            order = sorted(range(len(found)), key=lambda i: -scores[i])
            return [found[i] for i in order[: self._keep]]


def instrument(convention: str) -> None:
    if convention == "openllmetry":
        from opentelemetry.instrumentation.langchain import LangchainInstrumentor as Instrumentor
    else:
        from openinference.instrumentation.langchain import LangChainInstrumentor as Instrumentor
    Instrumentor().instrument()


def main() -> None:
    parser = command_line("Answer questions from documents with LangChain.")
    conventions = ("openinference", "openllmetry")
    parser.add_argument("--instrumentation", choices=conventions, default=conventions[0])
    args = parser.parse_args()
    provider = set_up_tracing()
    instrument(args.instrumentation)
    watch = Stopwatch()
    rag = Rag(documents.read_documents(args.docs), args.k, args.keep, watch)
    ask(args.questions, rag.answer, watch, provider)


if __name__ == "__main__":
    main()
