"""Snippets are executed, and what they make is run in the frameworks themselves."""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.snippets import FORMATS, Format, snippet
from autorag.errors import InputError
from autorag.pipeline.packages import minilm_tokenizer_file

TEXT = "\n\n".join(
    " ".join(f"Sentence {i} of paragraph {p} is short." for i in range(8)) for p in range(5)
)

CHUNKS = {"chunk.splitter": "recursive", "chunk.tokens": 40, "chunk.overlap": 0.2}
DENSE = {"retrieve.mode": "dense", "retrieve.k": 3}
HYBRID = {"retrieve.mode": "hybrid", "retrieve.alpha": 0.75, "retrieve.k": 3}
RERANKED = {"retrieve.k": 2, "rerank.model": "maxsim", "rerank.depth": 5}
ANSWERS = {"generate.contexts": 2, "generate.max_tokens": 48}
ALL = {
    **CHUNKS,
    **HYBRID,
    **RERANKED,
    **ANSWERS,
    "retrieve.nprobe": 4,
    "retrieve.ef_search": 32,
    "my.knob": "it's",
}

Tokenizer = Any


def run(format_: Format, settings: dict[str, Any], title: str = "revision 1") -> SimpleNamespace:
    """What a snippet defines."""
    names: dict[str, Any] = {}
    exec(compile(snippet(format_, settings, title), "snippet", "exec"), names)
    return SimpleNamespace(**{name: v for name, v in names.items() if not name.startswith("__")})


def functions(format_: Format, settings: dict[str, Any]) -> set[str]:
    return set(vars(run(format_, settings))) - {"CONFIG"}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    from transformers import PreTrainedTokenizerFast

    loaded = PreTrainedTokenizerFast(tokenizer_file=str(minilm_tokenizer_file()))
    loaded.backend_tokenizer.no_truncation()
    return loaded


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


class TestSource:
    @pytest.mark.parametrize("format_", FORMATS)
    def test_the_first_line_is_the_title(self, format_: Format) -> None:
        assert snippet(format_, ALL, "Shop, revision 7").startswith("# Shop, revision 7\n# For ")

    @pytest.mark.parametrize("format_", FORMATS)
    def test_lines_are_of_usual_length_and_clean(self, format_: Format) -> None:
        for line in snippet(format_, ALL, "t").splitlines():
            assert len(line) <= 100
            assert line == line.rstrip()

    @pytest.mark.parametrize("format_", FORMATS)
    def test_config_holds_every_setting(self, format_: Format) -> None:
        assert run(format_, ALL).CONFIG == ALL

    @pytest.mark.parametrize("format_", FORMATS)
    def test_no_settings_make_an_empty_config(self, format_: Format) -> None:
        assert vars(run(format_, {})) == {"CONFIG": {}}

    @pytest.mark.parametrize("format_", FORMATS)
    def test_own_knobs_are_in_the_config_alone(self, format_: Format) -> None:
        assert functions(format_, {"my.knob": 3, "chunk.strategy": "late"}) == set()

    @pytest.mark.parametrize("format_", FORMATS)
    def test_nothing_is_imported_before_it_is_needed(self, format_: Format) -> None:
        assert "\nimport" not in snippet(format_, ALL, "t")
        assert "\nfrom" not in snippet(format_, ALL, "t")

    @pytest.mark.parametrize(
        ("settings", "defined"),
        [
            ({"chunk.tokens": 64}, {"make_splitter"}),
            ({"chunk.overlap": 0.1}, set()),
            ({"retrieve.k": 5}, {"candidates", "search_arguments", "make_retriever"}),
            ({"retrieve.k": 5, "retrieve.mode": "lexical"}, {"candidates"}),
            ({"retrieve.alpha": 0.5}, {"make_retriever"}),
            ({"retrieve.alpha": 0.5, "retrieve.mode": "dense"}, set()),
            ({"retrieve.nprobe": 5}, {"tune_index"}),
            ({"rerank.model": "none"}, set()),
            ({"generate.contexts": 5}, {"contexts"}),
            ({"generate.max_tokens": 5}, {"limited"}),
        ],
    )
    def test_functions_follow_the_knobs(self, settings: dict[str, Any], defined: set[str]) -> None:
        assert functions("langchain", settings) == defined

    @pytest.mark.parametrize("format_", FORMATS)
    @pytest.mark.parametrize(
        ("settings", "fetched"),
        [
            (DENSE, 3),
            ({**DENSE, "rerank.model": "none", "rerank.depth": 20}, 3),
            (RERANKED, 5),
            ({"rerank.depth": 4}, 4),
            ({**RERANKED, "retrieve.k": 9}, 9),
        ],
    )
    def test_as_many_are_fetched_as_are_reranked_or_ranked(
        self, format_: Format, settings: dict[str, Any], fetched: int
    ) -> None:
        assert run(format_, settings).candidates() == fetched

    @pytest.mark.parametrize("format_", FORMATS)
    def test_functions_follow_an_updated_config(self, format_: Format) -> None:
        defined = run(format_, RERANKED)
        defined.CONFIG.update({"rerank.depth": 50})
        assert defined.candidates() == 50


