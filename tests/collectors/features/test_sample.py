"""What is looked at is bounded and drawn fairly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag.documents import Document
from collectors.features import sample
from collectors.features.sample import draw_documents, draw_passages, passage_text
from collectors.features.words import PASSAGE_WORDS, words
from tests.collectors.features.corpora import document, written


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=20), st.integers(0, 3000))
def test_no_more_characters_are_drawn_than_asked(lengths: list[int], characters: int) -> None:
    drawn = draw_documents([document(i, "x" * n) for i, n in enumerate(lengths)], rng(), characters)
    assert drawn
    assert len({d.id for d in drawn}) == len(drawn)
    assert sum(len(d.text) for d in drawn) <= characters or len(drawn) == 1
    if characters >= sum(lengths):
        assert len(drawn) == len(lengths)


def test_a_long_document_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "DOCUMENT_CHARACTERS", 10)
    drawn = draw_documents([document(0, "x" * 50, "T"), document(1, "y" * 9)], rng(), 100)
    assert sorted((d.id, len(d.text), d.title) for d in drawn) == [("d0", 10, "T"), ("d1", 9, "")]


def test_passages_are_whole_words_of_their_documents() -> None:
    documents = written(20, length=400)
    passages = draw_passages(documents, rng())
    by_id = {d.id: d for d in documents}
    assert len(passages) > 50
    for passage in passages:
        whole = by_id[passage.id]
        assert passage.title == whole.title
        assert passage.text in whole.text
        assert set(words(passage.text)) <= set(words(whole.text))
        assert len(words(passage.text)) <= PASSAGE_WORDS


def test_no_word_is_cut_in_two() -> None:
    passages = draw_passages([document(0, "lighthouse, " * 1000)], rng())
    assert {w for p in passages for w in words(p.text)} == {"lighthouse"}


@settings(max_examples=50)
@given(st.lists(st.text(max_size=2000), max_size=5))
def test_any_text_has_passages_or_none(rows: list[str]) -> None:
    passages = draw_passages([document(i, t) for i, t in enumerate(rows)], rng())
    assert all(words(p.text) for p in passages)
    assert {p.id for p in passages} <= {f"d{i}" for i, t in enumerate(rows) if words(t)}


def test_long_documents_give_more_passages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "PASSAGES", 50)
    stretch = "word " * (sample.STRETCH_CHARACTERS // 5)
    documents = [document(0, stretch * 90), *(document(i, stretch) for i in range(1, 11))]
    drawn = Counter(p.id for seed in range(20) for p in draw_passages(documents, rng(seed)))
    assert sum(drawn.values()) == 20 * 50
    assert 0.85 < drawn["d0"] / sum(drawn.values()) < 0.95


def test_a_passage_reads_as_chunks_do() -> None:
    assert passage_text(Document("a", "Tea", "Green.")) == "Tea\nGreen."
    assert passage_text(Document("a", "", "Green.")) == "Green."
