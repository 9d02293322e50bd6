"""A config: a full, valid assignment of the active knobs of a space. Made by ``Space`` only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from autorag.space.domains import Value


@dataclass(frozen=True, eq=False)
class Config(Mapping[str, Value]):
    """An immutable mapping from knob name to value, active knobs only, in knob order.

    In JSON it is a flat object of dotted knob names. Two configs are equal when their canonical
    JSON (sorted keys, no white space) is; ``hash_hex`` is its BLAKE2b-128 in hex.
    """

    values_by_knob: tuple[tuple[str, Value], ...]

    @cached_property
    def _lookup(self) -> dict[str, Value]:
        return dict(self.values_by_knob)

    def __getitem__(self, knob: str) -> Value:
        return self._lookup[knob]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lookup)

    def __len__(self) -> int:
        return len(self._lookup)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)

    def __repr__(self) -> str:
        return f"Config({self.canonical})"

    @cached_property
    def canonical(self) -> str:
        """Canonical JSON."""
        return json.dumps(self._lookup, sort_keys=True, separators=(",", ":"))

    @cached_property
    def hash_hex(self) -> str:
        """32 hex digits that identify the config."""
        return blake2b(self.canonical.encode(), digest_size=16).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """A flat object of dotted knob names, accepted back by ``Space.config``."""
        return dict(self._lookup)

    def changed(self, other: Config) -> dict[str, tuple[Value | None, Value | None]]:
        """Knob → (here, there) for every knob that differs; None where it is inactive."""
        names = [*self, *(k for k in other if k not in self)]
        return {k: (self.get(k), other.get(k)) for k in names if self.get(k) != other.get(k)}
