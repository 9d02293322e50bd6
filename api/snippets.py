"""Settings as source text to paste into an app made with LangChain, LlamaIndex or Haystack.

A snippet is a dictionary ``CONFIG`` and small functions that hand its values to the framework. Only
what the settings name is there: an app may have declared some of the knobs, and knobs of its own,
which are in ``CONFIG`` alone. Names of the reference pipeline mean what they mean there. Functions
read ``CONFIG`` when they are called and import their framework then.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from string import Template
from typing import Any, Literal, get_args

from autorag.errors import InputError

Format = Literal["langchain", "llamaindex", "haystack"]
FORMATS: tuple[Format, ...] = get_args(Format)

_NAMES: dict[Format, str] = {
    "langchain": "LangChain",
    "llamaindex": "LlamaIndex",
    "haystack": "Haystack",
}


def snippet(format: Format, settings: Mapping[str, Any], title: str) -> str:  # noqa: A002
    """Python source text that applies ``settings``; its first line is the comment ``title``.

    Raises:
        InputError: an unknown format, or a setting that cannot be written down.
    """
    if format not in FORMATS:
        raise InputError(
            f"unknown format {format!r}: say {', '.join(FORMATS)}", key="format", value=format
        )
    functions = {"langchain": _langchain, "llamaindex": _llamaindex, "haystack": _haystack}[format]
    head = _HEAD.substitute(title=_comment(title), framework=_NAMES[format])
    blocks = [head + _config(settings), *functions(_Knobs(settings))]
    return "\n\n\n".join(block.strip("\n") for block in blocks) + "\n"


class _Knobs:
    """What the settings say, as expressions over ``CONFIG``."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def __contains__(self, knob: str) -> bool:
        return knob in self._settings

    @property
    def mode(self) -> str:
        """dense, lexical or hybrid; a fusion weight alone says hybrid."""
        return str(
            self._settings.get("retrieve.mode", "hybrid" if "retrieve.alpha" in self else "dense")
        )

    @property
    def reranks(self) -> bool:
        if self._settings.get("rerank.model") == "none":
            return False
        return "rerank.model" in self or "rerank.depth" in self

    @property
    def candidates(self) -> str | None:
        """How many passages are fetched, before any are reranked."""
        names = ["retrieve.k", *(["rerank.depth"] if self.reranks else [])]
        found = [f'CONFIG["{name}"]' for name in names if name in self]
        return f"max({', '.join(found)})" if len(found) > 1 else next(iter(found), None)

    @property
    def overlap(self) -> str:
        """In tokens."""
        share = "chunk.overlap" in self
        return 'int(CONFIG["chunk.tokens"] * CONFIG["chunk.overlap"])' if share else "0"

    @property
    def weights(self) -> str:
        """Of the dense and the lexical list."""
        known = "retrieve.alpha" in self
        return '[CONFIG["retrieve.alpha"], 1 - CONFIG["retrieve.alpha"]]' if known else "[0.5, 0.5]"

    def splitter(self, known: Mapping[str, str], framework: str) -> tuple[str, str]:
        """The name of a template among ``known``, and a remark where it is only the nearest."""
        wanted = self._settings.get("chunk.splitter", "recursive")
        if isinstance(wanted, str) and wanted in known:
            return known[wanted], ""
        remark = f"    # {framework} has no splitter {_comment(repr(wanted))}: this is recursive.\n"
        return known["recursive"], remark


def _langchain(knobs: _Knobs) -> Iterator[str]:
    if "chunk.tokens" in knobs:
        separators, remark = knobs.splitter(_LANGCHAIN_SEPARATORS, "LangChain")
        yield _LANGCHAIN_SPLITTER.substitute(
            overlap=knobs.overlap, separators=separators, remark=remark
        )
    if knobs.candidates:
        yield _CANDIDATES.substitute(candidates=knobs.candidates)
        if knobs.mode != "lexical":
            yield _LANGCHAIN_SEARCH
    if knobs.mode == "hybrid":
        yield (_LANGCHAIN_HYBRID if knobs.candidates else _LANGCHAIN_HYBRID_ALL).substitute(
            weights=knobs.weights
        )
    elif knobs.mode == "dense" and knobs.candidates:
        yield _LANGCHAIN_DENSE
    yield from _index(knobs, "``vectorstore.index`` of LangChain's FAISS")
    if knobs.reranks and "retrieve.k" in knobs:
        yield _LANGCHAIN_RERANKER
    if "generate.contexts" in knobs:
        yield _CONTEXTS.substitute(passages="documents")
    if "generate.max_tokens" in knobs:
        yield _LANGCHAIN_LIMITED


