"""Attributes of a span, of which only those are read that mean something to us.

Instrumentations write dozens of attributes a span, most of them content. A key is looked up once
and its meaning remembered, and a value is decoded only if it is wanted. Lists are flattened by
instrumentations into numbered keys (``retrieval.documents.3.document.id``); here they come together
again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from collectors.otlp.dialects import GROUPS, WANTED

REMEMBERED_KEYS = 20_000
LONGEST_KEY = 200

_NUMBERED = re.compile(rf"({'|'.join(map(re.escape, GROUPS))})\.(\d{{1,6}})\.(.+)", re.DOTALL)

_Place = tuple[str, int, str]
_places: dict[str, str | _Place | None] = {}


class Attributes:
    """What is wanted of the attributes of one span, event or log record.

    Attributes:
        scalars: by key.
        groups: group → number → field → value; a number is there although no field of it is wanted,
            so that members are counted whose content was not sent.
    """

    __slots__ = ("groups", "scalars")

    def __init__(self) -> None:
        self.scalars: dict[str, Any] = {}
        self.groups: dict[str, dict[int, dict[str, Any]]] = {}

    def first(self, keys: Iterable[str]) -> Any:
        """The value of the first of these keys that has one."""
        scalars = self.scalars
        for key in keys:
            value = scalars.get(key)
            if value is not None:
                return value
        return None

    def group(self, name: str) -> Mapping[int, Mapping[str, Any]]:
        return self.groups.get(name, {})


def collect(pairs: Iterable[Any], read: Callable[[Any], Any]) -> Attributes:
    """The wanted attributes among these.

    Args:
        pairs: objects with a ``key`` and a ``value``.
        read: decodes a value.
    """
    found = Attributes()
    for pair in pairs:
        key = pair.key
        place = _places[key] if key in _places else _look_up(key)
        if place is None:
            continue
        if isinstance(place, str):
            found.scalars[place] = read(pair.value)
            continue
        group, number, field = place
        member = found.groups.setdefault(group, {}).setdefault(number, {})
        if field in GROUPS[group]:
            member[field] = read(pair.value)
    return found


def _look_up(key: str | None) -> str | _Place | None:
    if key is None or len(key) > LONGEST_KEY:
        return None
    place: str | _Place | None = key if key in WANTED else None
    if place is None and (match := _NUMBERED.fullmatch(key)):
        place = match[1], int(match[2]), match[3]
    if len(_places) >= REMEMBERED_KEYS:
        _places.clear()
    _places[key] = place
    return place
