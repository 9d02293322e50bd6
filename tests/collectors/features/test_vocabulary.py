"""Figures of a vocabulary: exact where there is a formula, and independent of the amount read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag.documents import Document
from collectors.features import vocabulary
from collectors.features.sample import BLOCK_PASSAGES
from collectors.features.vocabulary import (
    chance_of_missing,
    extended_vocabulary,
    heaps_exponent,
    idf,
    number_share,
    rarefied,
    type_token_ratio,
    zipf_exponent,
)
from collectors.features.words import WordTable
from tests.collectors.features.corpora import document, written


def table(*texts: str) -> WordTable:
    return WordTable.read([document(i, t) for i, t in enumerate(texts)])


def zipfian(words: int, exponent: float, size: int, seed: int = 0) -> np.ndarray:
    """Counts of ``size`` words drawn from a vocabulary whose frequency falls with rank."""
    chance = np.arange(1, words + 1.0) ** -exponent
    return np.random.default_rng(seed).multinomial(size, chance / chance.sum())


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60))
def test_the_chance_of_missing_is_the_hypergeometric_one(
    total: int, often: int, drawn: int
) -> None:
    often, drawn = min(often, total), min(drawn, total)
    expected = math.comb(total - often, drawn) / math.comb(total, drawn)
    assert chance_of_missing(np.array([often]), total, drawn)[0] == pytest.approx(expected)


def test_rarefaction_is_what_drawing_gives() -> None:
    counts = zipfian(500, 1.0, 3000)
    bag = np.repeat(np.arange(500), counts)
    rng = np.random.default_rng(1)
    drawn = [len(np.unique(rng.choice(bag, 400, replace=False))) for _ in range(300)]
    assert rarefied(counts, 400) == pytest.approx(np.mean(drawn), rel=0.01)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=40))
def test_all_words_drawn_are_all_words(counts: list[int]) -> None:
    array = np.array(counts)
    assert rarefied(array, int(array.sum())) == pytest.approx((array > 0).sum())
    assert rarefied(array, int(array.sum()) + 1) is None


def test_a_tenth_has_the_rarefied_vocabulary_of_the_whole() -> None:
    whole, part = (zipfian(20_000, 1.1, n) for n in (200_000, 20_000))
    assert rarefied(part, 5000) == pytest.approx(rarefied(whole, 5000), rel=0.03)
    assert heaps_exponent(part) == pytest.approx(heaps_exponent(whole), abs=0.02)
    assert (part > 0).sum() < 0.5 * (whole > 0).sum()


def test_a_part_is_extended_to_the_whole() -> None:
    whole, part = (zipfian(20_000, 1.1, n) for n in (200_000, 50_000))
    distinct = int((whole > 0).sum())
    assert extended_vocabulary(whole, 200_000) == distinct
    assert extended_vocabulary(part, 200_000) == pytest.approx(distinct, rel=0.25)
    assert extended_vocabulary(np.zeros(3, dtype=int), 10) is None


@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.3])
def test_zipfs_exponent_is_found_again(exponent: float) -> None:
    assert zipf_exponent(zipfian(5000, exponent, 500_000)) == pytest.approx(exponent, abs=0.03)


def test_too_few_words_are_unknown() -> None:
    few = zipfian(200, 1.0, 1000)
    assert (zipf_exponent(few), heaps_exponent(few)) == (None, None)


def test_words_that_all_differ_grow_without_bound() -> None:
    assert heaps_exponent(np.ones(10_000, dtype=int)) == pytest.approx(1.0)


def test_idf_by_hand() -> None:
    # "tea" stands in both passages, the other two words in one each.
    mean, deviation = idf(table("tea green", "tea black"))
    assert mean == pytest.approx(math.log(2) / 2)
    assert deviation == pytest.approx(math.log(2) / 2)
    assert idf(table()) == (None, None)


def test_idf_does_not_grow_with_the_corpus() -> None:
    documents: list[Document] = written(BLOCK_PASSAGES * 6, length=30)
    one, six = (WordTable.read(documents[: BLOCK_PASSAGES * n]) for n in (1, 6))
    assert idf(six)[0] == pytest.approx(idf(one)[0], rel=0.02)


def test_distinct_words_at_the_beginning_of_passages() -> None:
    n = vocabulary.FIRST_WORDS
    varied, same = " ".join(f"w{i}" for i in range(n)), "same " * n
    assert type_token_ratio(table(varied, same, "too short")) == pytest.approx((1 + 1 / n) / 2)
    assert type_token_ratio(table("too short")) is None


def test_numbers_are_words_of_digits() -> None:
    assert number_share(table("12 apples and 1,500 x2")) == pytest.approx(3 / 6)
    assert number_share(table("")) is None
