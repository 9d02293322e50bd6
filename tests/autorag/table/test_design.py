"""The designed configs: valid, each once, in groups that one process can measure."""

from __future__ import annotations

from itertools import combinations
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.pipeline.index import KINDS
from autorag.pipeline.space import reference_space
from autorag.space import Config, CorpusFacts, Space
from autorag.stages import stage_knobs
from autorag.table.design import CHUNKINGS, EMBEDDERS, designed, groups, judged_as
from autorag.table.schema import CONTEXTS, Part
from tests.autorag.spaces import REFERENCE, SPACES, configs

PARTS: tuple[Part, ...] = get_args(Part)
LARGE = REFERENCE.for_corpus(CorpusFacts((30,) * 200_000))
ONE_CORE = reference_space({"static": 256, "minilm-int8": 384}, generators=("gemma",), cores=1)
BARE = reference_space({"static": 256}, generators=(), cores=2)
ALL = [*SPACES, LARGE, ONE_CORE, BARE]

every_space = pytest.mark.parametrize("space", ALL, ids=range(len(ALL)))
every_part = pytest.mark.parametrize("part", PARTS)


@every_space
@every_part
def test_every_config_is_valid_and_there_once(space: Space, part: Part) -> None:
    made = designed(part, space)
    assert made
    assert [space.config(c.to_json()) for c in made] == made
    assert len({c.canonical for c in made}) == len(made)
    assert designed(part, space) == made


@every_space
@every_part
def test_a_group_is_what_shares_chunks_and_threads(space: Space, part: Part) -> None:
    made = designed(part, space)
    found = groups(made)
    assert sorted(c.canonical for g in found for c in g) == sorted(c.canonical for c in made)
    shared = []
    for group in found:
        kinds = [[stage_knobs(c, stage) for stage in ("chunk", "threads")] for c in group]
        assert all(k == kinds[0] for k in kinds)
        shared.append(kinds[0])
    assert all(a != b for a, b in combinations(shared, 2))


def test_no_configs_make_no_group() -> None:
    assert groups([]) == []


# -- what is judged --------------------------------------------------------------------------------


@given(st.data())
def test_a_config_is_judged_with_its_system_knobs_at_their_defaults(data: st.DataObject) -> None:
    space = data.draw(st.sampled_from(SPACES))
    chosen: Config = data.draw(configs(space))
    judged = judged_as(chosen, space)
    assert judged_as(judged, space) == judged
    assert judged.keys() == chosen.keys()
    for name, value in chosen.items():
        assert judged[name] == (value if space[name].algorithmic else space[name].default)


@every_space
@every_part
def test_what_is_judged_stands_in_the_design_itself(space: Space, part: Part) -> None:
    made = designed(part, space)
    assert {judged_as(c, space) for c in made} <= set(made)


# -- what is in it ---------------------------------------------------------------------------------


@every_space
def test_the_default_config_is_in_the_quality_part(space: Space) -> None:
    if "minilm-int8" in space["embed.model"].domain.grid:
        assert space.default() in designed("quality", space)


def test_the_quality_part_crosses_chunks_embedders_and_rerankers() -> None:
    made = designed("quality", REFERENCE)
    crossed = {
        (str(stage_knobs(c, "chunk")), c.get("embed.model"), c["retrieve.mode"], c["rerank.model"])
        for c in made
    }
    reranked = {"minilm-int8": 3, "static": 3, "lsa": 2}
    assert set(reranked) == set(EMBEDDERS)
    assert len(crossed) == len(CHUNKINGS) * (2 + 2 * sum(reranked.values()))
    assert {c["retrieve.k"] for c in made} == {5, 10, 20, 50}
    assert {c["threads.embed"] for c in made} == {1, 4}


def test_the_index_part_has_every_kind_where_there_are_points_enough() -> None:
    assert {c["index.kind"] for c in designed("index", LARGE)} == set(KINDS)
    small = designed("index", REFERENCE.for_corpus(CorpusFacts((30,) * 12)))
    assert {c["index.kind"] for c in small} == {"flat", "hnsw", "hnsw_sq8"}


def test_the_index_part_has_one_chunking_and_sweeps_inside_each_build() -> None:
    made = designed("index", LARGE)
    assert len(groups(made)) == 1
    builds = {str([stage_knobs(c, stage) for stage in ("embed", "index")]) for c in made}
    assert len(made) > 4 * len(builds)


def test_the_generation_part_varies_what_a_prompt_holds() -> None:
    made = designed("generation", REFERENCE)
    assert {c["generate.contexts"] for c in made} == {1, 3, 5}
    assert all(c["generate.contexts"] in CONTEXTS for p in PARTS for c in designed(p, REFERENCE))


@every_part
def test_a_small_corpus_only_leaves_configs_out(part: Part) -> None:
    small = REFERENCE.for_corpus(CorpusFacts((60,) * 40))
    assert set(designed(part, small)) <= set(designed(part, REFERENCE))


def test_what_is_not_installed_is_left_out() -> None:
    made = designed("quality", BARE)
    assert {c["embed.model"] for c in made if "embed.model" in c} == {"static"}
    assert {c["rerank.model"] for c in made} == {"none", "bm25", "maxsim"}
