"""Spaces that several tests share, and strategies for their configs."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from autorag.pipeline.space import reference_space
from autorag.space import Choice, Config, CorpusFacts, Domain, Number, Space

EMBEDDERS = {"static": 256, "minilm-int8": 384, "minilm": 384, "lsa": 128}
REFERENCE = reference_space(
    EMBEDDERS, generators=("gemma", "endpoint"), cross_encoders=("/models/cross",), cores=4
)
SMALL_CORPUS = CorpusFacts((200,) * 100)
LARGE_CORPUS = CorpusFacts((1_000_000,) * 20)
SPACES = (REFERENCE, REFERENCE.for_corpus(SMALL_CORPUS), REFERENCE.for_corpus(LARGE_CORPUS))


def spaces() -> st.SearchStrategy[Space]:
    """The reference space, unbound and bound to a small and to a large corpus."""
    return st.sampled_from(SPACES)


def user_values(domain: Domain) -> st.SearchStrategy[Any]:
    """Values a user may write, off the grid too."""
    if isinstance(domain, Choice):
        return st.sampled_from(domain.grid)
    assert isinstance(domain, Number)
    if domain.integer:
        return st.integers(int(domain.low), int(domain.high))
    return st.floats(domain.low, domain.high)


@st.composite
def sampled(draw: st.DrawFn, space: Space) -> Config:
    """A config of the sampler."""
    return space.sample(np.random.default_rng(draw(st.integers(0, 2**32 - 1))))


@st.composite
def configs(draw: st.DrawFn, space: Space) -> Config:
    """A sampled config in which a user has overwritten some knobs, as far as that is valid."""
    config = draw(sampled(space))
    for knob in draw(st.lists(st.sampled_from(space.knobs), max_size=8)):
        value = draw(user_values(knob.domain))
        config = space.moved(config, knob.name, value) or config
    return config


@st.composite
def spaces_with_configs(draw: st.DrawFn, count: int = 1) -> tuple[Space, list[Config]]:
    """A space and that many of its configs."""
    space = draw(spaces())
    return space, [draw(configs(space)) for _ in range(count)]
