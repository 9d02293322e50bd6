"""Reading numbers out of a server's answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(row: Mapping[str, Any], *path: str) -> float | None:
    """The number at a path of keys; None where there is none."""
    value: Any = row
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    told = isinstance(value, int | float) and not isinstance(value, bool)
    return value if told else None


def usage(answer: Mapping[str, Any]) -> dict[str, float | None]:
    """The token counts that OpenAI's protocol has."""
    return {
        "prompt_tokens": number(answer, "usage", "prompt_tokens"),
        "cached_tokens": number(answer, "usage", "prompt_tokens_details", "cached_tokens"),
        "generated_tokens": number(answer, "usage", "completion_tokens"),
    }