class TestQuoting:
    nasty = st.text() | st.sampled_from(['"""', "'", "\\", "\n", "$x ${y}", "\ud800", "\u2028"])
    scalars = nasty | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    values = st.recursive(
        scalars | st.booleans() | st.none(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )

    @given(
        st.sampled_from(FORMATS), st.dictionaries(nasty | st.sampled_from([*ALL]), values), nasty
    )
    def test_any_setting_arrives_and_no_title_runs(
        self, format_: Format, settings: dict[str, Any], title: str
    ) -> None:
        names: dict[str, Any] = {}
        exec(compile(snippet(format_, settings, title).encode(), "s", "exec"), names)
        assert names["CONFIG"] == settings

    @pytest.mark.parametrize(
        "title", ["a\nraise SystemExit", "b\r\nraise SystemExit", "c\x0craise SystemExit", "\0"]
    )
    def test_a_title_of_several_lines_is_one_comment(self, title: str) -> None:
        assert run("langchain", {}, title).CONFIG == {}

    def test_a_title_declares_no_encoding(self, tmp_path: Any) -> None:
        path = tmp_path / "snippet.py"
        path.write_text(snippet("langchain", {"a": "ä"}, "Settings of coding: nowhere"), "utf-8")
        names: dict[str, Any] = {}
        exec(compile(path.read_bytes(), path, "exec"), names)
        assert names["CONFIG"] == {"a": "ä"}

    def test_a_splitter_of_any_name_stays_in_its_comment(self) -> None:
        settings = {**CHUNKS, "chunk.splitter": "x\n    raise SystemExit #"}
        config = run("langchain", settings).CONFIG
        assert config == settings

    @pytest.mark.parametrize("value", [math.nan, math.inf, [math.nan], object(), np.float64(1)])
    def test_a_value_that_is_no_json_is_refused(self, value: Any) -> None:
        with pytest.raises(InputError, match=r"my\.knob") as raised:
            snippet("haystack", {"my.knob": value}, "t")
        assert raised.value.key == "my.knob"

    def test_an_unknown_format_is_refused(self) -> None:
        with pytest.raises(InputError, match="langchain, llamaindex, haystack") as raised:
            snippet("dspy", {}, "t")  # type: ignore[arg-type]
        assert (raised.value.key, raised.value.value) == ("format", "dspy")


class TestFaiss:
    """One function, whatever the framework."""

    @staticmethod
    def index(description: str) -> Any:
        vectors = np.random.default_rng(0).random((400, 8), dtype=np.float32)
        index = faiss.index_factory(8, description)
        index.train(vectors)
        return index

    @pytest.mark.parametrize("format_", FORMATS)
    @pytest.mark.parametrize("description", ["IVF8,Flat", "IDMap2,IVF8,SQ8"])
    def test_nprobe(self, format_: Format, description: str) -> None:
        index = self.index(description)
        run(format_, {"retrieve.nprobe": 6}).tune_index(index)
        assert faiss.extract_index_ivf(index).nprobe == 6

    @pytest.mark.parametrize("format_", FORMATS)
    def test_ef_search(self, format_: Format) -> None:
        index = self.index("HNSW16,Flat")
        run(format_, {"retrieve.ef_search": 77}).tune_index(index)
        assert index.hnsw.efSearch == 77


def reach(texts: Sequence[str], count: Callable[[str], int]) -> None:
    """Chunks of at most 40 tokens that hold everything and overlap."""
    assert len(texts) > 3
    assert max(map(count, texts)) <= 40
    assert all(f"Sentence {i} of paragraph {p}" in " ".join(texts) for i in (0, 7) for p in (0, 4))
    assert sum(map(len, texts)) > len(TEXT)


class TestLangChain:
    @pytest.fixture
    def store(self) -> Any:
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from langchain_core.vectorstores import InMemoryVectorStore

        store = InMemoryVectorStore(DeterministicFakeEmbedding(size=16))
        store.add_texts([f"text {i}" for i in range(10)])
        return store

    @pytest.mark.parametrize("splitter", ["recursive", "sentence", "fixed", "content_defined"])
    def test_splitter(self, splitter: str, tokenizer: Tokenizer) -> None:
        settings = {**CHUNKS, "chunk.splitter": splitter}
        made = run("langchain", settings).make_splitter(tokenizer)
        reach(made.split_text(TEXT), lambda text: len(tokenizer.tokenize(text)))
        said = "no splitter" in snippet("langchain", settings, "t")
        assert said == (splitter == "content_defined")

    def test_sentences_stay_whole(self, tokenizer: Tokenizer) -> None:
        settings = {"chunk.splitter": "sentence", "chunk.tokens": 40}
        chunks = run("langchain", settings).make_splitter(tokenizer).split_text(TEXT)
        assert all(c.startswith("Sentence") and c.endswith(".") for c in chunks)

    def test_a_dense_retriever_finds_k_and_takes_another_with_a_question(self, store: Any) -> None:
        defined = run("langchain", DENSE)
        retriever = defined.make_retriever(store)
        assert len(retriever.invoke("text 1")) == 3
        defined.CONFIG["retrieve.k"] = 7
        config = {"configurable": {"search_kwargs": defined.search_arguments()}}
        assert len(retriever.invoke("text 1", config)) == 7

    @pytest.mark.parametrize(("alpha", "first"), [(1.0, "dense"), (0.0, "lexical")])
    def test_a_hybrid_retriever_weighs_its_lists(self, alpha: float, first: str) -> None:
        pytest.importorskip("langchain_classic")
        from langchain_core.documents import Document
        from langchain_core.retrievers import BaseRetriever

        class Fixed(BaseRetriever):
            name_: str

            def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
                return [Document(f"{self.name_} {i}") for i in range(4)]

        class Store:
            def as_retriever(self, search_kwargs: dict[str, Any]) -> BaseRetriever:
                assert search_kwargs == {"k": 3}
                return Fixed(name_="dense")

        defined = run("langchain", {**HYBRID, "retrieve.alpha": alpha})
        found = defined.make_retriever(Store(), Fixed(name_="lexical")).invoke("q")
        assert [d.page_content for d in found] == [f"{first} {i}" for i in range(3)]
        both = run("langchain", {"retrieve.alpha": alpha})
        everything = both.make_retriever(Fixed(name_="dense"), Fixed(name_="lexical")).invoke("q")
        assert everything[0].page_content == f"{first} 0"
        assert len(everything) == 8

    def test_a_reranker_keeps_the_best_k(self) -> None:
        pytest.importorskip("langchain_classic")
        from langchain_core.cross_encoders import BaseCrossEncoder
        from langchain_core.documents import Document

        class Longest(BaseCrossEncoder):
            def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
                return [float(len(text)) for _, text in text_pairs]

        reranker = run("langchain", RERANKED).make_reranker(Longest())
        documents = [Document("x" * n) for n in (1, 5, 3)]
        best = reranker.compress_documents(documents, "q")
        assert [len(d.page_content) for d in best] == [5, 3]

    def test_the_model_is_called_with_the_longest_answer(self) -> None:
        from langchain_core.language_models import FakeListChatModel

        asked: dict[str, Any] = {}

        class Model(FakeListChatModel):
            def _call(self, *args: Any, **kwargs: Any) -> str:
                asked.update(kwargs)
                return super()._call(*args, **kwargs)

        run("langchain", ANSWERS).limited(Model(responses=["a"])).invoke("q")
        assert asked["max_tokens"] == 48

    def test_contexts_are_the_first(self) -> None:
        assert run("langchain", ANSWERS).contexts(["a", "b", "c"]) == ["a", "b"]


class TestLlamaIndex:
    @pytest.fixture
    def index(self) -> Any:
        from llama_index.core import MockEmbedding, VectorStoreIndex
        from llama_index.core.schema import TextNode

        nodes = [TextNode(text=f"text {i}", id_=str(i)) for i in range(10)]
        return VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=4))

    @pytest.mark.parametrize("splitter", ["recursive", "sentence", "fixed", "content_defined"])
    def test_splitter(self, splitter: str, tokenizer: Tokenizer) -> None:
        settings = {**CHUNKS, "chunk.splitter": splitter}
        made = run("llamaindex", settings).make_splitter(tokenizer.tokenize)
        reach(made.split_text(TEXT), lambda text: len(tokenizer.tokenize(text)))

    def test_a_dense_retriever_finds_k_and_takes_another_while_running(self, index: Any) -> None:
        defined = run("llamaindex", DENSE)
        retriever = defined.make_retriever(index)
        assert len(retriever.retrieve("q")) == 3
        defined.CONFIG["retrieve.k"] = 7
        defined.apply(retriever)
        assert len(retriever.retrieve("q")) == 7

    @pytest.mark.parametrize("alpha", [1.0, 0.75, 0.0])
    def test_a_hybrid_retriever_weighs_scores(self, index: Any, alpha: float) -> None:
        from llama_index.core.retrievers import BaseRetriever
        from llama_index.core.schema import NodeWithScore, TextNode

        class Fixed(BaseRetriever):
            def __init__(self, scores: dict[str, float]) -> None:
                self.scores = scores
                super().__init__()

            def _retrieve(self, query_bundle: Any) -> list[NodeWithScore]:
                return [NodeWithScore(node=TextNode(text=t), score=s) for t, s in scored(self)]

        def scored(retriever: Fixed) -> list[tuple[str, float]]:
            return list(retriever.scores.items())

        dense = Fixed({"a": 0.9, "b": 0.8, "c": 0.7})
        lexical = Fixed({"c": 12.0, "b": 9.0, "d": 2.0})
        standing_in = SimpleNamespace(as_retriever=lambda similarity_top_k: dense)
        retriever = run("llamaindex", {**HYBRID, "retrieve.alpha": alpha}).make_retriever(
            standing_in, lexical
        )
        expected = {
            "a": alpha,
            "b": alpha * 0.5 + (1 - alpha) * 0.7,
            "c": 1 - alpha,
            "d": 0.0,
        }
        best = sorted(expected, key=lambda t: -expected[t])[:3]
        found = {n.node.get_content(): n.score for n in retriever.retrieve("q")}
        assert len(found) == 3
        assert all(found[t] == pytest.approx(expected[t]) for t in found)
        assert sorted(found.values()) == pytest.approx(sorted(expected[t] for t in best))

    def test_a_hybrid_retriever_of_a_real_index(self, index: Any) -> None:
        retriever = run("llamaindex", HYBRID).make_retriever(index, index.as_retriever())
        assert len(retriever.retrieve("q")) == 3
        assert (
            run("llamaindex", {"retrieve.alpha": 0.5})
            .make_retriever(index, index.as_retriever())
            .retrieve("q")
        )

    def test_what_runs_takes_the_settings(self, index: Any) -> None:
        from llama_index.core.llms import MockLLM
        from llama_index.core.postprocessor import LLMRerank

        retriever, llm = index.as_retriever(), MockLLM()
        reranker = LLMRerank(llm=llm)
        run("llamaindex", {**RERANKED, **ANSWERS}).apply(retriever, reranker, llm)
        assert (retriever.similarity_top_k, reranker.top_n, llm.max_tokens) == (5, 2, 48)
        assert len(llm.complete("word " * 100).text.split()) == 48

    def test_contexts_are_the_first(self) -> None:
        assert run("llamaindex", ANSWERS).contexts(["a", "b", "c"]) == ["a", "b"]


