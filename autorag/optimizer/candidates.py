"""The valid configs that are looked at when one is to be proposed.

A *base* that stays the same throughout a study: configs that are known to do well somewhere, and
draws from the space. Around what was measured best, more are made at every step: neighbours (one
knob one step away), crossovers of pairs (each knob from one or the other), and the same algorithm
with other hot settings, which cost no build.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol

import numpy as np

from autorag.errors import ConfigError
from autorag.space import Config, Space

DRAWN = 1000
CROSSED = 40
SWEPT = 40
MOST_CHANGED = 3
"""Hot knobs that a sweep changes at once."""


class Candidates(Protocol):
    """Where candidates come from."""

    @property
    def base(self) -> Sequence[Config]:
        """Those that are always looked at, each once."""

    def around(self, best: Sequence[Config], rng: np.random.Generator) -> list[Config]:
        """More, near the best configs so far."""


class FixedCandidates:
    """No others than these: a table that was measured."""

    def __init__(self, configs: Sequence[Config]) -> None:
        self.base: Sequence[Config] = tuple(dict.fromkeys(configs))

    def around(self, best: Sequence[Config], rng: np.random.Generator) -> list[Config]:
        return []


class SpaceCandidates:
    """Candidates of a space.

    Args:
        known: configs that did well elsewhere; those that are not valid here are left out.
    """

    def __init__(
        self, space: Space, known: Sequence[Config], seed: int, drawn: int = DRAWN
    ) -> None:
        self._space = space
        rng = np.random.default_rng(seed)
        found = dict.fromkeys([space.default(), *valid_configs(space, known)])
        found |= dict.fromkeys(space.sample(rng) for _ in range(drawn))
        self.base: Sequence[Config] = tuple(found)

    def around(self, best: Sequence[Config], rng: np.random.Generator) -> list[Config]:
        found: dict[Config, None] = {}
        for config in best:
            found |= dict.fromkeys(self._space.neighbours(config))
            found |= dict.fromkeys(self._swept(config, rng))
        found |= dict.fromkeys(self._crossed(best, rng))
        return list(found)

    def _swept(self, config: Config, rng: np.random.Generator) -> Iterator[Config]:
        """Other hot settings in the same build."""
        hot = [k for k in self._space if k.apply == "hot" and k.name in config]
        for _ in range(SWEPT if hot else 0):
            count = int(rng.integers(1, MOST_CHANGED + 1))
            chosen = [hot[i] for i in rng.permutation(len(hot))[:count]]
            with suppress(ConfigError):
                values = {k.name: k.domain.sample(rng) for k in chosen}
                yield self._space.config({}, base={**config, **values})

    def _crossed(self, best: Sequence[Config], rng: np.random.Generator) -> Iterator[Config]:
        for _ in range(CROSSED if len(best) > 1 else 0):
            one, other = (best[i] for i in rng.permutation(len(best))[:2])
            mixed = {**one, **{k: v for k, v in other.items() if rng.random() < 0.5}}
            with suppress(ConfigError):
                yield self._space.config({}, base=mixed)


def valid_configs(space: Space, configs: Sequence[Config]) -> Iterator[Config]:
    """Configs of another space as they are in this one: without what it does not know or allow.
    Those that are not valid so are left out."""
    for config in configs:
        with suppress(ConfigError):
            yield space.config({}, base=config)


def encoded(space: Space, configs: Sequence[Config]) -> np.ndarray:
    """Configs as points ``(n, width)``: numbers from 0 to 1, another choice √2 · √½ = 1 away, and
    the middle where a knob is inactive."""
    weights = np.concatenate(
        [np.full(k.domain.width, 1.0 if k.domain.width == 1 else np.sqrt(0.5)) for k in space]
    )
    rows = np.stack([space.encode(c) for c in configs]) if configs else np.empty((0, space.width))
    points: np.ndarray = np.where(np.isnan(rows), 0.5, rows) * weights
    return points
