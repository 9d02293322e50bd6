"""Small corpora for the tests of features, and a cheap embedder."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from autorag.documents import Document
from autorag.evaluation.gold import GoldUnit
from autorag.pipeline.transformer import unit
from autorag.queries import Query
from autorag.workload import Workload
from collectors.features import FeatureModels
from collectors.features.words import words

DIM = 16
TOPICS = ("harbour", "orchard", "violin", "glacier", "kitchen", "engine", "chess", "meadow")
FILLERS = (
    "the",
    "a",
    "of",
    "in",
    "and",
    "on",
    "with",
    "by",
    "for",
    "is",
    "was",
    "it",
    "at",
    "near",
)


def bag_of_words(texts: Sequence[str]) -> np.ndarray:
    """A static embedder: every word has a fixed random direction."""
    vectors = np.zeros((len(texts), DIM), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in words(text):
            vectors[row] += np.random.default_rng(crc32(word.encode())).normal(size=DIM)
    return unit(vectors)


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(words(t)) for t in texts]


MODELS = FeatureModels(count_words, bag_of_words)


def document(number: int, text: str, title: str = "") -> Document:
    return Document(f"d{number}", title, text)


def written(count: int, length: int = 120, seed: int = 0) -> list[Document]:
    """Documents of invented sentences, each about a topic, with a vocabulary that keeps growing."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        topic = TOPICS[number % len(TOPICS)]
        rare = [f"{topic}{int(n)}" for n in rng.zipf(1.6, size=length) if n < 10**6]
        common = rng.choice(FILLERS, size=length).tolist()
        mixed = [w for pair in zip(common, rare, strict=False) for w in pair][:length]
        made.append(document(number, " ".join(mixed) + ".", topic.title()))
    return made


def asked(documents: Sequence[Document], count: int) -> list[Query]:
    """Questions made of some words of a document."""
    return [
        Query(f"q{i}", f"What is {' '.join(words(d.text)[1:6])}?", (GoldUnit(d.id),))
        for i, d in enumerate(documents[:count])
    ]


def workload(documents: Sequence[Document], queries: Sequence[Query] = ()) -> Workload:
    return Workload("invented", tuple(documents), tuple(queries))