class TestHaystack:
    @pytest.fixture
    def byte_tokens(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """The encoding that Haystack asks for is downloaded; this one is a token a byte."""
        import tiktoken

        ranks = {bytes([i]): i for i in range(256)}
        encoding = tiktoken.Encoding(
            "bytes", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={}
        )
        monkeypatch.setattr(tiktoken, "get_encoding", lambda _: encoding)
        return encoding

    @pytest.fixture
    def store(self) -> Any:
        from haystack import Document
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        store = InMemoryDocumentStore(embedding_similarity_function="cosine")
        rows = {"near": ([1.0, 0.0], "stone wall"), "words": ([0.0, 1.0], "apple apple pie")}
        others = {f"other {i}": ([-1.0, i / 10], f"nothing {i}") for i in range(8)}
        store.write_documents(
            [Document(i, content=t, embedding=e) for i, (e, t) in {**rows, **others}.items()]
        )
        return store

    @pytest.mark.parametrize("splitter", ["recursive", "sentence", "fixed", "content_defined"])
    def test_splitter(self, splitter: str, byte_tokens: Any) -> None:
        from haystack import Document

        made = run("haystack", {**CHUNKS, "chunk.splitter": splitter}).make_splitter()
        made.warm_up()
        chunks = [d.content for d in made.run([Document(content=TEXT)])["documents"]]
        assert len(chunks) > 3
        assert max(len(byte_tokens.encode(c)) for c in chunks) <= 40
        assert sum(map(len, chunks)) > len(TEXT)

    def test_a_module_with_lazy_annotations_can_hold_the_snippet(self) -> None:
        from haystack import Document

        source = "from __future__ import annotations\n" + snippet("haystack", HYBRID, "t")
        names: dict[str, Any] = {}
        exec(compile(source, "s", "exec", dont_inherit=True), names)
        assert names["make_fusion"]().__haystack_input__.dense.type == list[Document]

    @pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
    @pytest.mark.parametrize(("alpha", "first"), [(0.9, "near"), (0.1, "words")])
    def test_fusion_weighs_the_right_list_whatever_runs_first(
        self, store: Any, names: tuple[str, str], alpha: float, first: str
    ) -> None:
        from haystack import Pipeline
        from haystack.components.retrievers import InMemoryBM25Retriever, InMemoryEmbeddingRetriever

        dense, lexical = names
        defined = run("haystack", {**HYBRID, "retrieve.alpha": alpha})
        pipeline = Pipeline()
        pipeline.add_component(dense, InMemoryEmbeddingRetriever(store))
        pipeline.add_component(lexical, InMemoryBM25Retriever(store))
        pipeline.add_component("fusion", defined.make_fusion())
        pipeline.connect(dense, "fusion.dense")
        pipeline.connect(lexical, "fusion.lexical")
        asked = {dense: {"query_embedding": [1.0, 0.0]}, lexical: {"query": "apple"}}
        found = pipeline.run(asked)["fusion"]["documents"]
        assert found[0].id == first
        assert found[0].score == pytest.approx(max(alpha, 1 - alpha), abs=0.06)
        assert len(found) == 3

    def test_fusion_of_nothing_found_and_of_equal_scores(self) -> None:
        from haystack import Document

        fusion = run("haystack", {"retrieve.alpha": 0.5}).make_fusion()
        assert fusion.run(dense=[], lexical=[])["documents"] == []
        same = [Document("a", content="a", score=3.0), Document("b", content="b", score=3.0)]
        assert [d.score for d in fusion.run(dense=same, lexical=[])["documents"]] == [0.5, 0.5]

    def test_a_pipeline_takes_the_settings_at_run_time(self, store: Any) -> None:
        from haystack import Document, Pipeline, component
        from haystack.components.builders import PromptBuilder
        from haystack.components.retrievers import InMemoryEmbeddingRetriever

        asked: dict[str, Any] = {}

        @component
        class Ranker:
            @component.output_types(documents=list[Document])
            def run(self, documents: list[Document], top_k: int = 10) -> dict[str, Any]:
                asked["reranked"] = len(documents)
                return {"documents": documents[:top_k]}

        @component
        class Generator:
            @component.output_types(replies=list[str])
            def run(
                self, prompt: str, generation_kwargs: dict[str, Any] | None = None
            ) -> dict[str, Any]:
                asked.update(generation_kwargs or {})
                return {"replies": [prompt]}

        template = "{% for document in documents[:contexts] %}{{ document.id }},{% endfor %}"
        pipeline = Pipeline()
        pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store))
        pipeline.add_component("ranker", Ranker())
        pipeline.add_component("prompt", PromptBuilder(template, required_variables="*"))
        pipeline.add_component("generator", Generator())
        pipeline.connect("retriever", "ranker")
        pipeline.connect("ranker", "prompt.documents")
        pipeline.connect("prompt", "generator")
        defined = run("haystack", {**RERANKED, **ANSWERS, "retrieve.k": 3})
        inputs = {"retriever": {"query_embedding": [1.0, 0.0]}}
        result = pipeline.run(defined.run_arguments(inputs))
        assert result["generator"]["replies"] == ["near,words,"]
        assert asked == {"reranked": 5, "max_tokens": 48}

    def test_both_retrievers_of_a_hybrid_are_told(self) -> None:
        arguments = run("haystack", HYBRID).run_arguments({"lexical_retriever": {"query": "q"}})
        assert arguments == {
            "retriever": {"top_k": 3},
            "lexical_retriever": {"top_k": 3, "query": "q"},
        }
