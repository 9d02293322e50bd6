"""Words of a corpus: how many documents have each, and which are alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from autorag.documents import Document
from autorag.pipeline.embedders import Static, static_model

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")

FUNCTION_SHARE = 0.2
"""A word that more documents than this have says nothing about one of them."""

STEM = 4
"""Words that begin with the same letters are not taken for different words."""

MOST_FORMS = 20
"""So many of the most similar words are looked at."""


def words(text: str) -> list[str]:
    """The words, or single characters of scripts written without spaces."""
    return _WORD.findall(text)


class Vocabulary:
    """Document frequencies of a corpus, words in lower case.

    Args:
        models: folder of the static embedder, which says what words are alike.
    """

    def __init__(self, documents: Sequence[Document], models: Path) -> None:
        self._documents = len(documents)
        self._counts: Counter[str] = Counter()
        for document in documents:
            self._counts.update({w.lower() for w in words(f"{document.title} {document.text}")})
        self._shared = [w for w, n in self._counts.items() if n > 1 and not w.isdigit()]
        self._static = Static(static_model(models))
        self._vectors = self._static.encode_documents(self._shared, 1)

    def frequency(self, word: str) -> int:
        """How many documents have it."""
        return self._counts[word.lower()]

    def content(self, text: str) -> list[str]:
        """The text's words that say something, each once, in order."""
        most = FUNCTION_SHARE * self._documents
        return [w for w in dict.fromkeys(words(text)) if self.frequency(w) <= most and len(w) > 1]

    def rarest(self, some: Iterable[str], count: int) -> set[str]:
        """The ``count`` words that fewest documents have."""
        return set(sorted(some, key=self.frequency)[:count])

    def alike(self, word: str) -> str:
        """The most similar word of several documents that is not a form of this one."""
        similar = self._vectors @ self._static.encode_query(word)
        nearest: list[int] = np.argsort(-similar)[:MOST_FORMS].tolist()
        for i in nearest:
            if self._shared[i][:STEM] != word.lower()[:STEM]:
                return self._shared[i]
        return word
