"""An app declares its own space in JSON; what is wrong in it is named with its place and value."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import ConfigError
from autorag.pipeline.space import reference_space
from autorag.space import (
    Choice,
    Config,
    Knob,
    Number,
    Space,
    declared_space,
    knob_to_json,
    space_to_json,
)
from autorag.space.declared import MAX_KNOBS, MAX_VALUES
from autorag.space.given import LARGEST_FLOAT, LARGEST_INTEGER, MAX_LENGTH
from autorag.stages import STAGES
from tests.autorag.spaces import REFERENCE, user_values

MODE = {"name": "search.mode", "type": "choice", "values": ["graph", "scan"], "default": "graph"}
LIMIT = {
    "name": "search.limit",
    "type": "int",
    "low": 1,
    "high": 100,
    "log": True,
    "grid": [50, 5, 10, 20],
    "default": 10,
    "stage": "retrieve",
    "when": {"search.mode": ["graph"]},
    "meaning": "points returned",
}
WEIGHT = {"name": "x.y", "type": "float", "low": 0, "high": 1, "default": 0.5}
FLAG = {"name": "x.on", "type": "bool"}
OWN = {"knobs": [MODE, LIMIT, WEIGHT, FLAG]}


def names(space: Space) -> list[str]:
    return [k.name for k in space]


def one_knob(**changes: Any) -> Knob:
    """A knob declared like ``WEIGHT`` but for some keys; None leaves a key out."""
    declared = {k: v for k, v in {**WEIGHT, **changes}.items() if v is not None}
    (knob,) = declared_space({"knobs": [declared]}, REFERENCE)
    return knob


# -- which knobs ----------------------------------------------------------------------------


@pytest.mark.parametrize("declaration", [None, {}, {"knobs": []}, {"reference": True}])
def test_without_own_knobs_the_space_is_the_reference(declaration: Any) -> None:
    assert declared_space(declaration, REFERENCE) == REFERENCE


@pytest.mark.parametrize(
    "declaration", [OWN, {**OWN, "reference": False}, {**OWN, "reference": []}]
)
def test_with_own_knobs_the_reference_is_left_out(declaration: Any) -> None:
    space = declared_space(declaration, REFERENCE)
    assert names(space) == ["search.mode", "search.limit", "x.y", "x.on"]
    assert dict(space.default()) == {
        "search.mode": "graph",
        "search.limit": 10,
        "x.y": 0.5,
        "x.on": False,
    }


def test_a_part_of_the_reference_stands_before_the_own_knobs() -> None:
    taken = ["retrieve.k", "retrieve.mode", "retrieve.alpha"]
    space = declared_space({**OWN, "reference": taken}, REFERENCE)
    assert names(space)[:4] == ["retrieve.mode", "retrieve.alpha", "retrieve.k", "search.mode"]
    assert "retrieve.alpha" in space.config({"retrieve.mode": "hybrid", "search.mode": "scan"})


def test_the_rules_of_the_reference_hold_beside_own_knobs() -> None:
    space = declared_space({**OWN, "reference": True}, REFERENCE)
    with pytest.raises(ConfigError, match=r"more than retrieve\.k = 3"):
        space.config({"retrieve.k": 3, "generate.contexts": 5, "x.on": True})


def test_an_own_knob_may_depend_on_one_of_the_reference() -> None:
    knob = {**WEIGHT, "when": {"retrieve.mode": ["hybrid"]}}
    space = declared_space({"reference": ["retrieve.mode"], "knobs": [knob]}, REFERENCE)
    assert "x.y" not in space.default()
    assert space.config({"retrieve.mode": "hybrid"})["x.y"] == 0.5


def test_an_own_knob_may_take_the_name_of_one_left_out() -> None:
    knob = one_knob(name="retrieve.k", type="int", high=7, default=3)
    assert knob.domain == Number(0, 7, integer=True)


# -- what a knob is -------------------------------------------------------------------------


def test_numbers_have_sorted_grids_of_their_own_kind() -> None:
    space = declared_space(OWN, REFERENCE)
    expected = Number(1, 100, integer=True, log=True, grid=(5, 10, 20, 50))
    assert space["search.limit"].domain == expected
    assert repr(one_knob(grid=[1, 0, 0.25]).domain.grid) == "(0.0, 0.25, 1.0)"
    assert repr(one_knob(type="int", default=1.0).default) == "1"


@pytest.mark.parametrize(
    ("changes", "stage", "applied"),
    [
        ({"name": "x.y"}, None, "hot"),
        ({"name": "retrieve.limit"}, "retrieve", "hot"),
        ({"name": "x.y", "stage": "index", "apply": "rebuild"}, "index", "rebuild:index"),
        ({"name": "embed.device.id", "apply": "restart"}, "embed", "restart:embed"),
    ],
)
def test_the_stage_is_said_or_stands_in_the_name(
    changes: dict[str, Any], stage: str | None, applied: str
) -> None:
    knob = one_knob(**changes)
    assert (knob.stage, knob.applied) == (stage, applied)


def test_a_stage_in_the_name_can_be_denied() -> None:
    knob = {**WEIGHT, "name": "embed.device", "stage": None, "apply": "restart"}
    (declared,) = declared_space({"knobs": [knob]}, REFERENCE)
    assert (declared.stage, declared.applied) == (None, "restart:embed")


def test_a_knob_can_change_answers_unless_it_says_otherwise() -> None:
    assert one_knob().algorithmic
    assert not one_knob(algorithmic=False).algorithmic


# -- what is refused ------------------------------------------------------------------------

DEEP: Any = []
for _ in range(50):
    DEEP = [DEEP]

KNOB_ERRORS: list[tuple[dict[str, Any], str, str]] = [
    ({"name": None}, "name", "is missing"),
    ({"name": 5}, "name", "expected a text"),
    ({"name": "x"}, "name", "dots between"),
    ({"name": "X.y"}, "name", "lower case"),
    ({"name": "x.y\n"}, "name", "lower case"),
    ({"name": "x." + "y" * MAX_LENGTH}, "name", "202 characters, at most 200"),
    ({"type": None}, "type", "is missing"),
    ({"type": "integer"}, "type", "one of int, float, choice, bool"),
    ({"type": ["int"]}, "type", "one of int, float, choice, bool"),
    ({"low": None}, "low", "is missing"),
    ({"low": "0"}, "low", "expected a number"),
    ({"low": True}, "low", "expected a number"),
    ({"low": float("nan")}, "low", "expected a number"),
    ({"low": 0.12345678}, "low", "6 digits after the point"),
    ({"low": 2}, "high", "less than low = 2"),
    ({"high": float("inf")}, "high", "at most 1e+06 in size"),
    ({"high": 10 * LARGEST_FLOAT}, "high", "at most 1e+06 in size"),
    ({"type": "int", "high": 10**400}, "high", "at most 1e+12 in size"),
    ({"type": "int", "high": 1.5}, "high", "expected a whole number"),
    ({"log": True}, "low", "starts above 0"),
    ({"log": 1}, "log", "expected true or false"),
    ({"grid": 5}, "grid", "expected a list"),
    ({"grid": [0.5, 2]}, "grid[1]", "a number from 0 to 1"),
    ({"grid": [0.5, 0.1, 0.5]}, "grid[2]", "is not distinct"),
    ({"grid": [0.5] * (MAX_VALUES + 1)}, "grid", "201 items, at most 200"),
    ({"default": None}, "default", "is missing"),
    ({"default": 2}, "default", "a number from 0 to 1"),
    ({"default": DEEP}, "default", "a number from 0 to 1"),
    ({"stage": "serve"}, "stage", "one of parse, chunk, embed"),
    ({"apply": "now"}, "apply", "one of hot, restart, rebuild"),
    ({"apply": "restart"}, "apply", "name one in space.knobs[0].stage"),
    ({"algorithmic": "yes"}, "algorithmic", "expected true or false"),
    ({"meaning": 1}, "meaning", "expected a text"),
    ({"meaning": "a\0"}, "meaning", "NUL"),
    ({"meaning": "a\ud800"}, "meaning", "half a surrogate pair"),
    ({"values": [1]}, "values", "means nothing for a knob of type float"),
    ({"defualt": 1}, "defualt", "did you mean default?"),
    ({"zzz": 1}, "zzz", "known are name, type"),
    ({"when": []}, "when", "expected an object"),
    ({"when": {f"x.k{i}": [1] for i in range(11)}}, "when", "names 11 knobs, at most 10"),
    ({"when": {"x.z": [1]}}, "when.x.z", "stands before this one"),
    ({"when": {"x.y": [1]}}, "when.x.y", "stands before this one"),
]
CHOICE_ERRORS: list[tuple[dict[str, Any], str, str]] = [
    ({"default": None}, "default", "is missing"),
    ({"default": "c"}, "default", "one of a, b"),
    ({"values": None}, "values", "is missing"),
    ({"values": []}, "values", "at least one value"),
    ({"values": ["a", {}]}, "values[1]", "expected a text, true, false or a number"),
    ({"values": ["a", None]}, "values[1]", "expected a text, true, false or a number"),
    ({"values": ["a", float("nan")]}, "values[1]", "expected a text, true, false or a number"),
    ({"values": [10 * LARGEST_INTEGER]}, "values[0]", "at most 1e+12 in size"),
    ({"values": ["a" * (MAX_LENGTH + 1)]}, "values[0]", "201 characters"),
    ({"values": [1, True]}, "values[1]", "is not distinct"),
    ({"values": [1, 1.0]}, "values[1]", "is not distinct"),
    ({"values": [1, "1"]}, "values[1]", "is not distinct"),
    ({"values": [str(i) for i in range(MAX_VALUES + 1)]}, "values", "201 items"),
    ({"ordered": 0}, "ordered", "expected true or false"),
    ({"low": 0}, "low", "means nothing for a knob of type choice"),
]
CHOICE = {"name": "x.c", "type": "choice", "values": ["a", "b"], "default": "a"}


@pytest.mark.parametrize(
    ("knob", "key", "why"),
    [
        (
            {k: v for k, v in {**base, **changes}.items() if v is not None},
            f"space.knobs[0].{key}",
            why,
        )
        for base, cases in ((WEIGHT, KNOB_ERRORS), (CHOICE, CHOICE_ERRORS))
        for changes, key, why in cases
    ],
    ids=lambda x: x[:40] if isinstance(x, str) else "",
)
def test_a_knob_that_cannot_be_is_named_with_its_key(
    knob: dict[str, Any], key: str, why: str
) -> None:
    with pytest.raises(ConfigError) as error:
        declared_space({"knobs": [knob]}, REFERENCE)
    assert error.value.key == key
    assert str(error.value).startswith(key)
    assert why in str(error.value)
    assert len(str(error.value)) < 400
    str(error.value).encode()


def test_the_refused_value_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^space\.knobs\[1\]\.low = 'few': ") as error:
        declared_space({"knobs": [FLAG, {**WEIGHT, "low": "few"}]}, REFERENCE)
    assert error.value.value == "few"


@pytest.mark.parametrize(
    ("declaration", "key", "why"),
    [
        ([], "space", "expected an object"),
        ("all", "space", "expected an object"),
        ({"knob": []}, "space.knob", "did you mean knobs?"),
        ({"\ud800" * 1000: 1}, None, "known are reference, knobs"),
        ({"knobs": {}}, "space.knobs", "expected a list"),
        ({"knobs": [5]}, "space.knobs[0]", "expected an object"),
        ({"knobs": [FLAG] * (MAX_KNOBS + 1)}, "space.knobs", "101 items, at most 100"),
        ({"knobs": [FLAG, FLAG]}, "space.knobs[1].name", "is a knob of this space already"),
        ({"reference": False}, "space", "declares no knob"),
        ({"reference": []}, "space", "declares no knob"),
        ({"reference": "all"}, "space.reference", "expected a list"),
        ({"reference": None}, "space.reference", "expected a list"),
        ({"reference": [1]}, "space.reference[0]", "expected a text"),
        ({"reference": ["retrieve.kk"]}, "space.reference[0]", "did you mean retrieve.k?"),
        ({"reference": ["cache.mb"] * 2}, "space.reference[1]", "stands there twice"),
        (
            {"reference": True, "knobs": [{**FLAG, "name": "retrieve.k"}]},
            "space.knobs[0].name",
            "is a knob of this space already",
        ),
        (
            {"knobs": [{**FLAG, "when": {"retrieve.mode": ["dense"]}}]},
            "space.knobs[0].when.retrieve.mode",
            "stands before this one",
        ),
        (
            {"knobs": [MODE, {**FLAG, "when": {"search.mode": ["tree"]}}]},
            "space.knobs[1].when.search.mode[0]",
            "one of graph, scan",
        ),
        (
            {"knobs": [MODE, {**FLAG, "when": {"search.mode": []}}]},
            "space.knobs[1].when.search.mode",
            "at least one value",
        ),
        (
            {"knobs": [MODE, {**FLAG, "when": {"search.mode": "graph"}}]},
            "space.knobs[1].when.search.mode",
            "expected a list",
        ),
    ],
)
def test_a_declaration_that_cannot_be_is_named_with_its_key(
    declaration: Any, key: str | None, why: str
) -> None:
    with pytest.raises(ConfigError) as error:
        declared_space(declaration, REFERENCE)
    assert error.value.key == key or key is None
    assert why in str(error.value)
    f"{error.value.key} {error.value}".encode()


def test_a_part_of_the_reference_whose_default_breaks_a_rule_is_refused() -> None:
    odd = reference_space({"odd": 100}, generators=(), cores=1)
    taken = ["embed.model", "embed.dim", "index.pq_m"]
    with pytest.raises(ConfigError, match="does not divide the 100 dimensions") as error:
        declared_space({"reference": taken}, odd)
    assert error.value.key == "space"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["knobs", "reference", *LIMIT, "values"]), inner)
    ),
    max_leaves=15,
)


def space_or_refusal(declaration: Any) -> Space | ConfigError:
    try:
        return declared_space(declaration, REFERENCE)
    except ConfigError as error:
        return error


@given(st.dictionaries(st.sampled_from(["knobs", "reference"]), JSON) | JSON)
def test_any_json_is_a_space_or_refused(declaration: Any) -> None:
    found = space_or_refusal(declaration)
    if isinstance(found, Space):
        assert found.valid(found.default())
    else:
        assert str(found.key).startswith("space")


@given(st.sampled_from(OWN["knobs"]), st.sampled_from([*LIMIT, "values", "ordered"]), JSON)
def test_a_knob_with_any_value_under_a_key_is_a_knob_or_refused(
    knob: dict[str, Any], key: str, value: Any
) -> None:
    own = {**knob, "name": "own.knob", key: value}
    found = space_or_refusal({"knobs": [MODE, own]})
    if isinstance(found, Space):
        assert found.valid(found.sample(np.random.default_rng(0)))
    else:
        assert str(found.key).startswith("space.knobs[1]")


# -- declared numbers -----------------------------------------------------------------------

decimals = st.floats(-LARGEST_FLOAT, LARGEST_FLOAT).map(lambda x: round(x, 6))
wholes = st.integers(-LARGEST_INTEGER, LARGEST_INTEGER)


@st.composite
def number_spaces(draw: st.DrawFn) -> tuple[Space, Config]:
    """A space of one declared number, and a config of it."""
    kind = draw(st.sampled_from(["int", "float"]))
    bound = wholes if kind == "int" else decimals
    low, high = sorted(draw(st.tuples(bound, bound)))
    log = low > 0 and draw(st.booleans())
    knob = {"name": "x.n", "type": kind, "low": low, "high": high, "log": log, "default": low}
    space = declared_space({"knobs": [knob]}, REFERENCE)
    return space, space.config({"x.n": draw(user_values(space["x.n"].domain))})


@given(number_spaces(), st.integers(0, 2**32 - 1))
def test_declared_numbers_decode_to_what_was_encoded(case: tuple[Space, Config], seed: int) -> None:
    space, config = case
    drawn = space.sample(np.random.default_rng(seed))
    for c in (config, drawn, *space.neighbours(config)):
        assert space.valid(c)
        assert space.decode(space.encode(c)) == c


# -- what clients see -----------------------------------------------------------------------


def test_a_space_is_shown_in_full() -> None:
    assert space_to_json(declared_space(OWN, REFERENCE))["knobs"] == [
        {
            "name": "search.mode",
            "type": "choice",
            "values": ["graph", "scan"],
            "ordered": False,
            "default": "graph",
            "stage": None,
            "applied": "hot",
            "algorithmic": True,
            "when": {},
            "meaning": "",
        },
        {
            "name": "search.limit",
            "type": "int",
            "low": 1,
            "high": 100,
            "log": True,
            "grid": [5, 10, 20, 50],
            "default": 10,
            "stage": "retrieve",
            "applied": "hot",
            "algorithmic": True,
            "when": {"search.mode": ["graph"]},
            "meaning": "points returned",
        },
        {
            "name": "x.y",
            "type": "float",
            "low": 0.0,
            "high": 1.0,
            "log": False,
            "grid": [],
            "default": 0.5,
            "stage": None,
            "applied": "hot",
            "algorithmic": True,
            "when": {},
            "meaning": "",
        },
        {
            "name": "x.on",
            "type": "bool",
            "default": False,
            "stage": None,
            "applied": "hot",
            "algorithmic": True,
            "when": {},
            "meaning": "",
        },
    ]


def test_a_shown_knob_names_the_stage_that_restarts() -> None:
    assert knob_to_json(REFERENCE["rerank.model"])["applied"] == "restart:rerank"
    assert knob_to_json(REFERENCE["embed.dim"])["values"] == [64, 128, 256, "full"]
    assert knob_to_json(REFERENCE["batch.embed"])["when"] == {
        "retrieve.mode": ["dense", "hybrid"],
        "embed.model": ["minilm"],
    }


def test_zeros_and_ones_are_not_shown_as_true_and_false() -> None:
    shown = knob_to_json(Knob("x.y", Choice((0, 1), ordered=True), 0, None))
    assert (shown["type"], shown["values"]) == ("choice", [0, 1])


def test_the_reference_space_is_shown_in_plain_json() -> None:
    shown = json.loads(json.dumps(space_to_json(REFERENCE), allow_nan=False))["knobs"]
    assert [k["name"] for k in shown] == names(REFERENCE)
    assert {k["stage"] for k in shown} <= {None, *STAGES}


def test_a_shown_space_can_be_declared() -> None:
    shown = space_to_json(REFERENCE)["knobs"]
    knobs = [{**k, "apply": k["applied"].split(":")[0]} for k in shown]
    for knob in knobs:
        del knob["applied"]
    declared = declared_space({"knobs": knobs}, REFERENCE)
    assert declared.knobs == REFERENCE.knobs