def _llamaindex(knobs: _Knobs) -> Iterator[str]:
    if "chunk.tokens" in knobs:
        splitter, remark = knobs.splitter(_LLAMAINDEX_SPLITTERS, "LlamaIndex")
        yield _LLAMAINDEX_SPLITTER.substitute(
            overlap=knobs.overlap, splitter=splitter, remark=remark
        )
    if knobs.candidates:
        yield _CANDIDATES.substitute(candidates=knobs.candidates)
        if knobs.mode != "lexical":
            yield _LLAMAINDEX_SEARCH
    if knobs.mode == "hybrid":
        arguments = "**search_arguments()" if knobs.candidates else ""
        yield _LLAMAINDEX_HYBRID.substitute(
            weights=knobs.weights, arguments=arguments, more=f", {arguments}" if arguments else ""
        )
    elif knobs.mode == "dense" and knobs.candidates:
        yield _LLAMAINDEX_DENSE
    yield from _index(knobs, "``vector_store.client`` of LlamaIndex's FaissVectorStore")
    yield from _llamaindex_apply(knobs)
    if "generate.contexts" in knobs:
        yield _CONTEXTS.substitute(passages="nodes")


def _llamaindex_apply(knobs: _Knobs) -> Iterator[str]:
    """What running objects take over without being made again."""
    changes = {}
    if knobs.candidates:
        changes["retriever"] = "retriever.similarity_top_k = candidates()"
    if knobs.reranks and "retrieve.k" in knobs:
        changes["reranker"] = 'reranker.top_n = CONFIG["retrieve.k"]'
    if "generate.max_tokens" in knobs:
        changes["llm"] = 'llm.max_tokens = CONFIG["generate.max_tokens"]'
    if changes:
        lines = "".join(f"    {line}\n" for line in changes.values())
        yield _LLAMAINDEX_APPLY.substitute(names=", ".join(changes), lines=lines)


def _haystack(knobs: _Knobs) -> Iterator[str]:
    if "chunk.tokens" in knobs:
        template, remark = knobs.splitter(_HAYSTACK_SPLITTERS, "Haystack")
        yield Template(template).substitute(overlap=knobs.overlap, remark=remark)
    if knobs.candidates:
        yield _CANDIDATES.substitute(candidates=knobs.candidates)
    if knobs.mode == "hybrid":
        best = "candidates()" if knobs.candidates else "None"
        yield _HAYSTACK_FUSION.substitute(weights=knobs.weights, best=best)
    yield from _index(knobs, "wherever your document store keeps it")
    yield from _haystack_run(knobs)


def _haystack_run(knobs: _Knobs) -> Iterator[str]:
    """What components take at run time."""
    arguments = []
    if knobs.candidates:
        arguments.append('"retriever": {"top_k": candidates()}')
        if knobs.mode == "hybrid":
            arguments.append('"lexical_retriever": {"top_k": candidates()}')
    if knobs.reranks and "retrieve.k" in knobs:
        arguments.append('"ranker": {"top_k": CONFIG["retrieve.k"]}')
    if "generate.contexts" in knobs:
        arguments.append(
            "# In its template: {% for document in documents[:contexts] %}\n"
            '        "prompt": {"contexts": CONFIG["generate.contexts"]}'
        )
    if "generate.max_tokens" in knobs:
        arguments.append(
            '"generator": {"generation_kwargs": {"max_tokens": CONFIG["generate.max_tokens"]}}'
        )
    if arguments:
        yield _HAYSTACK_RUN.substitute(lines="".join(f"        {line},\n" for line in arguments))


def _index(knobs: _Knobs, where: str) -> Iterator[str]:
    names = {"retrieve.nprobe": "nprobe", "retrieve.ef_search": "efSearch"}
    lines = [
        f'    parameters.set_index_parameter(index, "{name}", CONFIG["{knob}"])\n'
        for knob, name in names.items()
        if knob in knobs
    ]
    if lines:
        yield _INDEX.substitute(where=where, lines="".join(lines))


