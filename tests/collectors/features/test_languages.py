"""Languages are told apart where script or function words tell."""

from __future__ import annotations

import pytest

from collectors.features.languages import (
    LANGUAGES,
    SCRIPTS,
    language_mix,
    non_latin_share,
    passage_languages,
    script,
)
from collectors.features.words import WordTable
from tests.collectors.features.corpora import document

TEXTS = {
    "english": "The old lighthouse was lit in 1872, and it is one of the oldest on the coast.",
    "german": "Der alte Leuchtturm wurde 1872 gebaut und ist einer der ältesten auf der Insel.",
    "french": "Le vieux phare est une tour de pierre qui domine la mer et les rochers du port.",
    "spanish": "El viejo faro es una torre de piedra que domina el mar y las rocas del puerto.",
    "italian": "Il vecchio faro è una torre di pietra che domina il mare e gli scogli della costa.",
    "portuguese": "O velho farol é uma torre de pedra que não fica longe da praia e das rochas.",
    "dutch": "De oude vuurtoren is een stenen toren die niet ver van het strand en de haven staat.",
    "cyrillic": "Старый маяк был построен на берегу моря в 1872 году.",
    "arabic": "بنيت المنارة القديمة على ساحل البحر في عام 1872.",
    "han": "古老的灯塔建于一八七二年，位于海岸边。",
    "kana": "古い灯台は1872年に海岸に建てられました。",
    "hangul": "오래된 등대는 1872년에 해안에 세워졌다.",
    "indic": "पुराना प्रकाशस्तंभ समुद्र के किनारे बनाया गया था।",
    "greek": "Ο παλιός φάρος χτίστηκε στην ακτή το 1872.",
    "hebrew": "המגדלור הישן נבנה על חוף הים.",
    "thai": "ประภาคารเก่าสร้างขึ้นบนชายฝั่งทะเล",
}


def table(*texts: str) -> WordTable:
    return WordTable.read([document(i, t) for i, t in enumerate(texts)])


@pytest.mark.parametrize("language", TEXTS)
def test_a_sentence_is_in_its_language(language: str) -> None:
    (found,) = passage_languages(table(TEXTS[language]))
    assert LANGUAGES[found] == language


@pytest.mark.parametrize(
    "text",
    [
        "Skarvik Lighthouse 1872",
        "def f(x, y):\n    return x + y if x else None",
        "| 2019 | 2018 | 2017 |\nRevenue | $1,496.5 | $1,202.9 | $1,107.7",
        "o e y a i x",
    ],
)
def test_names_code_and_tables_are_undecided(text: str) -> None:
    (found,) = passage_languages(table(text))
    assert LANGUAGES[found] == "latin"


def test_without_letters_there_is_no_language() -> None:
    assert passage_languages(table("1872 — 42!", "")).tolist() == [-1, -1]
    assert language_mix(table("1872", "")) == (None, None, None)
    assert non_latin_share(table("1872")) is None


def test_the_mix_of_languages() -> None:
    english, other, entropy = language_mix(
        table(TEXTS["english"], TEXTS["german"], TEXTS["han"], TEXTS["english"], "Skarvik", "1872")
    )
    assert (english, other) == pytest.approx((2 / 5, 2 / 5))
    assert entropy == pytest.approx(1.5)


def test_one_language_has_no_entropy() -> None:
    assert language_mix(table(TEXTS["english"])) == (1.0, 0.0, 0.0)
    assert language_mix(table("Skarvik")) == (0.0, 0.0, None)


def test_words_of_other_scripts_are_counted() -> None:
    assert non_latin_share(table("old маяк 1872 東京")) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("a", "latin"), ("é", "latin"), ("x1", "latin"), ("ﬁ", "latin"), ("ж", "cyrillic")],
)
def test_scripts(word: str, expected: str) -> None:
    assert SCRIPTS[script(word)] == expected
    assert script("12_") == -1
