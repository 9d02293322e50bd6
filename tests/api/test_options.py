"""Option values are read, or refused with a message that names them."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cli.options import parse_duration, parse_sets, read_config, read_space
from autorag.errors import ConfigError, InputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("1h2m3s", 3723.0),
        ("1.5h", 5400.0),
        ("0.5", 0.5),
        (" 2M ", 120.0),
        ("none", math.inf),
        ("None", math.inf),
    ],
)
def test_durations_that_are_understood(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    total = hours * 3600 + minutes * 60 + seconds
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == total


@pytest.mark.parametrize(
    "text", ["", " ", "0", "0s", "0h0m", "-5", "-5m", "soon", "5x", "10s5m", "1h 30m", "1e3", "inf"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_duration(text)
    assert (caught.value.key, caught.value.value) == ("budget", text)
    assert f"--budget {text!r}" in str(caught.value)


@given(st.text("0123456789.hms -+enx", max_size=8))
def test_any_text_is_a_duration_or_an_input_error(text: str) -> None:
    with suppress(InputError):
        assert parse_duration(text) > 0


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("index.kind=hnsw", "hnsw"),
        ("chunk.tokens=128", 128),
        ("chunk.overlap=0.2", 0.2),
        ("a.b=true", True),
        ('a.b="128"', "128"),
        ("a.b= x ", "x"),
        ("a.b=k=v", "k=v"),
        ("a.b=", ""),
        ("rerank.model=/models/a b", "/models/a b"),
    ],
)
def test_values_are_json_where_they_parse_as_such(pair: str, value: Any) -> None:
    (found,) = parse_sets([pair]).values()
    assert found == value
    assert type(found) is type(value)


def test_several_knobs_can_be_set() -> None:
    assert parse_sets(["a.b=1", " c.d =x"]) == {"a.b": 1, "c.d": "x"}
    assert parse_sets([]) == {}


@pytest.mark.parametrize("pair", ["index.kind", "=hnsw", " =1", ""])
def test_what_is_no_assignment_is_refused(pair: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sets([pair])
    assert repr(pair) in str(caught.value)


def test_a_knob_set_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a\.b: given twice"):
        parse_sets(["a.b=1", "c.d=1", "a.b=1"])


@given(st.lists(st.text(max_size=10), max_size=3))
def test_any_pairs_are_read_or_a_config_error(pairs: list[str]) -> None:
    with suppress(ConfigError):
        assert len(parse_sets(pairs)) == len(pairs)


CONFIG = {"index.kind": "flat", "chunk.tokens": 128}


@pytest.mark.parametrize("content", [CONFIG, {"config": CONFIG, "measured": {"ndcg_at_10": 1.0}}])
def test_a_config_is_read_alone_or_as_a_member(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    assert read_config(path) == CONFIG


def test_no_file_is_no_config() -> None:
    assert read_config(None) == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "malformed JSON"),
        (b"", "malformed JSON"),
        (b"\xff\xfe{}", "malformed JSON"),
        (b"[1]", "expected an object"),
        (b'"index.kind"', "expected an object"),
        (b"[" * 100_000, "malformed JSON"),
    ],
)
def test_a_file_that_holds_no_config_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert why in str(caught.value)


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_space_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text('{"reference": true, "config": {}}')
    assert read_space(path) == {"reference": True, "config": {}}
    assert read_space(None) is None


@pytest.mark.parametrize("content", [None, "{oops", "[]", "[" * 100_000])
def test_a_space_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "space.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"--space .*space\.json") as caught:
        read_space(path)
    assert (caught.value.key, caught.value.value) == ("space", str(path))
