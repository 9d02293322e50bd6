"""Bodies whose values are checked deep inside, described as far as a schema can: objectives,
spaces, workload features and hardware profiles, the last made from the dataclasses that they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pydantic
from pydantic import create_model

from api.http.schema import Body, Member, ShortText, Text, described
from autorag.features import FEATURES, SCHEMA
from autorag.hardware import HardwareProfile
from autorag.metrics import METRICS
from autorag.space.declared import MAX_KNOBS

LARGEST_FIGURE = 1e15

_METRIC = f"({'|'.join(METRICS)})"
_NUMBER = r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"
_BOUND = rf"\s*{_METRIC}\s*(<=|>=|≤|≥|<|>)\s*{_NUMBER}\s*"

OBJECTIVE_SCHEMA = {
    "type": "string",
    "maxLength": 2000,
    "pattern": rf"^\s*([mM][aA][xX]|[mM][iI][nN])\s+{_METRIC}"
    rf"(\s+[sS][uU][bB][jJ][eE][cC][tT]\s+[tT][oO]\s+{_BOUND}((,|and){_BOUND})*)?\s*$",
}
"""Of an objective; that no metric is bounded twice cannot be said."""

ObjectiveText = Annotated[
    Text,
    pydantic.Field(
        description="What to optimise, and what must hold.",
        examples=["max ndcg_at_10 subject to latency_p95_ms <= 50"],
        json_schema_extra=OBJECTIVE_SCHEMA,
    ),
]

SPACE_SCHEMA = {
    "properties": {
        "reference": {
            "anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]
        },
        "knobs": {
            "type": "array",
            "maxItems": MAX_KNOBS,
            "items": {
                "type": "object",
                "required": ["name", "type"],
                "properties": {
                    "name": {"type": "string", "pattern": r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$"},
                    "type": {"enum": ["int", "float", "choice", "bool"]},
                },
            },
        },
    },
    "additionalProperties": False,
}
"""Of a space; what a knob may hold besides depends on its type."""

FeatureValues = create_model(
    "FeatureValues",
    __base__=Body,
    __doc__="A value for every feature; null where it is not known.",
    **{feature.name: (float | None, ...) for feature in FEATURES},  # type: ignore[call-overload]
)


class Features(Body):
    """Features of a workload, as ``autorag tune --json`` prints them."""

    model_config = described(
        {"schema": SCHEMA, "values": {f.name: 0.5 for f in FEATURES}, "reasons": {}}
    )

    schema_: Annotated[int, pydantic.Field(alias="schema", ge=SCHEMA, le=SCHEMA)]
    values: FeatureValues  # type: ignore[valid-type]
    reasons: dict[Member, Text] = {}

    def to_json(self) -> dict[str, Any]:
        """As it was given."""
        return self.model_dump(by_alias=True)


def _model(kind: type[Any]) -> type[Body]:
    """A dataclass as a body; its numbers count or measure something."""
    hints = get_type_hints(kind)
    members: dict[str, Any] = {
        f.name: (_json_type(hints[f.name]), _default(f)) for f in fields(kind)
    }
    return create_model(kind.__name__, __base__=Body, __doc__=kind.__doc__, **members)


def _json_type(hint: Any) -> Any:
    """The type of what JSON has for a value of this type."""
    arguments, origin = get_args(hint), get_origin(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _model(hint)
    if origin in (Union, UnionType):
        return Union[tuple(map(_json_type, arguments))]  # noqa: UP007
    if origin is tuple:
        return list[_json_type(arguments[0])]  # type: ignore[misc]
    if origin is not None and issubclass(origin, Mapping):
        return dict[Member, _json_type(arguments[1])]  # type: ignore[misc]
    if hint in (int, float):
        return Annotated[hint, pydantic.Field(ge=0, le=LARGEST_FIGURE)]
    return Text if hint is str else hint


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return ... if field.default_factory is MISSING else field.default_factory()


_PROFILE = {
    "identity": {
        "cpu_model": "Example CPU",
        "architecture": "x86_64",
        "isa": ["avx2", "fma"],
        "caches": [{"level": 3, "kind": "unified", "kb": 32768, "instances": 1}],
        "usable_cores": 8,
        "affinity_cores": 8,
        "cpu_quota": 8.0,
        "memory_mb": 32768.0,
        "gpus": [],
        "kernel": "6.8.0",
        "software": {"numpy": "2.4.6"},
    },
    "rates": {
        "copy_one_gb_s": {"median": 14.4, "spread": 0.01, "unit": "GB/s", "repeats": 3},
    },
}


class HardwareBody(_model(HardwareProfile)):  # type: ignore[misc]
    """A hardware profile, as ``autorag profile --json`` prints it."""

    model_config = described(_PROFILE)

    fingerprint: ShortText | None = None
    busy: bool | None = None
