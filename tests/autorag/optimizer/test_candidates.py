"""Candidates: valid configs, near what is good, the same for the same seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag.optimizer.candidates import FixedCandidates, SpaceCandidates, encoded
from autorag.space import Space
from tests.autorag.optimizer.searching import TINY
from tests.autorag.spaces import REFERENCE, SMALL_CORPUS, spaces

BOUND = REFERENCE.for_corpus(SMALL_CORPUS)
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=20)
@given(spaces(), seeds)
def test_all_are_valid_and_there_once(space: Space, seed: int) -> None:
    made = SpaceCandidates(space, (), seed, drawn=30)
    near = made.around(made.base[:3], np.random.default_rng(seed))
    assert len(set(made.base)) == len(made.base)
    assert len(set(near)) == len(near)
    assert all(space.valid(c) for c in (*made.base, *near))


@settings(max_examples=5)
@given(seeds)
def test_a_seed_gives_the_same(seed: int) -> None:
    one, again = (SpaceCandidates(TINY, (), seed) for _ in range(2))
    assert one.base == again.base
    near = [c.around(c.base[:2], np.random.default_rng(1)) for c in (one, again)]
    assert near[0] == near[1]


def test_known_configs_come_first_and_invalid_ones_are_left_out() -> None:
    known = [REFERENCE.config({"retrieve.k": 20}), REFERENCE.config({"index.kind": "ivf_flat"})]
    made = SpaceCandidates(BOUND, known, 0, drawn=5)
    assert made.base[:2] == (BOUND.default(), known[0])
    assert known[1] not in made.base


def test_some_share_the_build_of_the_best() -> None:
    best = BOUND.default()
    near = SpaceCandidates(BOUND, (), 0, drawn=5).around([best], np.random.default_rng(0))
    hot = {k.name for k in BOUND if k.apply == "hot"}
    assert sum(set(best.changed(c)) <= hot for c in near) > 20


def test_a_table_has_no_others() -> None:
    configs = [TINY.default(), TINY.default()]
    made = FixedCandidates(configs)
    assert list(made.base) == [TINY.default()]
    assert made.around(configs, np.random.default_rng(0)) == []


@settings(max_examples=20)
@given(spaces(), seeds)
def test_points_are_numbers_and_differ_as_configs_do(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    configs = [space.sample(rng) for _ in range(6)]
    points = encoded(space, configs)
    assert np.isfinite(points).all()
    assert points.shape == (6, space.width)
    for i, one in enumerate(configs):
        assert (points[i] == encoded(space, [one])[0]).all()


def test_another_choice_is_as_far_as_the_other_end_of_a_number() -> None:
    one = REFERENCE.default()
    mode = encoded(REFERENCE, [one, REFERENCE.config({"chunk.splitter": "sentence"})])
    size = encoded(REFERENCE, [REFERENCE.config({"chunk.tokens": n}) for n in (32, 1024)])
    assert np.linalg.norm(mode[0] - mode[1]) == 1.0
    assert np.linalg.norm(size[0] - size[1]) == 1.0
