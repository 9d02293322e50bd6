"""Words of any script, and passages that hold them all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.features.words import PASSAGE_WORDS, WordTable, words
from tests.collectors.features.corpora import document

texts = st.lists(st.text(max_size=300), max_size=8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat's hat.", ["the", "cat", "s", "hat"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("東京は大きい", ["東", "京", "は", "大", "き", "い"]),
        ("한국어", ["한", "국", "어"]),
        ("مَدينة كبيرة", ["مَدينة", "كبيرة"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("snake_case x2", ["snake_case", "x2"]),
        (" \n—!", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(texts)
def test_a_table_holds_every_word_in_order(rows: list[str]) -> None:
    table = WordTable.read([document(i, t) for i, t in enumerate(rows)])
    assert len(table) == len(rows)
    assert table.starts[-1] == len(table.ids) == table.counts.sum()
    for i, text in enumerate(rows):
        mine = table.ids[table.starts[i] : table.starts[i + 1]]
        assert [table.vocabulary[w] for w in mine] == words(text)


@given(st.lists(st.integers(0, 350), max_size=6))
def test_passages_cut_every_text_into_even_runs(lengths: list[int]) -> None:
    rows = [document(i, "word " * n, f"title {i}") for i, n in enumerate(lengths)]
    passages = WordTable.read(rows).passages()
    expected = [min(PASSAGE_WORDS, n - s) for n in lengths for s in range(0, n, PASSAGE_WORDS)]
    assert np.diff(passages.starts).tolist() == expected
    assert np.diff(passages.title_starts).tolist() == [2] * len(expected)


def test_every_passage_has_the_title_of_its_document() -> None:
    rows = [document(0, "a " * 150, "Tea"), document(1, "b", "Green tea")]
    passages = WordTable.read(rows).passages()
    found: list[set[str]] = [set(), set(), set()]
    for row, word in zip(*passages.incidence, strict=True):
        found[row].add(passages.vocabulary[word])
    assert found == [{"a", "tea"}, {"a", "tea"}, {"b", "green", "tea"}]


@given(texts)
def test_incidence_names_every_pair_once(rows: list[str]) -> None:
    table = WordTable.read([document(i, t) for i, t in enumerate(rows)])
    row, word = table.incidence
    pairs = [(int(r), table.vocabulary[w]) for r, w in zip(row, word, strict=True)]
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == {(i, w) for i, t in enumerate(rows) for w in words(t)}
