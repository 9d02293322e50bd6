"""The configs that are looked at when one is recommended: thousands, read and encoded once.

Some were designed (the configs of the measured table, which models know best), the others are drawn
from the space. Which of them are valid for a corpus is told by how many chunks they are predicted
to have: an index that has to be trained needs so many vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from autorag.errors import ConfigError, InputError
from autorag.space import Config, Space
from autorag.table.design import designed
from models.analytic.columns import Floats
from models.analytic.knobs import Knobs
from models.analytic.retrieval import points_needed
from models.encoding import Matrix, encode_configs, only_choices

DRAWN = 3000
"""Configs drawn at random beside the designed ones."""

MARGIN = 1.3
"""Times more chunks than an index needs, since they are predicted, not counted."""


@dataclass(frozen=True)
class Candidates:
    """``n`` configs of a space.

    Attributes:
        configs: the default first.
        run: the same as the reference pipeline runs them: knobs that the space lacks have their
            defaults.
    """

    configs: tuple[Config, ...]
    run: tuple[Config, ...]

    @classmethod
    def of(
        cls, space: Space, reference: Space | None = None, *, seed: int, drawn: int = DRAWN
    ) -> Candidates:
        """The default, the designed configs, and others drawn at random; each once. Those that the
        reference pipeline would run otherwise than they say are left out.

        Args:
            reference: the space of the reference pipeline, where ``space`` has a part of its knobs.

        Raises:
            InputError: the default of the space is none that the reference pipeline runs.
        """
        rng = np.random.default_rng(seed)
        whole = reference or space
        found = dict.fromkeys([space.default(), *_of_the_table(space, whole)])
        found |= dict.fromkeys(space.sample(rng) for _ in range(drawn))
        if whole is space:
            return cls(tuple(found), tuple(found))
        pairs = [(config, whole.config({}, base=config)) for config in found]
        (default, ran), *_ = pairs
        if other := _other(default, ran):
            raise InputError(
                f"models know nothing of {other} = {default[other]}: the reference pipeline has no "
                "such value",
                key=other,
                value=default[other],
            )
        kept = [(config, run) for config, run in pairs if not _other(config, run)]
        return cls(tuple(config for config, _ in kept), tuple(run for _, run in kept))

    @cached_property
    def knobs(self) -> Knobs:
        """As the analytic models read them."""
        return Knobs.of(self.run)

    @cached_property
    def rows(self) -> Matrix:
        """As trees read them, ``(n, knobs)``."""
        return encode_configs(self.run)

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
        points = np.floor(chunks / MARGIN)
        return np.asarray(points >= points_needed(self.knobs, points)) | ~self.knobs.dense


def _other(config: Config, run: Config) -> str | None:
    """A knob that a config says otherwise than it is run."""
    return next((name for name, value in config.items() if run.get(name) != value), None)


def _of_the_table(space: Space, reference: Space) -> Sequence[Config]:
    """The designed configs, as far as the space goes."""
    found = [*designed("quality", reference), *designed("index", reference)]
    return found if space is reference else list(_as_in(space, found))


def _as_in(space: Space, configs: Sequence[Config]) -> Iterator[Config]:
    for config in configs:
        with suppress(ConfigError):
            yield space.config({}, base=config)
