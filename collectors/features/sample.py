"""What of a corpus is looked at: everything is bounded, whatever its size.

``READ_CHARACTERS`` are cut into words, fewer are tokenised and looked at line by line; both are
whole documents in random order. Passages are drawn from all over the corpus, so that they do not
depend on which documents were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from autorag.documents import Document
from collectors.features.words import PASSAGE_WORDS, WORD, WordTable

READ_CHARACTERS = 16_000_000
CLOSE_CHARACTERS = 2_000_000
DOCUMENT_CHARACTERS = 250_000
"""Of a longer document the beginning is read."""

WHOLE = 0.9
"""Share of the characters that must have been read for what holds of the whole corpus only."""

PASSAGES = 2048
BLOCK_PASSAGES = 512
"""Passages among which is counted what depends on their number: only equal numbers compare."""

STRETCH_CHARACTERS = 700
"""A passage is the first ``PASSAGE_WORDS`` words that begin in a stretch of its document this
long."""

WORD_CHARACTERS = 64
"""The last word is followed this far beyond the end of the stretch."""


@dataclass(frozen=True)
class CorpusSample:
    """What of a corpus is looked at.

    Attributes:
        characters: of all documents.
        read: documents that are cut into words; long ones are cut off.
        close: documents that are tokenised and looked at line by line; long ones are cut off.
        passages: from all over the corpus, in random order, each a document of its own.
    """

    characters: int
    read: Sequence[Document]
    close: Sequence[Document]
    passages: Sequence[Document]

    @cached_property
    def table(self) -> WordTable:
        """The words of what is read."""
        return WordTable.read(self.read)

    @cached_property
    def passage_table(self) -> WordTable:
        """The words of the passages."""
        return WordTable.read(self.passages)

    @property
    def read_characters(self) -> int:
        return sum(len(d.text) for d in self.read)

    @property
    def is_whole(self) -> bool:
        """Whether what is read stands for all there is."""
        return self.read_characters >= WHOLE * self.characters


def draw_documents(
    documents: Sequence[Document], rng: np.random.Generator, characters: int
) -> list[Document]:
    """Documents in random order, as many as have ``characters`` together, at least one."""
    order = rng.permutation(len(documents))
    read = np.cumsum([min(len(documents[i].text), DOCUMENT_CHARACTERS) for i in order])
    most = max(1, int(np.searchsorted(read, characters, side="right")))
    return [_beginning(documents[i]) for i in order[:most]]


def draw_passages(documents: Sequence[Document], rng: np.random.Generator) -> list[Document]:
    """At most ``PASSAGES`` passages in random order.

    Stretches are drawn evenly from all of the corpus; those without a word are dropped.
    """
    stretches = np.array([-(-len(d.text) // STRETCH_CHARACTERS) for d in documents], dtype=np.int64)
    ends = np.cumsum(stretches)
    total = int(stretches.sum())
    chosen = rng.choice(total, min(PASSAGES, total), replace=False)
    owners = np.searchsorted(ends, chosen, side="right")
    places = chosen - (ends - stretches)[owners]
    drawn = (_passage(documents[d], int(p)) for d, p in zip(owners, places, strict=True))
    return [passage for passage in drawn if passage is not None]


def passage_text(passage: Document) -> str:
    """Title and text, as chunks are embedded."""
    return f"{passage.title}\n{passage.text}" if passage.title else passage.text


def _beginning(document: Document) -> Document:
    if len(document.text) <= DOCUMENT_CHARACTERS:
        return document
    return replace(document, text=document.text[:DOCUMENT_CHARACTERS])


def _passage(document: Document, place: int) -> Document | None:
    """The words that begin in a stretch."""
    start = place * STRETCH_CHARACTERS
    before = min(1, start)
    piece = document.text[start - before : start + STRETCH_CHARACTERS + WORD_CHARACTERS]
    found = (m.span() for m in WORD.finditer(piece))
    spans = [s for s in found if before <= s[0] < before + STRETCH_CHARACTERS]
    if not spans:
        return None
    return replace(document, text=piece[spans[0][0] : spans[:PASSAGE_WORDS][-1][1]])
