"""Texts as numbered words.

A word is a run of letters, digits and combining marks, case folded; a character of a script that
is written without spaces is a word of its own. Nothing is stemmed: no language is assumed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import numpy as np

from autorag.documents import Document

WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
    r"|[\w\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
    r"\u0e30-\u0e4e\u0eb0-\u0ecd\u1000-\u1049\u1780-\u17d3]+"
)

PASSAGE_WORDS = 100


def words(text: str) -> list[str]:
    """The words of a text."""
    found = WORD.findall(text)
    return "\n".join(found).casefold().split("\n") if found else []


@dataclass(frozen=True)
class WordTable:
    """The words of documents, or of passages.

    Attributes:
        vocabulary: distinct words; a word's number is its place.
        ids: numbers of the words of all texts, in order, int32 ``(words,)``.
        starts: where each text begins in ``ids``, and the end, int64 ``(texts + 1,)``.
        title_ids, title_starts: the same for the titles.
    """

    vocabulary: Sequence[str]
    ids: np.ndarray
    starts: np.ndarray
    title_ids: np.ndarray
    title_starts: np.ndarray

    @classmethod
    def read(cls, documents: Sequence[Document]) -> WordTable:
        """Cut documents into words."""
        number: dict[str, int] = defaultdict(count().__next__)
        texts = _numbered([d.text for d in documents], number)
        titles = _numbered([d.title for d in documents], number)
        return cls(list(number), *texts, *titles)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def number(self) -> dict[str, int]:
        """Word → its number."""
        return {word: i for i, word in enumerate(self.vocabulary)}

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each word of the vocabulary stands in a text, int64 ``(vocabulary,)``."""
        return np.bincount(self.ids, minlength=len(self.vocabulary))

    @cached_property
    def incidence(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct pairs (text, word), titles included, in order: two int64 arrays."""
        rows = np.arange(len(self))
        row = np.concatenate(
            [np.repeat(rows, np.diff(self.starts)), np.repeat(rows, np.diff(self.title_starts))]
        )
        size = max(1, len(self.vocabulary))
        pairs = np.sort(row * size + np.concatenate([self.ids, self.title_ids]))
        pairs = pairs[np.diff(pairs, prepend=-1) != 0]
        return pairs // size, pairs % size

    def passages(self) -> WordTable:
        """Every text cut into runs of ``PASSAGE_WORDS`` words, each with the title of its text."""
        pieces = -(-np.diff(self.starts) // PASSAGE_WORDS)
        text = np.repeat(np.arange(len(self)), pieces)
        place = np.arange(len(text)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        starts = np.append(self.starts[text] + PASSAGE_WORDS * place, len(self.ids))
        first, last = self.title_starts[text], self.title_starts[text + 1]
        title_starts = np.concatenate([[0], np.cumsum(last - first)])
        titles = self.title_ids[_ranges(first, last)]
        return WordTable(self.vocabulary, self.ids, starts, titles, title_starts)


def _numbered(texts: Sequence[str], number: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    parts = [np.array([*map(number.__getitem__, words(t))], dtype=np.int32) for t in texts]
    starts = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return np.concatenate([np.empty(0, np.int32), *parts]), starts


def _ranges(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """All integers of the half-open ranges, one range after the other."""
    length = end - start
    before = np.cumsum(length) - length
    return np.repeat(start - before, length) + np.arange(length.sum())
