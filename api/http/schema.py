"""What bodies and parameters share: strict models, names, and the errors that routes declare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

APP_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
LONGEST_NAME = 120
NAME = rf"^[A-Za-z0-9._:@/+-]{{1,{LONGEST_NAME}}}$"
LARGEST_INT = 2**53 - 1


class Body(BaseModel):
    """A body from outside: nothing unknown, nothing converted, only finite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def described(example: Any, **more: Any) -> ConfigDict:
    """A body's example, and what its schema says beside its fields: what is checked elsewhere."""
    return ConfigDict(json_schema_extra={"examples": [example], **more})


def changing(example: Any) -> ConfigDict:
    """As :func:`described`, for a body whose left out fields stay: it has no defaults."""

    def extra(schema: dict[str, Any]) -> None:
        schema["examples"] = [example]
        for field in schema["properties"].values():
            field.pop("default", None)

    return ConfigDict(json_schema_extra=extra)


def given(**types: str) -> dict[str, Any]:
    """Of a schema: these fields are there, of these types; with ``null`` they may be left out."""
    needed = [name for name, type_ in types.items() if type_ != "null"]
    return {"required": needed, "properties": {n: {"type": t} for n, t in types.items()}}


class View(BaseModel):
    """A body that is answered."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """An error, as RFC 9457 has it, with the offending key and value."""

    type: str
    title: str
    status: int
    detail: str
    key: str | None = None
    value: Any = None
    request_id: str | None = None


def _storable(text: str) -> str:
    """A text that every database takes."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("contains a character that cannot be stored (NUL or a lone surrogate)")
    return text


def _storable_json(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, list):
        for item in value:
            _storable_json(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key)
            _storable_json(item)
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_INT:
        raise ValueError(f"an integer beyond ±{LARGEST_INT}, which JSON cannot carry exactly")
    return value


AppName = Annotated[str, Path(pattern=APP_NAME, examples=["support"])]
Name = Annotated[str, Field(pattern=NAME, examples=["web-1"])]
"""Of an instance, a client, a host."""

_WITHOUT_NUL = {"pattern": r"^[^\x00]*$"}
Text = Annotated[
    str, Field(max_length=2000, json_schema_extra=_WITHOUT_NUL), AfterValidator(_storable)
]
ShortText = Annotated[
    str, Field(max_length=LONGEST_NAME, json_schema_extra=_WITHOUT_NUL), AfterValidator(_storable)
]
Member = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_storable)]
"""The name of a member of an object."""

Json = Annotated[JsonValue, AfterValidator(_storable_json)]
Values = Annotated[dict[Member, Json], Field(max_length=1000)]
"""Knob → value."""

RowId = Annotated[int, Path(ge=1, le=LARGEST_INT, examples=[1])]
Limit = Annotated[int, Query(ge=1, le=200, description="Rows at most.")]
Before = Annotated[
    int | None, Query(ge=1, le=LARGEST_INT, description="Only smaller numbers.", examples=[100])
]

_MEANINGS = {
    400: "Something given cannot be used",
    401: "No valid key",
    403: "The key does not open this",
    404: "Not there",
    408: "The body did not arrive in time",
    409: "It does not go together with how things are",
    413: "The body is too large",
    415: "Not JSON",
    422: "Not what the schema says, or an idempotency key used for something else",
    429: "Too many requests",
    500: "The service failed; its log says why",
    503: "Too much at once, or the database does not answer; try again",
}
ALWAYS = (400, 401, 403, 422, 429, 500, 503)
WITH_BODY = (408, 413)

_RETRY = {
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds.", "required": True}
}
ERROR_HEADERS: Mapping[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
    429: _RETRY,
    503: _RETRY,
}
"""What goes with errors, as OpenAPI has it."""


def errors(*more: int) -> dict[int | str, dict[str, Any]]:
    """What a route declares: the errors that every route can answer with, and these."""
    return only(*ALWAYS, *more)


def only(*codes: int) -> dict[int | str, dict[str, Any]]:
    """These errors, as a route declares them."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        code: {
            "description": _MEANINGS[code],
            "content": content,
            "headers": ERROR_HEADERS.get(code, {}),
        }
        for code in sorted(set(codes))
    }


def links(values: Mapping[str, str], *operations: str) -> dict[str, Any]:
    """What of an answer is a parameter of other operations, as OpenAPI's ``links``."""
    return {name: {"operationId": name, "parameters": dict(values)} for name in operations}
