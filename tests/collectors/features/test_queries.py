"""Queries: what they ask, and the words they share with the corpus."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from autorag.evaluation.gold import GoldUnit
from autorag.features import QueryFeatures
from autorag.queries import Query
from collectors.features import queries as module
from collectors.features.queries import (
    familiar_share,
    lexical_overlap,
    query_features,
    question_kind,
)
from collectors.features.sample import CorpusSample
from collectors.features.words import WordTable
from tests.collectors.features.corpora import count_words, document, workload


def table(*texts: str) -> WordTable:
    return WordTable.read([document(i, t) for i, t in enumerate(texts)])


def described(questions: list[str], texts: list[str], read: int | None = None) -> QueryFeatures:
    documents = [document(i, t) for i, t in enumerate(texts)]
    queries = [Query(f"q{i}", q, (GoldUnit("d0"),)) for i, q in enumerate(questions)]
    size = sum(map(len, texts))
    sample = CorpusSample(size, documents[:read], documents[:read], documents)
    return query_features(workload(documents, queries), queries, sample, count_words)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("What is it?", "what"),
        ("In what year was it built?", "what"),
        ("who's there", "who"),
        ("Whose is it?", "who"),
        ("To whom?", "who"),
        ("WHEN?", "when"),
        ("where to", "where"),
        ("Which one?", "which"),
        ("why", "why"),
        ("python how to sort", "how"),
        ("Is it open?", "yes_no"),
        ("  can I go", "yes_no"),
        ("python sort list", None),
        ("whatever, nowhere, somehow", None),
        ("什么时候？", None),
        ("", None),
    ],
)
def test_kinds_of_question(question: str, kind: str | None) -> None:
    assert question_kind(question) == kind


def test_shares_of_queries() -> None:
    found = described(["What is tea?", "How?", "tea 茶？", "Is tea green"], ["tea"])
    assert (found.what_share, found.how_share, found.yes_no_share) == (0.25, 0.25, 0.25)
    assert found.question_mark_share == 0.75
    assert found.query_tokens_p50 == 2.5
    assert (found.queries, found.pseudo, found.relevant_per_query) == (4, 0, 1)


def test_a_word_that_no_passage_has_weighs_most() -> None:
    found = lexical_overlap(["green tea xylophone"], table("green tea", "black tea").passages())
    green, tea, missing = (math.log1p(2 / n) for n in (1, 2, 1))
    total = green + tea + missing
    assert found.unknown == pytest.approx(1 / 3)
    assert found.corpus == pytest.approx((green + tea) / total)
    assert found.passage == pytest.approx((green + tea) / total)


def test_the_best_passage_is_one_passage() -> None:
    found = lexical_overlap(["green black"], table("green", "black").passages())
    assert (found.unknown, found.corpus) == (0, 1)
    assert found.passage == pytest.approx(0.5)


def test_the_margin_is_to_the_tenth_best() -> None:
    texts = [f"tea {i}" for i in range(9)]
    alone = lexical_overlap(["tea"], table(*texts).passages())
    crowded = lexical_overlap(["tea"], table(*texts, "tea 9").passages())
    assert (alone.margin, crowded.margin) == (1, 0)


def test_the_title_belongs_to_every_passage() -> None:
    rows = [replace(document(0, "steep it " * 80), title="Green tea"), document(1, "oil a chain")]
    found = lexical_overlap(["green tea"], WordTable.read(rows).passages())
    assert found.passage == pytest.approx(1)


def test_repeating_a_word_does_not_matter() -> None:
    passages = table("green tea", "black tea", "a chain").passages()
    assert lexical_overlap(["tea tea tea green"], passages) == lexical_overlap(
        ["green tea"], passages
    )


@pytest.mark.parametrize("questions", [[], [""], ["?!"]])
def test_without_words_overlap_is_unknown(questions: list[str]) -> None:
    assert lexical_overlap(questions, table("tea").passages()) == module.NO_OVERLAP
    assert lexical_overlap(["tea"], table("").passages()) == module.NO_OVERLAP


def test_overlap_with_a_part_of_the_corpus_is_unknown() -> None:
    texts = ["green tea " * 20, "black tea " * 20]
    assert described(["green tea"], texts).overlap_passage == pytest.approx(1)
    assert described(["green tea"], texts, read=1).overlap_passage is None
    assert described(["green tea"], texts, read=1).oov_share is None


def test_words_of_every_passage_are_familiar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_PASSAGES", 2)
    passages = table("tea green", "tea black", "tea white", "tea red")
    assert familiar_share(["tea"], passages) == pytest.approx(1)
    # Two of four passages drawn hold a given one with chance 1/2.
    assert familiar_share(["green"], passages) == pytest.approx(0.5)
    assert familiar_share(["tea green xylophone"], passages) == pytest.approx(0.5)
    assert familiar_share(["tea"], table("tea")) is None
    assert familiar_share(["?"], passages) is None


def test_a_part_of_the_corpus_is_as_familiar_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_PASSAGES", 64)
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in rng.zipf(1.3, size=20) % 5000) for _ in range(4000)]
    questions = [" ".join(t.split()[:5]) for t in texts[:200]]
    whole, part = table(*texts), table(*texts[2000:2600])
    assert familiar_share(questions, part) == pytest.approx(
        familiar_share(questions, whole), abs=0.02
    )
    gap = [lexical_overlap(questions, t).passage for t in (whole, part)]
    assert gap[0] is not None
    assert gap[1] is not None
    assert gap[0] > 1.2 * gap[1]


def test_made_up_queries_have_no_gold_to_count() -> None:
    documents = [document(0, "tea")]
    queries = [Query("q", "tea", (GoldUnit("d0"),))]
    pseudo = replace(workload(documents, queries), query_source="pseudo")
    sample = CorpusSample(3, documents, documents, documents)
    found = query_features(pseudo, queries, sample, None)
    assert (found.pseudo, found.relevant_per_query, found.query_tokens_p50) == (1, None, None)


def test_gold_documents_are_counted_once() -> None:
    documents = [document(0, "tea"), document(1, "chain")]
    units = (GoldUnit("d0", ((0, 1),)), GoldUnit("d0", ((1, 2),)), GoldUnit("d1"))
    queries = [Query("q", "tea", units)]
    sample = CorpusSample(8, documents, documents, documents)
    found = query_features(workload(documents, queries), queries, sample, None)
    assert found.relevant_per_query == 2
