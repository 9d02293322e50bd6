"""Held-out sentences: one a document at most, gone from it, and finding it is the gold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.documents import Document
from autorag.errors import QueriesError
from autorag.evaluation.gold import GoldUnit
from autorag.pseudo import COUNT, pseudo_queries
from autorag.sentences import sentence_ends, sentences


def corpus(count: int) -> list[Document]:
    return [
        Document(
            f"d{i}",
            f"Title {i}",
            f"The first sentence of document {i} stands here. "
            f"A second one speaks about subject number {i}!\n\n"
            f"Is the third one of {i} a question?",
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 7, 40])
def test_every_query_is_a_sentence_gone_from_its_document(count: int) -> None:
    documents = corpus(count)
    kept, queries = pseudo_queries(documents, np.random.default_rng(0))
    before, after = ({d.id: d.text for d in side} for side in (documents, kept))
    assert len(queries) == count
    for query in queries:
        (unit,) = query.units
        assert query.question in before[unit.doc]
        assert query.question not in after[unit.doc]
        assert 6 <= len(query.question.split()) <= 40
        assert len(after[unit.doc].split()) >= 6


def test_gold_is_the_whole_document_and_there_is_no_answer() -> None:
    documents = corpus(20)
    _, queries = pseudo_queries(documents, np.random.default_rng(0))
    assert {q.units for q in queries} == {(GoldUnit(d.id),) for d in documents}
    assert not any(q.has_answer for q in queries)
    assert len({q.id for q in queries}) == len(queries)


def test_documents_keep_order_title_and_all_but_the_sentence() -> None:
    documents = corpus(20)
    kept, queries = pseudo_queries(documents, np.random.default_rng(0), count=5)
    assert [(d.id, d.title) for d in kept] == [(d.id, d.title) for d in documents]
    held_out = {q.units[0].doc: q.question for q in queries}
    for before, after in zip(documents, kept, strict=True):
        left = before.text.replace(held_out.get(before.id, ""), "")
        assert after.text.split() == left.split()


def test_no_more_than_asked_for() -> None:
    _, five = pseudo_queries(corpus(20), np.random.default_rng(0), count=5)
    _, most = pseudo_queries(corpus(COUNT + 20), np.random.default_rng(0))
    assert (len(five), len(most)) == (5, COUNT)


def test_the_seed_decides() -> None:
    runs = [pseudo_queries(corpus(20), np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_white_space_in_a_question_is_folded() -> None:
    text = "This sentence  is\nbroken over two lines. This is short. So is this here."
    _, (query,) = pseudo_queries([Document("d", "", text)], np.random.default_rng(0))
    assert query.question == "This sentence is broken over two lines."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "One sentence alone cannot be held out.",
        "Too short. Also short. Again short. Every one of them.",
        "This sentence has enough words indeed. This not.",
        "word " * 41 + "ends. " + "word " * 41 + "ends.",
    ],
)
def test_a_document_without_a_usable_sentence_is_left_alone(text: str) -> None:
    hopeless = Document("h", "", text)
    kept, queries = pseudo_queries([hopeless, *corpus(1)], np.random.default_rng(0))
    assert kept[0] == hopeless
    assert [q.units[0].doc for q in queries] == ["d0"]


@pytest.mark.parametrize("documents", [[], [Document("d", "", "Short.")]])
def test_a_corpus_without_usable_sentences_is_an_error(documents: list[Document]) -> None:
    with pytest.raises(QueriesError, match="no document has two sentences") as error:
        pseudo_queries(documents, np.random.default_rng(0))
    assert error.value.key == "queries"


prose = st.text(alphabet="ab AB.!?\n。\"')", max_size=60)


@given(prose)
def test_sentences_lose_nothing_but_white_space(text: str) -> None:
    spans = sentences(text)
    covered = {i for s, e in spans for i in range(s, e)}
    assert all(text[i].isspace() for i in range(len(text)) if i not in covered)


@given(prose)
def test_sentences_are_in_order_apart_and_stripped(text: str) -> None:
    at = 0
    for start, end in sentences(text):
        assert at <= start < end
        assert text[start:end] == text[start:end].strip()
        at = end


@given(prose)
def test_sentence_ends_rise_to_the_end_of_the_text(text: str) -> None:
    ends = sentence_ends(text)
    assert ends == sorted(set(ends))
    assert ends[-1] == len(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", ["One.", "Two."]),
        ("It is e.g. this. Next.", ["It is e.g. this.", "Next."]),
        ('He said "stop!" Then left.', ['He said "stop!"', "Then left."]),
        ("Pi is 3.14 here. Good.", ["Pi is 3.14 here.", "Good."]),
        ("Heading\n\nBody text", ["Heading", "Body text"]),
        ("今日は。明日も。", ["今日は。", "明日も。"]),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert [text[s:e] for s, e in sentences(text)] == expected
