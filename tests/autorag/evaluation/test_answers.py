"""Answer metrics agree with SQuAD cases worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.evaluation.answers import answer_em, answer_f1, normalise

words = st.text(alphabet="abc the.,", max_size=20)
golds = st.lists(words, min_size=1, max_size=3)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Eiffel Tower!", "eiffel tower"),
        ("a  man, an\tapple; the\nend", "man apple end"),
        ("U.S.", "us"),
        ("theatre antenna", "theatre antenna"),
        ("$1,496.5", "14965"),
        ("The", ""),
        ("  ", ""),
    ],
)
def test_the_normal_form(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("answer", "gold", "em", "f1"),
    [
        ("the Denver Broncos.", ["Denver Broncos"], 1, 1),
        ("Broncos", ["Denver Broncos"], 0, 2 / 3),
        ("the Denver Broncos won", ["Denver Broncos"], 0, 0.8),
        ("Broncos Denver", ["Denver Broncos"], 0, 1),
        ("Carolina Panthers", ["Denver Broncos"], 0, 0),
        ("blue blue red", ["blue red red"], 0, 2 / 3),
        ("blue blue", ["blue"], 0, 2 / 3),
        ("in 1889", ["1889", "in the year 1889"], 0, 0.8),
        ("1889", ["in 1890", "1889"], 1, 1),
        ("", ["1889"], 0, 0),
        ("the", ["an"], 1, 1),
        ("1889", [], 0, 0),
    ],
)
def test_cases_worked_out_by_hand(answer: str, gold: list[str], em: float, f1: float) -> None:
    assert answer_em(answer, gold) == em
    assert answer_f1(answer, gold) == pytest.approx(f1)


@given(words, golds)
def test_both_lie_in_the_unit_interval_and_a_match_has_full_f1(
    answer: str, gold: list[str]
) -> None:
    em, f1 = answer_em(answer, gold), answer_f1(answer, gold)
    assert em in (0, 1)
    assert 0 <= f1 <= 1
    assert em == 0 or f1 == 1


@given(words, golds, words)
def test_another_gold_answer_lowers_nothing(answer: str, gold: list[str], other: str) -> None:
    assert answer_em(answer, [*gold, other]) >= answer_em(answer, gold)
    assert answer_f1(answer, [*gold, other]) >= answer_f1(answer, gold)


@given(words, words)
def test_f1_is_symmetric(answer: str, gold: str) -> None:
    assert answer_f1(answer, [gold]) == pytest.approx(answer_f1(gold, [answer]))


@given(golds, st.data())
def test_a_gold_answer_is_right(gold: list[str], data: st.DataObject) -> None:
    assert answer_em(data.draw(st.sampled_from(gold)), gold) == 1
