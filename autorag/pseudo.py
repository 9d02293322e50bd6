"""An evaluation set from the corpus alone: held-out sentences as pseudo-queries.

A sentence is removed from its document and must find that document again. It needs no label, and
the configs it prefers are good for real queries too (the ranking of configs is what carries over,
not the absolute figures). Every result computed this way says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autorag.documents import Document
from autorag.errors import QueriesError
from autorag.evaluation.gold import GoldUnit
from autorag.queries import Query
from autorag.sentences import sentences

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
"""A word, or one character of a script written without spaces."""

COUNT = 300
WORDS = (6, 40)
"""A held-out sentence has this many words, and its document keeps at least as many as the least."""


def pseudo_queries(
    documents: Sequence[Document], rng: np.random.Generator, count: int = COUNT
) -> tuple[list[Document], list[Query]]:
    """Hold out up to ``count`` sentences, at most one a document.

    Returns:
        the documents without the held-out sentences (same order), and the queries.

    Raises:
        QueriesError: no document has a sentence that can be held out.
    """
    changed = list(documents)
    queries: list[Query] = []
    for i in rng.permutation(len(documents)):
        if len(queries) == count:
            break
        span = _held_out(documents[i].text, rng)
        if span is not None:
            changed[i] = replace(documents[i], text=_without(documents[i].text, span))
            question = " ".join(documents[i].text[slice(*span)].split())
            queries.append(Query(f"pseudo-{len(queries)}", question, (GoldUnit(documents[i].id),)))
    if not queries:
        raise QueriesError(
            f"no queries given and none can be made: no document has two sentences, one of "
            f"{WORDS[0]} to {WORDS[1]} words",
            key="queries",
        )
    return changed, queries


def _held_out(text: str, rng: np.random.Generator) -> tuple[int, int] | None:
    spans = sentences(text)
    lengths = [len(_WORD.findall(text[s:e])) for s, e in spans]
    usable = [
        span
        for span, n in zip(spans, lengths, strict=True)
        if WORDS[0] <= n <= WORDS[1] and sum(lengths) - n >= WORDS[0]
    ]
    return usable[int(rng.integers(len(usable)))] if usable else None


def _without(text: str, span: tuple[int, int]) -> str:
    """The text without the sentence, wherever it stands."""
    return text.replace(text[slice(*span)], "")
