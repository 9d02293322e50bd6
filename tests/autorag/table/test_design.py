"""The designed configs: the same for every workload, each valid, each once."""

import pytest

from api.wiring import make_space
from autorag.space import CorpusFacts
from autorag.stages import stage_knobs
from autorag.table.design import designed, groups, judged_as
from autorag.table.schema import Part

PARTS: tuple[Part, ...] = ("quality", "index", "generation")
SPACE = make_space()


@pytest.mark.parametrize("part", PARTS)
def test_every_config_is_valid_and_there_once(part: Part) -> None:
    configs = designed(part, SPACE)
    assert configs
    assert all(SPACE.valid(c) for c in configs)
    assert len({c.hash_hex for c in configs}) == len(configs)


def test_the_default_config_is_measured() -> None:
    assert SPACE.default() in designed("quality", SPACE)


def test_what_a_small_corpus_cannot_train_is_left_out() -> None:
    tiny = SPACE.for_corpus(CorpusFacts((50,) * 20))
    kinds = {c.get("index.kind") for c in designed("index", tiny)}
    assert {"flat", "hnsw", "hnsw_sq8"} <= kinds
    assert "ivf_pq_fastscan" not in kinds
    assert set(designed("index", tiny)) < set(designed("index", SPACE))


@pytest.mark.parametrize("part", PARTS)
def test_a_group_shares_chunks_and_threads(part: Part) -> None:
    configs = designed(part, SPACE)
    found = groups(configs)
    assert sorted(c.canonical for g in found for c in g) == sorted(c.canonical for c in configs)
    keys = [
        {(str(stage_knobs(c, "chunk")), str(stage_knobs(c, "threads"))) for c in group}
        for group in found
    ]
    assert all(len(k) == 1 for k in keys)
    assert len(set.union(*keys)) == len(found)


def test_configs_are_judged_with_the_system_knobs_at_their_defaults() -> None:
    for config in designed("quality", SPACE):
        judged = judged_as(config, SPACE)
        assert judged_as(judged, SPACE) == judged
        changed = config.changed(judged)
        assert all(not SPACE[knob].algorithmic for knob in changed)
        assert all(judged[k] == SPACE[k].default for k in judged if not SPACE[k].algorithmic)