def _config(settings: Mapping[str, Any]) -> str:
    lines = [f"    {_text(name)}: {_literal(name, settings[name])},\n" for name in sorted(settings)]
    return f"CONFIG = {{\n{''.join(lines)}}}" if lines else "CONFIG = {}"


def _literal(name: str, value: Any) -> str:
    """A value as source text that evaluates to it and does nothing else."""
    if isinstance(value, str):
        return _text(value)
    try:
        text = repr(value)
        same = ast.literal_eval(text) == value
    except (ValueError, SyntaxError):
        same = False
    if not same:
        raise InputError(f"{name}: cannot be written down", key=name, value=value)
    return text


def _text(text: str) -> str:
    """What JSON escapes in ASCII, Python reads the same."""
    return json.dumps(text) if text.isascii() else repr(text)


def _comment(text: str) -> str:
    """One line that is a comment and nothing else: ``coding:`` would declare an encoding."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return re.sub(r"coding(?=[:=])", "coding ", line)


_HEAD = Template("""
# $title
# For $framework. The functions read CONFIG when called, so that CONFIG.update(...) is enough for
# new values of the same knobs.
""")

_CANDIDATES = Template('''
def candidates():
    """How many passages each search fetches."""
    return $candidates
''')

_CONTEXTS = Template('''
def contexts($passages):
    """What goes into the prompt, of $passages ranked best first."""
    return $passages[: CONFIG["generate.contexts"]]
''')

_INDEX = Template('''
def tune_index(index):
    """``index``: the faiss index, $where."""
    import faiss

    parameters = faiss.ParameterSpace()
$lines''')

_LANGCHAIN_SEPARATORS = {
    "recursive": "",
    "sentence": '        separators=[". ", "! ", "? ", " ", ""],\n        keep_separator="end",\n',
    "fixed": '        separators=[" ", ""],\n',
}

_LANGCHAIN_SPLITTER = Template('''
def make_splitter(tokenizer):
    """``tokenizer``: of Hugging Face, AutoTokenizer.from_pretrained(...)."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

${remark}    return RecursiveCharacterTextSplitter.from_huggingface_tokenizer(
        tokenizer,
        chunk_size=CONFIG["chunk.tokens"],
        chunk_overlap=$overlap,
$separators    )
''')

_LANGCHAIN_SEARCH = '''
def search_arguments():
    """For ``vectorstore.as_retriever(search_kwargs=...)``."""
    return {"k": candidates()}
'''

_LANGCHAIN_DENSE = '''
def make_retriever(vectorstore):
    """A retriever that takes new settings with a question:
    ``retriever.invoke(question, {"configurable": {"search_kwargs": search_arguments()}})``.
    """
    from langchain_core.runnables import ConfigurableField

    retriever = vectorstore.as_retriever(search_kwargs=search_arguments())
    return retriever.configurable_fields(search_kwargs=ConfigurableField(id="search_kwargs"))
'''

_LANGCHAIN_HYBRID = Template('''
def make_retriever(vectorstore, lexical):
    """``lexical``: a BM25Retriever with ``k=candidates()``. The weights mix ranks here, where
    AutoRAG mixes scores. Make it again for new settings: that builds nothing.
    """
    from langchain_classic.retrievers import EnsembleRetriever
    from langchain_core.runnables import RunnableLambda

    dense = vectorstore.as_retriever(search_kwargs=search_arguments())
    weights = $weights
    fused = EnsembleRetriever(retrievers=[dense, lexical], weights=weights)
    return fused | RunnableLambda(lambda found: found[: candidates()])
''')

_LANGCHAIN_HYBRID_ALL = Template('''
def make_retriever(dense, lexical):
    """Of two retrievers. The weights mix ranks here, where AutoRAG mixes scores. Make it again for
    new settings: that builds nothing.
    """
    from langchain_classic.retrievers import EnsembleRetriever

    weights = $weights
    return EnsembleRetriever(retrievers=[dense, lexical], weights=weights)
''')

_LANGCHAIN_RERANKER = '''
def make_reranker(cross_encoder):
    """``cross_encoder``: scores pairs of texts, such as HuggingFaceCrossEncoder. Then
    ``reranker.compress_documents(documents, question)``.
    """
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker

    return CrossEncoderReranker(model=cross_encoder, top_n=CONFIG["retrieve.k"])
