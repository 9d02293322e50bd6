"""Functions that hand settings to Haystack."""

from __future__ import annotations

from collections.abc import Iterator
from string import Template

from api.snippets.knobs import CANDIDATES, Knobs, tuned_index


def functions(knobs: Knobs) -> Iterator[str]:
    if "chunk.tokens" in knobs:
        template, remark = knobs.splitter(_SPLITTERS, "Haystack")
        yield Template(template).substitute(overlap=knobs.overlap, remark=remark)
    if knobs.candidates:
        yield CANDIDATES.substitute(candidates=knobs.candidates)
    if knobs.mode == "hybrid":
        best = "candidates()" if knobs.candidates else "None"
        yield _FUSION.substitute(weights=knobs.weights, best=best)
    yield from tuned_index(knobs, "wherever your document store keeps it")
    yield from _run(knobs)


def _run(knobs: Knobs) -> Iterator[str]:
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
        yield _RUN.substitute(lines="".join(f"        {line},\n" for line in arguments))


_RECURSIVE = '''
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

_FIXED = '''
def make_splitter():
    """Haystack counts tokens with tiktoken's o200k_base, which it downloads."""
    from haystack.components.preprocessors import DocumentSplitter

${remark}    return DocumentSplitter(
        split_by="token",
        split_length=CONFIG["chunk.tokens"],
        split_overlap=$overlap,
    )
'''

_SPLITTERS = {
    "recursive": _RECURSIVE % r'["\n\n", "\n", ". ", " "]',
    "sentence": _RECURSIVE % '[". ", "! ", "? ", " "]',
    "fixed": _FIXED,
}

_FUSION = Template('''
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

_RUN = Template('''
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
