"""What bodies and parameters share: strict models, names, and the errors that routes declare."""

from __future__ import annotations

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

Text = Annotated[str, Field(max_length=2000), AfterValidator(_storable)]
ShortText = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_storable)]
Json = Annotated[JsonValue, AfterValidator(_storable_json)]
Values = Annotated[dict[ShortText, Json], Field(max_length=1000)]
"""Knob → value."""

RowId = Annotated[int, Path(ge=1, le=LARGEST_INT, examples=[1])]
Limit = Annotated[int, Query(ge=1, le=200, description="Rows at most.")]
Before = Annotated[int | None, Query(ge=1, le=LARGEST_INT, description="Only smaller numbers.")]

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
ALWAYS = (400, 401, 403, 422, 429, 503)
WITH_BODY = (408, 413)


def errors(*more: int) -> dict[int | str, dict[str, Any]]:
    """What a route declares: the errors that every route can answer with, and these."""
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema}}
    codes = sorted({*ALWAYS, *more})
    return {code: {"description": _MEANINGS[code], "content": content} for code in codes}
