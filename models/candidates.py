"""The configs that are looked at when one is recommended: thousands, read and encoded once.

Some were designed (the configs of the measured table, which models know best), the others are drawn
from the space. Which of them are valid for a corpus is told by how many chunks they are predicted
to have: an index that has to be trained needs so many vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from autorag.pipeline.index import points_needed
from autorag.space import Config, Space
from autorag.table.design import designed
from models.analytic.columns import Floats
from models.analytic.knobs import Knobs
from models.encoding import Matrix, encode_configs, only_choices

DRAWN = 3000
"""Configs drawn at random beside the designed ones."""

MARGIN = 1.3
"""Times more chunks than an index needs, since they are predicted, not counted."""


@dataclass(frozen=True)
class Candidates:
    """``n`` configs of one space."""

    configs: tuple[Config, ...]

    @classmethod
    def of(cls, space: Space, *, seed: int, drawn: int = DRAWN) -> Candidates:
        """The default first, then the designed ones, then those drawn; each once."""
        rng = np.random.default_rng(seed)
        found = dict.fromkeys([space.default(), *_of_the_table(space)])
        found |= dict.fromkeys(space.sample(rng) for _ in range(drawn))
        return cls(tuple(found))

    @cached_property
    def knobs(self) -> Knobs:
        """As the analytic models read them."""
        return Knobs.of(self.configs)

    @cached_property
    def rows(self) -> Matrix:
        """As trees read them, ``(n, knobs)``."""
        return encode_configs(self.configs)

    @cached_property
    def changes(self) -> NDArray[np.int64]:
        """How many knobs differ from those of the first, the default, ``(n,)``."""
        default = self.configs[0]
        return np.array([len(default.changed(config)) for config in self.configs])

    def known(self, choices: frozenset[str]) -> NDArray[np.bool_]:
        """Whether each has no choice (embedder, reranker, ...) but these, ``(n,)``."""
        return only_choices(self.rows, choices)

    def trainable(self, chunks: Floats) -> NDArray[np.bool_]:
        """Whether so many chunks ``(n,)`` are enough for each config's index, ``(n,)``."""
        enough = np.ones(len(self.configs), dtype=bool)
        for i in np.flatnonzero(~self.knobs.kind.among("", "flat", "hnsw")):
            kind, points = str(self.configs[i]["index.kind"]), int(chunks[i] / MARGIN)
            enough[i] = points >= points_needed(kind, float(self.knobs.nlist[i]), points)
        return enough


def _of_the_table(space: Space) -> Sequence[Config]:
    return [*designed("quality", space), *designed("index", space)]
