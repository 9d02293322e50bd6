"""The corpora that pseudo-queries are asked of: whole, cut and headless.

``cut`` lacks sentences that become queries: one a document, as in :mod:`autorag.pseudo`, and where
that is too few, further ones of documents with many sentences. ``headless`` lacks every title and
every first sentence. All kinds of queries of one corpus share one build of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autorag.documents import Document
from autorag.evaluation.gold import GoldUnit, Span
from autorag.pseudo import WORDS
from autorag.sentences import sentences
from benchmarks.pseudo.words import words

KEPT_A_CUT = 4
"""A document keeps at least so many usable sentences for each further one that is cut."""


@dataclass(frozen=True, slots=True)
class Held:
    """A sentence that queries are made from.

    Attributes:
        place: where it stands in the whole document.
        round: 0 for the first sentence of its document that was drawn, 1 for the second, ...
    """

    doc: str
    text: str
    place: Span
    round: int


def held_sentences(
    documents: Sequence[Document], rng: np.random.Generator, count: int
) -> list[Held]:
    """Up to ``count`` sentences, from as many documents as possible."""
    drawn = {i: _drawn(documents[i].text, rng) for i in rng.permutation(len(documents)).tolist()}
    found: list[Held] = []
    for turn in range(max((len(spans) for spans in drawn.values()), default=0)):
        for i, spans in drawn.items():
            if turn < len(spans) and len(found) < count:
                text = documents[i].text[slice(*spans[turn])]
                found.append(Held(documents[i].id, text, spans[turn], turn))
    return found


def cut(documents: Sequence[Document], held: Sequence[Held]) -> list[Document]:
    """The documents without these sentences, wherever they stand."""
    texts = {d.id: d.text for d in documents}
    for sentence in held:
        texts[sentence.doc] = texts[sentence.doc].replace(sentence.text, "")
    return [replace(d, text=texts[d.id]) for d in documents]


def neighbours(held: Held, whole: str, left: str) -> GoldUnit:
    """The sentences beside the hole, any one of which counts, in the text that is left."""
    spans = sentences(left)
    before, after = (_searched(left, whole[slice(*s)]) for s in _beside(whole, held.place))
    places = tuple(s for s in (before, after) if s is not None and s in spans)
    return GoldUnit(held.doc, places)


def headless(documents: Sequence[Document]) -> list[Document]:
    """Without titles and first sentences; a document of one sentence keeps it."""
    return [replace(d, title="", text=d.text[_head_end(d.text) :]) for d in documents]


def first_sentence(document: Document) -> str | None:
    """What :func:`headless` took from the text, where it is long enough to be a query."""
    end = _head_end(document.text)
    text = document.text[:end].strip()
    return text if WORDS[0] <= len(words(text)) <= WORDS[1] else None


def _drawn(text: str, rng: np.random.Generator) -> list[Span]:
    """Usable sentences in random order: the first needs another to stay, others several each."""
    spans = sentences(text)
    lengths = [len(words(text[s:e])) for s, e in spans]
    usable = [
        span
        for span, n in zip(spans, lengths, strict=True)
        if WORDS[0] <= n <= WORDS[1] and sum(lengths) - n >= WORDS[0]
    ]
    most = min(len(usable), 1 + len(usable) // (KEPT_A_CUT + 1))
    return [usable[i] for i in rng.permutation(len(usable))[:most].tolist()]


def _beside(text: str, place: Span) -> tuple[Span, Span]:
    """The sentence before and the one after; the empty span where there is none."""
    spans = sentences(text)
    at = spans.index(place)
    before = spans[at - 1] if at else (0, 0)
    after = spans[at + 1] if at + 1 < len(spans) else (0, 0)
    return before, after


def _searched(text: str, wanted: str) -> Span | None:
    at = text.find(wanted) if wanted else -1
    return (at, at + len(wanted)) if at >= 0 else None


def _head_end(text: str) -> int:
    spans = sentences(text)
    return spans[0][1] if len(spans) > 1 else 0
