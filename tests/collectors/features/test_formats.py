"""Lines are told apart by what they look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.features.formats import FORMATS, format_mix, line_format

LINES = {
    "prose": [
        "The lighthouse was lit in 1872 (and again in 1931).",
        "If it rains, the ferry leaves later.",
        "Total sales rose by 4 %; costs fell.",
        "A or B | both are fine",
        "Das Schiff fährt um sieben, um zwölf und um fünf Uhr.",
        "灯台は1872年に建てられました。",
    ],
    "table": [
        "Fixed Price | $ 1,452.4 | $ 1,146.2",
        "| a | b |",
        "name\tcount\tprice",
        "+-----+-----+",
        "===== =====",
    ],
    "code": [
        "def f(x):",
        "    return x + 1",
        "import os",
        "for (int i = 0; i < n; i++) {",
        "}",
        ">>> print(x)",
        "$ sudo apt install jq",
        "`sudo !!`",
        "x = {'a': [1, 2]}",
        "#include <stdio.h>",
        "    # a comment (see f)",
    ],
    "markup": ["# Heading", "<p>Text</p>", "== History ==", "\\section{One}", ".. note::", "-----"],
    "list": ["- milk", "* milk", "• milk", "1. milk", "(a) milk", "12) milk"],
}


@pytest.mark.parametrize(("line", "expected"), [(li, k) for k, v in LINES.items() for li in v])
def test_lines(line: str, expected: str) -> None:
    assert line_format(line) == expected


def test_shares_are_of_characters() -> None:
    mix = format_mix(["- four\n\nprose with twenty-four", "   \n"])
    assert mix is not None
    assert mix["list"] == pytest.approx(6 / 28)
    assert mix["prose"] == pytest.approx(22 / 28)


@given(st.lists(st.text(max_size=100), max_size=5))
def test_shares_add_up_to_one(texts: list[str]) -> None:
    mix = format_mix(texts)
    if mix is None:
        assert not any(t.strip() for t in texts)
    else:
        assert set(mix) == set(FORMATS)
        assert sum(mix.values()) == pytest.approx(1)
