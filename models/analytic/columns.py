"""Columns: what is said of many configs, one row a config.

Arrays have the shape ``(n,)``. Where configs differ in kind, a label's ``groups`` give the rows of
each kind, so that what a kind does is computed on its rows alone, and only if it has any. Rows do
not know of each other: no figure of a config depends on which others are asked about.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Label = TypeVar("Label", bound=Hashable)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]
"""Indices of rows ``(k,)``, each once."""

Numbers = float | Floats
"""One number for all configs, or one for each, ``(n,)``."""


@dataclass(frozen=True, slots=True)
class Columns:
    """A base of frozen dataclasses whose fields are all columns."""

    def take(self, rows: Rows) -> Self:
        """The rows with these indices ``(k,)``, in their order."""
        return type(self)(*(getattr(self, f.name).take(rows) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Labels(Generic[Label]):
    """A column of labels.

    Attributes:
        names: distinct ones.
        codes: index of each row's name, intp ``(n,)``.
    """

    names: tuple[Label, ...]
    codes: Rows

    @classmethod
    def of(cls, values: Iterable[Label]) -> Labels[Label]:
        numbers: dict[Label, int] = {}
        codes = [numbers.setdefault(value, len(numbers)) for value in values]
        return cls(tuple(numbers), np.array(codes, dtype=np.intp))

    def take(self, rows: Rows) -> Labels[Label]:
        """As :meth:`Columns.take`."""
        return Labels(self.names, self.codes.take(rows))

    def among(self, *wanted: Label) -> Flags:
        """Whether each row has one of these labels, bool ``(n,)``."""
        known = np.array([name in wanted for name in self.names], dtype=bool)
        return np.asarray(known[self.codes])

    def numbers(self, table: Mapping[Label, float]) -> Floats:
        """Each row's number in a table, 0 for labels that are not in it, float64 ``(n,)``."""
        known = np.array([table.get(name, 0.0) for name in self.names], dtype=np.float64)
        return np.asarray(known[self.codes])

    def groups(self) -> Iterator[tuple[Label, Rows]]:
        """Every label that there is, with the indices ``(k,)`` of its rows, ascending."""
        for code, name in enumerate(self.names):
            rows = np.flatnonzero(self.codes == code)
            if rows.size:
                yield name, rows
