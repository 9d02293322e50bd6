"""Documents that repeat each other are counted, others are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.documents import Document
from collectors.features.duplicates import duplicate_share, near_duplicate_share
from collectors.features.words import WordTable
from tests.collectors.features.corpora import document, written


def near(documents: list[Document], seed: int = 0) -> float | None:
    return near_duplicate_share(WordTable.read(documents), np.random.default_rng(seed))


def reworded(original: Document, number: int, changed: int) -> Document:
    """The same words but for ``changed`` of them, next to each other."""
    words = original.text.split()
    words[10 : 10 + changed] = [f"other{number}x{i}" for i in range(changed)]
    return document(number, " ".join(words))


@given(st.lists(st.sampled_from(["a", "b", " a\n", "", "  "]), max_size=12))
def test_equal_texts_are_counted(texts: list[str]) -> None:
    share = duplicate_share([document(i, t) for i, t in enumerate(texts)])
    full = [t.strip() for t in texts if t.strip()]
    assert share == (None if not full else 1 - len(set(full)) / len(full))


def test_independent_documents_are_not_near_each_other() -> None:
    assert near(written(60)) == 0


def test_slightly_changed_documents_are_near_each_other() -> None:
    originals = written(30, length=300)
    copies = [reworded(d, 100 + i, 3) for i, d in enumerate(originals[:10])]
    assert near([*originals, *copies]) == pytest.approx(20 / 40)


def test_half_changed_documents_are_not() -> None:
    originals = written(10, length=200)
    assert near([*originals, *(reworded(d, 100 + i, 100) for i, d in enumerate(originals))]) == 0


def test_a_thousand_copies_are_all_near() -> None:
    text = written(1)[0].text
    assert near([document(i, text) for i in range(1000)]) == 1


def test_documents_too_short_for_a_run_are_left_out() -> None:
    assert near([document(0, "one two three four"), document(1, "one two three four")]) is None
    long = "one two three four five six"
    assert near([document(0, "one"), document(1, long), document(2, long)]) == 1


def test_the_hashes_do_not_matter_much() -> None:
    originals = written(40, length=300)
    documents = [*originals, *(reworded(d, 100 + i, 2) for i, d in enumerate(originals[:20]))]
    assert [near(documents, s) for s in range(5)] == pytest.approx([40 / 60] * 5, abs=0.04)
