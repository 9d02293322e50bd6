"""Functions that hand settings to LangChain."""

from __future__ import annotations

from collections.abc import Iterator
from string import Template

from api.snippets.knobs import CANDIDATES, CONTEXTS, Knobs, tuned_index


def functions(knobs: Knobs) -> Iterator[str]:
    if "chunk.tokens" in knobs:
        separators, remark = knobs.splitter(_SEPARATORS, "LangChain")
        yield _SPLITTER.substitute(overlap=knobs.overlap, separators=separators, remark=remark)
    if knobs.candidates:
        yield CANDIDATES.substitute(candidates=knobs.candidates)
        if knobs.mode != "lexical":
            yield _SEARCH
    if knobs.mode == "hybrid":
        yield (_HYBRID if knobs.candidates else _HYBRID_ALL).substitute(weights=knobs.weights)
    elif knobs.mode == "dense" and knobs.candidates:
        yield _DENSE
    yield from tuned_index(knobs, "``vectorstore.index`` of LangChain's FAISS")
    if knobs.reranks and "retrieve.k" in knobs:
        yield _RERANKER
    if "generate.contexts" in knobs:
        yield CONTEXTS.substitute(passages="documents")
    if "generate.max_tokens" in knobs:
        yield _LIMITED


_SEPARATORS = {
    "recursive": "",
    "sentence": '        separators=[". ", "! ", "? ", " ", ""],\n        keep_separator="end",\n',
    "fixed": '        separators=[" ", ""],\n',
}

_SPLITTER = Template('''
def make_splitter(tokenizer):
    """``tokenizer``: of Hugging Face, AutoTokenizer.from_pretrained(...)."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

${remark}    return RecursiveCharacterTextSplitter.from_huggingface_tokenizer(
        tokenizer,
        chunk_size=CONFIG["chunk.tokens"],
        chunk_overlap=$overlap,
$separators    )
''')

_SEARCH = '''
def search_arguments():
    """For ``vectorstore.as_retriever(search_kwargs=...)``."""
    return {"k": candidates()}
'''

_DENSE = '''
def make_retriever(vectorstore):
    """A retriever that takes new settings with a question:
    ``retriever.invoke(question, {"configurable": {"search_kwargs": search_arguments()}})``.
    """
    from langchain_core.runnables import ConfigurableField

    retriever = vectorstore.as_retriever(search_kwargs=search_arguments())
    return retriever.configurable_fields(search_kwargs=ConfigurableField(id="search_kwargs"))
'''

_HYBRID = Template('''
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

_HYBRID_ALL = Template('''
def make_retriever(dense, lexical):
    """Of two retrievers. The weights mix ranks here, where AutoRAG mixes scores. Make it again for
    new settings: that builds nothing.
    """
    from langchain_classic.retrievers import EnsembleRetriever

    weights = $weights
    return EnsembleRetriever(retrievers=[dense, lexical], weights=weights)
''')

_RERANKER = '''
def make_reranker(cross_encoder):
    """``cross_encoder``: scores pairs of texts, such as HuggingFaceCrossEncoder. Then
    ``reranker.compress_documents(documents, question)``.
    """
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker

    return CrossEncoderReranker(model=cross_encoder, top_n=CONFIG["retrieve.k"])
'''

_LIMITED = '''
def limited(model):
    """The chat model with the longest answer set."""
    return model.bind(max_tokens=CONFIG["generate.max_tokens"])
'''
