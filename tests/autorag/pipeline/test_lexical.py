"""BM25: known rankings, no match, nothing to index, round trip."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.lexical import K1, B, LexicalSearch, top_rows
from tests.autorag.pipeline.corpus import documents, gold, queries

TEXTS = ("tea water tea", "water", "coffee beans", "tea coffee milk sugar honey")


@pytest.fixture(scope="module")
def small() -> LexicalSearch:
    return LexicalSearch.build(TEXTS)


def lucene_bm25(word: str, texts: list[list[str]]) -> list[float]:
    """Robertson and Zaragoza's formula as Lucene computes it."""
    containing = sum(word in t for t in texts)
    idf = math.log(1 + (len(texts) - containing + 0.5) / (containing + 0.5))
    mean = sum(map(len, texts)) / len(texts)
    frequencies = [t.count(word) for t in texts]
    return [
        idf * f / (f + K1 * (1 - B + B * len(t) / mean))
        for f, t in zip(frequencies, texts, strict=True)
    ]


def test_scores_are_those_of_the_formula(small: LexicalSearch) -> None:
    split = [t.split() for t in TEXTS]
    expected = np.add(lucene_bm25("tea", split), lucene_bm25("coffee", split))
    np.testing.assert_allclose(small.scores("tea coffee"), expected, rtol=1e-5)


def test_the_ranking_is_best_first(small: LexicalSearch) -> None:
    rows, scores = small.search("tea", 10)
    assert rows.tolist() == [0, 3]
    assert scores[0] > scores[1] > 0


def test_words_are_folded_and_stemmed(small: LexicalSearch) -> None:
    assert small.search("COFFEES", 10)[0].tolist() == small.search("coffee", 10)[0].tolist() != []


def test_stop_words_find_nothing(small: LexicalSearch) -> None:
    assert len(LexicalSearch.build(["the and of", "tea"]).search("the of", 5)[0]) == 0


@pytest.mark.parametrize("query", ["volcano", "", "!?", "   "])
def test_without_a_known_word_nothing_is_found(small: LexicalSearch, query: str) -> None:
    rows, scores = small.search(query, 10)
    assert len(rows) == len(scores) == 0
    assert small.scores(query).tolist() == [0, 0, 0, 0]


def test_an_unknown_word_does_not_change_the_ranking(small: LexicalSearch) -> None:
    np.testing.assert_array_equal(small.scores("tea volcano"), small.scores("tea"))


@pytest.mark.parametrize("texts", [["", "!!", "the"], [""], []])
def test_a_corpus_without_words_finds_nothing(texts: list[str], store: ArtifactStore) -> None:
    empty = LexicalSearch.build(texts)
    assert empty.scores("tea").shape == (len(texts),)
    assert len(empty.search("tea", 10)[0]) == 0
    assert len(round_trip(empty, store).search("tea", 10)[0]) == 0


def test_a_text_without_words_among_others_keeps_its_row() -> None:
    search = LexicalSearch.build(["", "tea", "", "whale"])
    assert search.search("whale", 5)[0].tolist() == [3]
    assert search.scores("tea").shape == (4,)


def round_trip(search: LexicalSearch, store: ArtifactStore) -> LexicalSearch:
    store.save("lexical", search.to_arrays())
    artifact = store.load("lexical")
    assert artifact is not None
    return LexicalSearch.from_artifact(artifact)


def test_it_survives_the_store(store: ArtifactStore) -> None:
    search = LexicalSearch.build([d.text for d in documents()])
    again = round_trip(search, store)
    assert again.bytes == search.bytes > 0
    for query in queries():
        np.testing.assert_array_equal(again.scores(query.question), search.scores(query.question))


def test_it_answers_the_questions() -> None:
    search = LexicalSearch.build([f"{d.title}\n{d.text}" for d in documents()])
    ids = [d.id for d in documents()]
    hits = [gold(q) in [ids[r] for r in search.search(q.question, 3)[0]] for q in queries()]
    assert sum(hits) >= 9


@settings(max_examples=40)
@given(st.lists(st.lists(st.sampled_from(["tea", "whale", "piano", "x1"]), max_size=6), min_size=1))
def test_every_text_with_the_word_and_no_other_is_found(texts: list[list[str]]) -> None:
    search = LexicalSearch.build([" ".join(t) for t in texts])
    found = search.search("whale", len(texts))[0].tolist()
    assert sorted(found) == [i for i, t in enumerate(texts) if "whale" in t]


@given(
    hnp.arrays(np.float32, st.integers(0, 40), elements=st.integers(-2, 5).map(float)),
    st.integers(1, 50),
)
def test_top_rows_is_a_stable_sort_of_the_positive(scores: np.ndarray, k: int) -> None:
    expected = [i for i in np.argsort(-scores, kind="stable") if scores[i] > 0][:k]
    rows, values = top_rows(scores, k)
    assert rows.tolist() == expected
    assert values.tolist() == scores[expected].tolist()
