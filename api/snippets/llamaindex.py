"""Functions that hand settings to LlamaIndex."""

from __future__ import annotations

from collections.abc import Iterator
from string import Template

from api.snippets.knobs import CANDIDATES, CONTEXTS, Knobs, tuned_index


def functions(knobs: Knobs) -> Iterator[str]:
    if "chunk.tokens" in knobs:
        splitter, remark = knobs.splitter(_SPLITTERS, "LlamaIndex")
        yield _SPLITTER.substitute(overlap=knobs.overlap, splitter=splitter, remark=remark)
    if knobs.candidates:
        yield CANDIDATES.substitute(candidates=knobs.candidates)
        if knobs.mode != "lexical":
            yield _SEARCH
    if knobs.mode == "hybrid":
        arguments = "**search_arguments()" if knobs.candidates else ""
        yield _HYBRID.substitute(
            weights=knobs.weights, arguments=arguments, more=f", {arguments}" if arguments else ""
        )
    elif knobs.mode == "dense" and knobs.candidates:
        yield _DENSE
    yield from tuned_index(knobs, "``vector_store.client`` of LlamaIndex's FaissVectorStore")
    yield from _apply(knobs)
    if "generate.contexts" in knobs:
        yield CONTEXTS.substitute(passages="nodes")


def _apply(knobs: Knobs) -> Iterator[str]:
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
        yield _APPLY.substitute(names=", ".join(changes), lines=lines)


_SPLITTERS = {
    "recursive": "SentenceSplitter",
    "sentence": "SentenceSplitter",
    "fixed": "TokenTextSplitter",
}

_SPLITTER = Template('''
def make_splitter(tokenizer):
    """``tokenizer``: text to tokens, such as AutoTokenizer.from_pretrained(...).tokenize."""
    from llama_index.core.node_parser import $splitter

${remark}    return $splitter(
        tokenizer=tokenizer,
        chunk_size=CONFIG["chunk.tokens"],
        chunk_overlap=$overlap,
    )
''')

_SEARCH = '''
def search_arguments():
    """For ``index.as_retriever(...)`` and ``index.as_query_engine(...)``."""
    return {"similarity_top_k": candidates()}
'''

_DENSE = """
def make_retriever(index):
    return index.as_retriever(**search_arguments())
"""

_HYBRID = Template('''
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

_APPLY = Template('''
def apply($names):
    """Changes what is running."""
$lines''')
