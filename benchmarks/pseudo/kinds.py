"""Kinds of pseudo-queries, made from a corpus alone.

A kind says of which corpus its queries are asked, how they are worded, and what they must find. The
lengths are fixed figures, the same for every corpus: nothing is fitted to real questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autorag.documents import Document
from autorag.evaluation.gold import GoldUnit
from autorag.queries import Query
from benchmarks.pseudo.corpora import Held, cut, first_sentence, headless, neighbours
from benchmarks.pseudo.words import Vocabulary, words

CorpusName = Literal["whole", "cut", "headless"]
Wording = Callable[[str, Vocabulary, np.random.Generator], str]

KEYWORDS = 6
SPAN = 8
DROPPED = 1 / 3
REPLACED = 1 / 2
SHARED_BY = 10
"""A title of more documents than this is no query."""

OPENINGS = ("what is", "how does", "which", "when did", "why is", "who")

TODAY = "sentence"


@dataclass(frozen=True, slots=True)
class Made:
    """Pseudo-queries of one kind."""

    corpus: CorpusName
    queries: tuple[Query, ...]


def as_it_is(sentence: str, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    return " ".join(sentence.split())


def keywords(sentence: str, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    """The words that fewest documents have."""
    return _only(sentence, vocabulary.rarest(vocabulary.content(sentence), KEYWORDS))


def shared_keywords(sentence: str, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    """Of the words that other documents have too, those that fewest have."""
    some = [w for w in vocabulary.content(sentence) if vocabulary.frequency(w) > 1]
    return _only(sentence, vocabulary.rarest(some, KEYWORDS))


def span(sentence: str, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    """A run of words."""
    some = words(sentence)
    start = int(rng.integers(max(1, len(some) - SPAN + 1)))
    return " ".join(some[start : start + SPAN])


def common(sentence: str, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    """Without its rarest words."""
    some = vocabulary.content(sentence)
    rare = vocabulary.rarest(some, round(DROPPED * len(some)))
    return " ".join(w for w in words(sentence) if w not in rare)


def reworded(sentence: str, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    """Half of the words that say something, drawn at random, replaced by similar ones."""
    some = vocabulary.content(sentence)
    drawn = {some[i] for i in rng.permutation(len(some))[: round(REPLACED * len(some))].tolist()}
    return " ".join(vocabulary.alike(w) if w in drawn else w for w in words(sentence))


def question(sentence: str, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    """A question word and some words that say something, drawn at random, in order."""
    some = vocabulary.content(sentence)
    drawn = {some[i] for i in rng.permutation(len(some))[:KEYWORDS].tolist()}
    return f"{OPENINGS[int(rng.integers(len(OPENINGS)))]} {_only(sentence, drawn)}"


WORDINGS: Mapping[str, Wording] = {
    TODAY: as_it_is,
    "keywords": keywords,
    "shared keywords": shared_keywords,
    "span": span,
    "common words": common,
    "reworded": reworded,
    "question": question,
}
"""Of a sentence that is gone from its document, which must be found."""

KEPT = ("shared keywords", "common words", "reworded", "question")
"""Wordings of a sentence that stays where it is: its document or its place must be found."""


def made_queries(
    documents: Sequence[Document],
    held: Sequence[Held],
    vocabulary: Vocabulary,
    rng: np.random.Generator,
) -> tuple[dict[CorpusName, list[Document]], dict[str, Made]]:
    """The corpora, and the pseudo-queries by kind; kinds that the corpus has none of are absent."""
    corpora: dict[CorpusName, list[Document]] = {
        "whole": list(documents),
        "cut": cut(documents, held),
        "headless": headless(documents),
    }
    worded = {
        name: [wording(h.text, vocabulary, rng) for h in held] for name, wording in WORDINGS.items()
    }
    made = dict(_of_sentences(documents, corpora["cut"], held, worded))
    made |= _of_heads(documents, len(held))
    return corpora, {name: kind for name, kind in made.items() if kind.queries}


def _of_sentences(
    documents: Sequence[Document],
    left: Sequence[Document],
    held: Sequence[Held],
    worded: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, Made]]:
    whole, without = ({d.id: d.text for d in side} for side in (documents, left))
    document = [GoldUnit(h.doc) for h in held]
    place = [GoldUnit(h.doc, (h.place,)) for h in held]
    beside = [neighbours(h, whole[h.doc], without[h.doc]) for h in held]
    first = [i for i, h in enumerate(held) if h.round == 0]
    yield TODAY, _made("cut", [worded[TODAY][i] for i in first], [document[i] for i in first])
    yield "several sentences", _made("cut", worded[TODAY], document)
    yield "sentence, its neighbours", _made("cut", worded[TODAY], beside)
    for name in list(worded)[1:]:
        yield name, _made("cut", worded[name], document)
    for name in KEPT:
        yield f"kept: {name}", _made("whole", worded[name], document)
        yield f"kept: {name}, its place", _made("whole", worded[name], place)


def _of_heads(documents: Sequence[Document], most: int) -> dict[str, Made]:
    """Titles and first sentences as queries of documents without them."""
    titled: dict[str, list[str]] = {}
    for document in documents:
        if document.title.strip():
            titled.setdefault(document.title, []).append(document.id)
    titles = {t: ids for t, ids in titled.items() if len(ids) <= SHARED_BY}
    queries = [
        Query(f"title-{i}", title, tuple(GoldUnit(d) for d in ids))
        for i, (title, ids) in enumerate(list(titles.items())[:most])
    ]
    firsts = [(d.id, first_sentence(d)) for d in documents]
    some = [(id_, text) for id_, text in firsts if text is not None][:most]
    texts = [" ".join(text.split()) for _, text in some]
    return {
        "title": Made("headless", tuple(queries)),
        "first sentence": _made("headless", texts, [GoldUnit(id_) for id_, _ in some]),
    }


def _made(corpus: CorpusName, texts: Sequence[str], units: Sequence[GoldUnit]) -> Made:
    """Those with any words."""
    asked = zip(texts, units, strict=True)
    queries = [Query(f"pseudo-{i}", t, (u,)) for i, (t, u) in enumerate(asked) if words(t)]
    return Made(corpus, tuple(queries))


def _only(sentence: str, wanted: set[str]) -> str:
    return " ".join(w for w in dict.fromkeys(words(sentence)) if w in wanted)
