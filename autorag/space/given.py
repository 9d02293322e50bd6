"""JSON values as somebody gave them, each with the key that messages name it by."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

from autorag.errors import ConfigError
from autorag.space.domains import FLOAT_DIGITS, Domain, Value

MAX_LENGTH = 200
LARGEST_INTEGER = 10**12
LARGEST_FLOAT = 10**6
"""Up to these, a domain encodes and decodes a number exactly, on a logarithmic scale too."""

_MISSING: Any = object()

_short = Repr()
_short.maxstring = _short.maxother = 80


@dataclass(frozen=True, slots=True)
class Given:
    """A JSON value and where it stands, like ``space.knobs[2].low``.

    Everything but :meth:`refused` raises ``ConfigError`` when the value is not what is asked for.
    """

    key: str
    value: Any

    def refused(self, why: str) -> ConfigError:
        """The error that says why the value cannot be."""
        message = f"{self.key} = {_short.repr(self.value)}: {why}"
        return ConfigError(message, key=self.key, value=self.value)

    # -- objects and lists ------------------------------------------------------------------

    def only(self, known: Collection[str]) -> Given:
        """Itself, an object with no other keys than these."""
        for name in self.names():
            if name not in known:
                close = get_close_matches(str(name)[:MAX_LENGTH], known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
                raise self.at(name).refused(f"unknown key; {hint}")
        return self

    def names(self) -> list[str]:
        """The keys of an object."""
        if not isinstance(self.value, Mapping):
            raise self.refused("expected an object")
        return list(self.value)

    def at(self, name: str, default: Any = _MISSING) -> Given:
        """What stands under a key of an object; the default, where there is one and no key."""
        key, value = f"{self.key}.{_plain(name)}", self.value.get(name, default)
        if value is _MISSING:
            raise ConfigError(f"{key} is missing", key=key)
        return Given(key, value)

    def items(self, most: int) -> list[Given]:
        """The items of a list of at most this many."""
        if not isinstance(self.value, list | tuple):
            raise self.refused("expected a list")
        if len(self.value) > most:
            raise self.refused(f"has {len(self.value)} items, at most {most} are allowed")
        return [Given(f"{self.key}[{i}]", item) for i, item in enumerate(self.value)]

    # -- single values ----------------------------------------------------------------------

    def text(self) -> str:
        """A text of bounded length that every store can hold."""
        if not isinstance(self.value, str):
            raise self.refused("expected a text")
        if len(self.value) > MAX_LENGTH:
            raise self.refused(
                f"has {len(self.value)} characters, at most {MAX_LENGTH} are allowed"
            )
        if "\0" in self.value or any("\ud800" <= c <= "\udfff" for c in self.value):
            raise self.refused("has a NUL or half a surrogate pair")
        return self.value

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.refused("expected true or false")
        return self.value

    def one_of(self, values: Collection[Any]) -> Any:
        """One of these texts, or None where it is among them."""
        if not isinstance(self.value, str | None) or self.value not in values:
            shown = ", ".join("null" if v is None else v for v in values)
            raise self.refused(f"expected one of {shown}")
        return self.value

    def integer(self) -> int:
        """A whole number."""
        if not self._number_within(LARGEST_INTEGER) or self.value != int(self.value):
            raise self.refused(f"expected a whole number of at most {LARGEST_INTEGER:g} in size")
        return int(self.value)

    def decimal(self) -> float:
        """A number of no more digits than a domain keeps."""
        if not self._number_within(LARGEST_FLOAT) or self.value != round(self.value, FLOAT_DIGITS):
            raise self.refused(
                f"expected a number of at most {LARGEST_FLOAT:g} in size "
                f"and {FLOAT_DIGITS} digits after the point"
            )
        return float(self.value) + 0.0

    def scalar(self) -> Value:
        """A text, a number, true or false."""
        if isinstance(self.value, str):
            return self.text()
        if isinstance(self.value, bool):
            return self.value
        if not self._number_within(LARGEST_INTEGER):
            raise self.refused(
                f"expected a text, true, false or a number of at most {LARGEST_INTEGER:g} in size"
            )
        number: Value = self.value
        return number

    def within(self, domain: Domain) -> Value:
        """A value of a domain, normalised."""
        try:
            return domain.check(self.value)
        except ValueError as error:
            raise self.refused(str(error)) from None

    def _number_within(self, largest: int) -> bool:
        number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return number and abs(self.value) <= largest


def _plain(name: Any) -> str:
    """A key as it can stand in a message."""
    return _short.repr(str(name))[1:-1]
