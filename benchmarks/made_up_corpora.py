"""Corpora of made-up text: random words with the statistics of language, in any size.

Words are drawn from a Zipf law over ordinary words; a third of a text are English stop words, and a
part of the rest comes from the document's topic. Sentences, paragraphs and documents have lengths
that vary as in prose. Nothing is meant by any of it: models of time and memory are calibrated and
checked on it, quality is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from autorag.documents import Document
from autorag.evaluation.gold import gold_units
from autorag.pipeline.tokens import tokenizer
from autorag.queries import Query
from autorag.workload import Workload

STOP_SHARE, TOPIC_SHARE = 0.35, 0.25
TOPICS, TOPIC_WORDS = 60, 300
ZIPF_SHIFT, ZIPF_EXPONENT = 2.7, 1.05
SENTENCE_WORDS, PARAGRAPH_SENTENCES = 17.0, 5.0
SPREAD = 0.45
"""Standard deviation of the logarithm of a sentence's and a paragraph's length."""

TITLE_WORDS = 3
QUERIES = 60
STOP_WORDS = (
    *("the", "of", "and", "to", "in", "a", "is", "that", "for", "it", "as", "was", "with", "be"),
    *("by", "on", "not", "are", "this", "but", "at", "or", "an", "if", "their", "such", "there"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A corpus to make up: ``words`` is the median length of a document, ``spread`` the standard
    deviation of its logarithm, ``query_words`` the mean length of a query."""

    name: str
    documents: int
    words: float
    spread: float
    titled: bool
    query_words: int


def made_up(plan: Plan, rng: np.random.Generator) -> Workload:
    """A workload of random words; a query is made of words of the document it belongs to."""
    language = Language(rng)
    lengths = np.maximum(4, rng.lognormal(np.log(plan.words), plan.spread, plan.documents))
    documents = [
        _document(f"d{i}", int(n), plan.titled, language, rng) for i, n in enumerate(lengths)
    ]
    by_id = {d.id: d for d in documents}
    asked = rng.choice(plan.documents, min(QUERIES, plan.documents), replace=False)
    queries = []
    for i in asked.tolist():
        words = documents[i].text.split()
        count = max(2, int(rng.poisson(plan.query_words)))
        question = " ".join(rng.choice(words, min(count, len(words)), replace=False))
        units = gold_units(f"q{i}", [documents[i].id], {}, [], by_id)
        queries.append(Query(f"q{i}", question.rstrip(".") + "?", units, ()))
    return Workload(plan.name, tuple(documents), tuple(queries))


class Language:
    """Draws words."""

    def __init__(self, rng: np.random.Generator) -> None:
        whole = [w for w in tokenizer().get_vocab() if w.isascii() and w.isalpha() and len(w) > 2]
        self._words = rng.permutation(sorted(set(whole) - set(STOP_WORDS)))
        ranks = np.arange(1, len(self._words) + 1)
        self._chances = _normed(1 / (ranks + ZIPF_SHIFT) ** ZIPF_EXPONENT)
        self._stop_chances = _normed(1 / np.arange(1, len(STOP_WORDS) + 1))
        self._topics = [
            rng.choice(self._words, TOPIC_WORDS, replace=False, p=self._chances)
            for _ in range(TOPICS)
        ]

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """``count`` words of one topic, as strings."""
        topic = self._topics[rng.integers(TOPICS)]
        kind = rng.random(count)
        words = rng.choice(self._words, count, p=self._chances).astype(object)
        stop = kind < STOP_SHARE
        words[stop] = rng.choice(STOP_WORDS, int(stop.sum()), p=self._stop_chances)
        own = kind > 1 - TOPIC_SHARE
        words[own] = rng.choice(topic, int(own.sum()))
        return words


def _document(
    id_: str, words: int, titled: bool, language: Language, rng: np.random.Generator
) -> Document:
    drawn = language.draw(words + TITLE_WORDS, rng)
    title = " ".join(drawn[:TITLE_WORDS]).capitalize() if titled else ""
    sentences = [
        " ".join(s).capitalize() + "." for s in _pieces(drawn[TITLE_WORDS:], SENTENCE_WORDS, rng)
    ]
    paragraphs = _pieces(np.array(sentences, dtype=object), PARAGRAPH_SENTENCES, rng)
    return Document(id_, title, "\n\n".join(" ".join(p) for p in paragraphs))


def _pieces(items: np.ndarray, length: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Cut into pieces of about this length."""
    at = 0
    while at < len(items):
        size = max(1, round(rng.lognormal(np.log(length) - SPREAD**2 / 2, SPREAD)))
        yield items[at : at + size]
        at += size


def _normed(weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights / weights.sum())
