"""Gold units follow the labels, and what they measure survives every chunking."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autorag.documents import Document
from autorag.errors import QueriesError
from autorag.evaluation.gold import GoldUnit, Retrieved, Span, first_ranks, gold_units
from autorag.evaluation.ranking import ranking_metrics, recall_at

LENGTH = 40
Ranking = list[list[Retrieved]]


def units_of(
    text: str,
    answers: Sequence[str] = (),
    spans: Sequence[Span] = (),
) -> tuple[Span, ...]:
    """The places of the one unit of a query on one document."""
    given_spans = {"d": list(spans)} if spans else {}
    (unit,) = gold_units("q", ["d"], given_spans, answers, {"d": Document("d", "", text)})
    return unit.places


def test_a_given_span_beats_answers() -> None:
    assert units_of("yes or yes", answers=["yes"], spans=[(4, 6)]) == ((4, 6),)


def test_every_given_span_is_a_place() -> None:
    assert units_of("0123456789", spans=[(0, 2), (5, 9)]) == ((0, 2), (5, 9))


def test_every_place_of_every_answer_counts() -> None:
    assert set(units_of("Blue, red, blue.", answers=["blue", "red"])) == {(0, 4), (11, 15), (6, 9)}


def test_case_and_white_space_are_folded() -> None:
    assert units_of("the EIFFEL \n\t tower", answers=[" eiffel  Tower "]) == ((4, 19),)


def test_overlapping_places_all_count() -> None:
    assert units_of("la la la", answers=["la la"]) == ((0, 5), (3, 8))


@pytest.mark.parametrize(
    ("text", "answer"), [("category", "cat"), ("1000", "100"), ("concat", "cat")]
)
def test_an_answer_inside_a_longer_word_is_no_place(text: str, answer: str) -> None:
    assert units_of(text, answers=[answer]) == ()


@pytest.mark.parametrize(
    ("text", "answer", "place"),
    [
        ("costs $1,496.5 million.", "$1,496.5", (6, 14)),
        ("use a.*b (c) now", "a.*b (c)", (4, 12)),
        ("type !-2 to run", "!-2", (5, 8)),
        ("Ünïcode ÄÖ", "äö", (8, 10)),
    ],
)
def test_signs_in_answers_are_taken_literally(text: str, answer: str, place: Span) -> None:
    assert units_of(text, answers=[answer]) == (place,)


@pytest.mark.parametrize("answers", [[], ["absent"], ["", "  "]])
def test_without_span_and_verbatim_answer_the_whole_document_counts(answers: list[str]) -> None:
    assert units_of("some text", answers=answers) == ()


DOCUMENTS = {
    "a": Document("a", "", "blue sky"),
    "b": Document("b", "", "green grass"),
    "c": Document("c", "", "blue sea"),
}


def test_no_relevant_document_is_dropped() -> None:
    units = gold_units("q", ["a", "b", "a"], {"c": [(0, 3)]}, ["blue"], DOCUMENTS)
    assert units == (GoldUnit("a", ((0, 4),)), GoldUnit("b"), GoldUnit("c", ((0, 3),)))


def test_a_document_that_does_not_exist_is_named() -> None:
    with pytest.raises(QueriesError, match="query 'q': gold document 'x' does not exist") as error:
        gold_units("q", ["a", "x"], {}, [], DOCUMENTS)
    assert (error.value.key, error.value.value) == ("q", "x")


@pytest.mark.parametrize("span", [(-1, 2), (2, 2), (3, 2), (0, 9)])
def test_a_span_outside_its_document_is_named(span: Span) -> None:
    with pytest.raises(QueriesError, match="lies outside document 'a'") as error:
        gold_units("q", [], {"a": [span]}, [], DOCUMENTS)
    assert (error.value.key, error.value.value) == ("q", list(span))


def chunk(start: int, end: int, doc: str = "d") -> list[Retrieved]:
    return [Retrieved(doc, start, end)]


TEN = GoldUnit("d", ((10, 20),))


@pytest.mark.parametrize(
    ("ranking", "rank"),
    [
        ([], None),
        ([chunk(0, 40)], 1),
        ([chunk(0, 15)], 1),
        ([chunk(0, 14)], None),
        ([chunk(15, 40)], 1),
        ([chunk(16, 40)], None),
        ([chunk(20, 40)], None),
        ([chunk(10, 20, "e")], None),
        ([chunk(0, 12), chunk(12, 15)], 2),
        ([chunk(10, 14), chunk(16, 20)], 2),
        ([chunk(10, 14), chunk(10, 14)], None),
        ([chunk(10, 14), chunk(12, 14), chunk(14, 15)], 3),
        ([chunk(10, 13), chunk(12, 15)], 2),
        ([chunk(0, 9), chunk(30, 40), chunk(10, 20)], 3),
    ],
)
def test_half_of_the_characters_find_a_place(ranking: Ranking, rank: int | None) -> None:
    assert first_ranks([TEN], ranking) == (rank,)


def test_half_of_an_odd_place_is_rounded_up() -> None:
    odd = GoldUnit("d", ((0, 5),))
    assert first_ranks([odd], [chunk(0, 2)]) == (None,)
    assert first_ranks([odd], [chunk(0, 3)]) == (1,)


def test_any_one_place_counts_and_pieces_of_two_do_not_add_up() -> None:
    two = GoldUnit("d", ((0, 10), (20, 30)))
    assert first_ranks([two], [chunk(20, 30)]) == (1,)
    assert first_ranks([two], [chunk(0, 4), chunk(20, 24)]) == (None,)


def test_any_chunk_finds_a_whole_document() -> None:
    assert first_ranks([GoldUnit("d")], [chunk(0, 5, "e"), chunk(30, 31)]) == (2,)


def test_a_text_that_stands_in_several_documents_finds_them_all() -> None:
    both = [Retrieved("d", 10, 20), Retrieved("e", 0, 10)]
    assert first_ranks([TEN, GoldUnit("e")], [both]) == (1, 1)


def test_repeats_take_no_rank() -> None:
    ranking = [chunk(10, 20), chunk(10, 16), chunk(18, 40), chunk(0, 5, "e")]
    assert first_ranks([TEN, GoldUnit("e")], ranking) == (1, 2)


def test_chunks_that_find_nothing_take_a_rank() -> None:
    ranking = [chunk(10, 20), chunk(30, 40), chunk(0, 5, "x"), chunk(0, 5, "e")]
    assert first_ranks([TEN, GoldUnit("e")], ranking) == (1, 4)


def test_a_repeat_that_finds_another_unit_counts() -> None:
    near = GoldUnit("d", ((20, 30),))
    assert first_ranks([TEN, near], [chunk(10, 20), chunk(15, 28)]) == (1, 2)


@st.composite
def spans(draw: st.DrawFn, least: int = 0, most: int = LENGTH) -> Span:
    start = draw(st.integers(least, most - 1))
    return start, draw(st.integers(start + 1, most))


docs = st.sampled_from(["a", "b", "c"])
gold = st.lists(
    st.builds(GoldUnit, docs, st.lists(spans(), max_size=2, unique=True).map(tuple)),
    min_size=1,
    max_size=4,
    unique_by=lambda unit: unit.doc,
)
occurrences = st.builds(lambda doc, span: Retrieved(doc, *span), docs, spans())
rankings = st.lists(st.lists(occurrences, min_size=1, max_size=2), max_size=16)


@given(gold, rankings)
def test_all_metrics_lie_in_the_unit_interval(units: list[GoldUnit], ranking: Ranking) -> None:
    metrics = ranking_metrics(first_ranks(units, ranking))
    assert all(0 <= value <= 1 for value in metrics.values())


@given(gold, rankings, st.lists(occurrences, min_size=1, max_size=2))
def test_a_later_chunk_lowers_nothing(
    units: list[GoldUnit], ranking: Ranking, later: list[Retrieved]
) -> None:
    before, after = first_ranks(units, ranking), first_ranks(units, [*ranking, later])
    assert all(b is None or a == b for a, b in zip(after, before, strict=True))
    more, less = ranking_metrics(after), ranking_metrics(before)
    assert all(more[name] >= less[name] for name in less)


@given(gold, rankings)
def test_every_document_retrieved_whole_is_found(units: list[GoldUnit], ranking: Ranking) -> None:
    whole = [chunk(0, LENGTH, doc) for doc in ("a", "b", "c")]
    assert None not in first_ranks(units, [*ranking, *whole])


@given(gold, rankings, st.data())
def test_a_chunk_retrieved_again_changes_nothing(
    units: list[GoldUnit], ranking: Ranking, data: st.DataObject
) -> None:
    ranks = first_ranks(units, ranking)
    finders = [at for at in range(len(ranking)) if first_at(units, ranking, at)]
    assume(finders)
    at = data.draw(st.sampled_from(finders))
    later = data.draw(st.integers(at + 1, len(ranking)))
    repeated = [*ranking[:later], ranking[at], *ranking[later:]]
    assert first_ranks(units, repeated) == ranks


def first_at(units: list[GoldUnit], ranking: Ranking, at: int) -> bool:
    """Whether a unit is found at this place of the ranking."""
    before, after = first_ranks(units, ranking[:at]), first_ranks(units, ranking[: at + 1])
    return before != after


@st.composite
def splits(draw: st.DrawFn, start: int, end: int) -> list[Span]:
    """Consecutive pieces of a span, in order."""
    cuts = draw(st.sets(st.integers(start + 1, end - 1), max_size=4)) if end - start > 1 else set()
    return list(pairwise([start, *sorted(cuts), end]))


@given(st.lists(spans(), min_size=1, max_size=8), st.data())
def test_splitting_chunks_of_whole_document_units_changes_no_metric(
    chunks: list[Span], data: st.DataObject
) -> None:
    units = [GoldUnit("a"), GoldUnit("b")]
    owners = data.draw(st.lists(docs, min_size=len(chunks), max_size=len(chunks)))
    whole = [chunk(*span, doc) for span, doc in zip(chunks, owners, strict=True)]
    pieces = [
        chunk(*piece, doc)
        for span, doc in zip(chunks, owners, strict=True)
        for piece in (data.draw(splits(*span)) if doc in ("a", "b") else [span])
    ]
    assert first_ranks(units, pieces) == first_ranks(units, whole)


@given(spans(), st.data())
def test_splitting_after_the_piece_that_finds_a_span_changes_no_metric(
    place: Span, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, place[0]))
    found = data.draw(st.integers((place[0] + place[1] + 1) // 2, LENGTH))
    end = data.draw(st.integers(found, LENGTH))
    rest = data.draw(splits(found, end)) if end > found else []
    pieces = [chunk(*piece, "a") for piece in [(start, found), *rest]]
    units = [GoldUnit("a", (place,))]
    whole = ranking_metrics(first_ranks(units, [chunk(start, end, "a")]))
    assert ranking_metrics(first_ranks(units, pieces)) == whole


@given(spans(5, 35), st.integers(0, 5), st.integers(0, 5), st.data())
def test_pieces_of_a_found_span_do_not_push_later_units_down(
    place: Span, left: int, right: int, data: st.DataObject
) -> None:
    units = [GoldUnit("a", (place,)), GoldUnit("b"), GoldUnit("c")]
    pieces = data.draw(splits(*place))
    pieces[0] = (pieces[0][0] - left, pieces[0][1])
    pieces[-1] = (pieces[-1][0], pieces[-1][1] + right)
    others = [chunk(0, 3, "x"), chunk(0, 3, "b"), chunk(0, 3, "c")]
    split_up = [chunk(*p, "a") for p in pieces]
    assume(first_ranks(units[:1], split_up[:1]) == (1,))
    whole = [chunk(pieces[0][0], pieces[-1][1], "a")]
    assert first_ranks(units, split_up + others) == first_ranks(units, whole + others)


@given(spans(), st.data())
def test_a_span_is_found_however_its_document_is_chunked(place: Span, data: st.DataObject) -> None:
    pieces = data.draw(splits(0, LENGTH))
    order = data.draw(st.permutations(pieces))
    (rank,) = first_ranks([GoldUnit("a", (place,))], [chunk(*p, "a") for p in order])
    assert rank is not None


@given(gold, rankings, st.integers(1, 9))
def test_recall_rises_with_depth(units: list[GoldUnit], ranking: Ranking, k: int) -> None:
    ranks = first_ranks(units, ranking)
    assert recall_at(k, ranks) <= recall_at(k + 1, ranks)
