"""Random search: by seed, without repeats, in an order that shares builds."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from autorag.objective import parse_objective
from autorag.optimizer import RandomSearch
from autorag.optimizer.random import build_prefix
from autorag.space import Config, Space
from autorag.stages import stage_knobs
from tests.autorag.optimizer.searching import TINY, configs_of, play
from tests.autorag.spaces import REFERENCE, SMALL_CORPUS, spaces

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(1, 20)
QUALITY = parse_objective("max ndcg_at_10")


def flat(config: Config) -> dict[str, float]:
    return {"ndcg_at_10": 0.5}


@settings(max_examples=20)
@given(spaces(), seeds, counts)
def test_a_seed_gives_one_sequence(space: Space, seed: int, count: int) -> None:
    default = space.default()
    one, again = (
        play(RandomSearch(space, QUALITY, seed, count), default, flat, count) for _ in range(2)
    )
    assert configs_of(one) == configs_of(again)


def test_another_seed_gives_another_sequence() -> None:
    one, other = (
        play(RandomSearch(REFERENCE, QUALITY, s), REFERENCE.default(), flat, 5) for s in (0, 1)
    )
    assert set(configs_of(one)[1:]).isdisjoint(configs_of(other)[1:])


@settings(max_examples=20)
@given(spaces(), seeds, counts)
def test_only_new_and_valid_configs_are_proposed(space: Space, seed: int, count: int) -> None:
    trials = play(RandomSearch(space, QUALITY, seed, 4), space.default(), flat, count)
    configs = configs_of(trials)
    assert len(configs) == count + 1
    assert len(set(configs)) == len(configs)
    assert all(space.valid(c) for c in configs)


@settings(max_examples=20)
@given(seeds, st.integers(0, 12))
def test_a_proposal_depends_on_the_trials_only(seed: int, cut: int) -> None:
    default = REFERENCE.default()
    whole = play(RandomSearch(REFERENCE, QUALITY, seed, 5), default, flat, 12)
    resumed = play(RandomSearch(REFERENCE, QUALITY, seed, 5), default, flat, 12, whole[: cut + 1])
    assert configs_of(resumed) == configs_of(whole)


def test_asking_twice_gives_the_same() -> None:
    strategy = RandomSearch(REFERENCE, QUALITY, 0)
    trials = play(strategy, REFERENCE.default(), flat, 3)
    strategy.propose(trials[:2])
    assert strategy.propose(trials) == strategy.propose(trials)


@given(seeds)
def test_a_build_is_visited_once(seed: int) -> None:
    space = REFERENCE.for_corpus(SMALL_CORPUS).fixed(
        {"embed.model": "lsa", "embed.dim": "full", "chunk.overlap": 0.1}
    )
    block = RandomSearch(space, QUALITY, seed, 30).block()
    for stages in (("chunk",), ("chunk", "embed"), ("chunk", "embed", "index")):
        builds = [str([stage_knobs(c, s) for s in stages]) for c in block]
        visits = [b for b, _ in groupby(builds)]
        assert len(visits) == len(set(visits))


@given(seeds, counts)
def test_the_first_block_is_what_is_proposed_first(seed: int, count: int) -> None:
    strategy = RandomSearch(REFERENCE, QUALITY, seed, count)
    block = [c for c in strategy.block() if c != REFERENCE.default()]
    proposed = configs_of(play(strategy, REFERENCE.default(), flat, len(block)))[1:]
    assert proposed == block
    assert block == sorted(block, key=build_prefix)


@given(seeds, st.integers(1, 10))
def test_a_small_space_is_exhausted(seed: int, block: int) -> None:
    trials = play(RandomSearch(TINY, QUALITY, seed, block), TINY.default(), flat, 100)
    assert len({t.config for t in trials}) == len(trials) == 6


def test_trials_without_a_result_are_not_repeated() -> None:
    trials = play(RandomSearch(TINY, QUALITY, 0), TINY.default(), lambda config: "failed", 100)
    assert len({t.config for t in trials}) == len(trials) == 6
