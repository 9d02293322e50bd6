"""The schema of workload features: declared once, in order, and nothing else is accepted."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import InputError
from autorag.features import (
    FEATURES,
    GROUPS,
    SCHEMA,
    WorkloadFeatures,
    schema_address,
    unknown,
)

NAMES = [f.name for f in FEATURES]
SCHEMAS = {1: "e5af5b12560c66d4cf78947acfef4085de4d8047"}
"""Schema → address of its declarations, of every schema there has been."""

values = st.lists(
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    min_size=len(NAMES),
    max_size=len(NAMES),
)


def features(row: list[float | None]) -> WorkloadFeatures:
    return WorkloadFeatures.from_json(
        {"schema": SCHEMA, "values": dict(zip(NAMES, row, strict=True)), "reasons": {}}
    )


NOTHING = features([None] * len(NAMES))


def test_a_changed_declaration_is_a_new_schema() -> None:
    """When this fails, raise SCHEMA and add its address here."""
    assert SCHEMAS[SCHEMA] == schema_address()
    assert max(SCHEMAS) == SCHEMA


def test_names_are_unique_and_every_feature_says_what_it_is() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for feature in FEATURES:
        assert feature.unit
        assert feature.definition.endswith((".", ";")), feature.name
        assert f"{feature.name} [{feature.unit}]" in str(GROUPS[feature.group].__doc__)
        assert feature.definition in str(GROUPS[feature.group].__doc__)


def test_only_shares_and_plain_figures_are_linear() -> None:
    """Counts and lengths differ by orders of magnitude."""
    assert {f.unit for f in FEATURES if f.scale == "log"} >= {"tokens", "documents", "words"}
    assert all(f.scale == "linear" for f in FEATURES if f.unit == "share")


@given(values)
def test_features_survive_json(row: list[float | None]) -> None:
    made = features(row)
    again = WorkloadFeatures.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    assert again.vector() == tuple(row)
    assert list(again.values()) == NAMES


def test_a_vector_becomes_an_array_with_gaps() -> None:
    array = np.array(NOTHING.vector(), dtype=float)
    assert array.shape == (len(NAMES),)
    assert np.isnan(array).all()


def test_reasons_are_kept() -> None:
    row = NOTHING.to_json() | {"reasons": {"traffic": "nobody asked"}}
    assert WorkloadFeatures.from_json(row).to_json() == row


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_of_an_unknown_group_nothing_is_known(group: type) -> None:
    made = unknown(group)
    assert {getattr(made, f.name) for f in FEATURES if GROUPS[f.group] is group} == {None}


def changed(**what: Any) -> dict[str, Any]:
    row = NOTHING.to_json()
    return row | {"values": row["values"] | what}


def without(name: str) -> dict[str, Any]:
    row = NOTHING.to_json()
    return row | {"values": {k: v for k, v in row["values"].items() if k != name}}


@pytest.mark.parametrize(
    ("row", "key"),
    [
        (NOTHING.to_json() | {"schema": SCHEMA + 1}, "schema"),
        ({"values": {}}, "schema"),
        ({"schema": SCHEMA}, "values"),
        ({"schema": SCHEMA, "values": [1.0]}, "values"),
        (changed(colour=1.0), "colour"),
        (without("lid"), "lid"),
        (changed(lid="high"), "lid"),
        (changed(lid=True), "lid"),
        (changed(lid=math.nan), "lid"),
        (changed(lid=math.inf), "lid"),
    ],
)
def test_what_is_no_feature_vector_is_refused_by_name(row: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError, match=key) as caught:
        WorkloadFeatures.from_json(row)
    assert caught.value.key == key