'''

_LANGCHAIN_LIMITED = '''
def limited(model):
    """The chat model with the longest answer set."""
    return model.bind(max_tokens=CONFIG["generate.max_tokens"])
'''

_LLAMAINDEX_SPLITTERS = {
    "recursive": "SentenceSplitter",
    "sentence": "SentenceSplitter",
    "fixed": "TokenTextSplitter",
}

_LLAMAINDEX_SPLITTER = Template('''
def make_splitter(tokenizer):
    """``tokenizer``: text to tokens, such as AutoTokenizer.from_pretrained(...).tokenize."""
    from llama_index.core.node_parser import $splitter

${remark}    return $splitter(
        tokenizer=tokenizer,
        chunk_size=CONFIG["chunk.tokens"],
        chunk_overlap=$overlap,
    )
''')

_LLAMAINDEX_SEARCH = '''
def search_arguments():
    """For ``index.as_retriever(...)`` and ``index.as_query_engine(...)``."""
    return {"similarity_top_k": candidates()}
'''

_LLAMAINDEX_DENSE = """
def make_retriever(index):
    return index.as_retriever(**search_arguments())
"""

_LLAMAINDEX_HYBRID = Template('''
def make_retriever(index, lexical):
    """``lexical``: a BM25Retriever that fetches as many as the index does. Make it again for new
    weights: that builds nothing.
    """
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever

    return QueryFusionRetriever(
        retrievers=[index.as_retriever($arguments), lexical],
        retriever_weights=$weights,
        mode="relative_score",
        num_queries=1,
        llm=MockLLM(),  # Never asked: it would write more queries.
        use_async=False$more,
    )
''')

_LLAMAINDEX_APPLY = Template('''
def apply($names):
    """Changes what is running."""
$lines''')

_HAYSTACK_RECURSIVE = '''
def make_splitter():
    """Haystack counts tokens with tiktoken's o200k_base, which it downloads."""
    from haystack.components.preprocessors import RecursiveDocumentSplitter

${remark}    return RecursiveDocumentSplitter(
        split_unit="token",
        split_length=CONFIG["chunk.tokens"],
        split_overlap=$overlap,
        separators=%s,
    )
'''

_HAYSTACK_FIXED = '''
def make_splitter():
    """Haystack counts tokens with tiktoken's o200k_base, which it downloads."""
    from haystack.components.preprocessors import DocumentSplitter

${remark}    return DocumentSplitter(
        split_by="token",
        split_length=CONFIG["chunk.tokens"],
        split_overlap=$overlap,
    )
'''

_HAYSTACK_SPLITTERS = {
    "recursive": _HAYSTACK_RECURSIVE % r'["\n\n", "\n", ". ", " "]',
    "sentence": _HAYSTACK_RECURSIVE % '[". ", "! ", "? ", " "]',
    "fixed": _HAYSTACK_FIXED,
}

_HAYSTACK_FUSION = Template('''
def make_fusion():
    """A component with the inputs ``dense`` and ``lexical``. A DocumentJoiner in the pipeline takes
    its weights in the order in which retrievers happen to run.
    """
    from dataclasses import replace

    from haystack import Document, component
    from haystack.components.joiners import DocumentJoiner

    def scaled(documents):
        scores = [document.score for document in documents]
        low, span = min(scores, default=0), max(scores, default=0) - min(scores, default=0)
        return [replace(d, score=(d.score - low) / span if span else 1.0) for d in documents]

    @component
    class Fusion:
        def __init__(self):
            component.set_input_types(self, dense=list[Document], lexical=list[Document])
            component.set_output_types(self, documents=list[Document])

        def run(self, **lists):
            weights = $weights
            joiner = DocumentJoiner(join_mode="merge", weights=weights, top_k=$best)
            return joiner.run(documents=[scaled(lists["dense"]), scaled(lists["lexical"])])

    return Fusion()
''')

_HAYSTACK_RUN = Template('''
def run_arguments(inputs):
    """``pipeline.run(run_arguments({"embedder": {"text": question}, ...}))``. The names are those
    of components: write yours.
    """
    settings = {
$lines    }
    return {
        name: {**settings.get(name, {}), **inputs.get(name, {})} for name in settings | inputs
    }
''')
