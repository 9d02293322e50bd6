"""Only valid configs can be made, and vectors, distance, JSON and hash agree about them."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import ConfigError
from autorag.space import Choice, Config, Knob, Number, Rule, Space, When
from tests.autorag.spaces import LARGE_CORPUS, REFERENCE, configs, spaces, spaces_with_configs

MODE = Knob("search.mode", Choice(("fast", "exact")), "fast", "retrieve")
EFFORT = Knob(
    "search.effort",
    Number(1, 64, integer=True, log=True),
    8,
    "retrieve",
    when=(When.is_("search.mode", "fast"),),
)
WEIGHT = Knob("search.weight", Number(0, 1, grid=(0.0, 0.5, 1.0)), 1.0, "retrieve")
OWN = Space((MODE, EFFORT, WEIGHT))
WHOLE = Space((Knob("search.weight", Number(0, 1, grid=(0, 1)), 1, "retrieve"),))


@given(spaces_with_configs())
def test_decode_inverts_encode(case: tuple[Space, list[Config]]) -> None:
    space, (config,) = case
    assert space.decode(space.encode(config)) == config


@given(spaces_with_configs())
def test_json_round_trip(case: tuple[Space, list[Config]]) -> None:
    space, (config,) = case
    assert space.config(json.loads(json.dumps(config.to_json()))) == config


@given(spaces_with_configs())
def test_configs_made_are_valid(case: tuple[Space, list[Config]]) -> None:
    space, (config,) = case
    assert space.valid(config)


@given(spaces(), st.integers(0, 2**32 - 1))
def test_a_sample_is_what_its_values_say(space: Space, seed: int) -> None:
    config = space.sample(np.random.default_rng(seed))
    assert space.config(dict(config)) == config
    assert space.sample(np.random.default_rng(seed)) == config


@given(spaces_with_configs())
def test_neighbours_are_distinct_valid_configs(case: tuple[Space, list[Config]]) -> None:
    space, (config,) = case
    neighbours = space.neighbours(config)
    assert config not in neighbours
    assert len(set(neighbours)) == len(neighbours) > 0
    assert all(space.valid(n) for n in neighbours)


@given(configs(REFERENCE))
def test_a_neighbour_differs_in_one_knob_and_those_it_switches(config: Config) -> None:
    for neighbour in REFERENCE.neighbours(config):
        both = [k for k in config if k in neighbour and config[k] != neighbour[k]]
        assert len(both) == 1
        switched = set(config) ^ set(neighbour)
        assert all(any(c.knob == both[0] for c in REFERENCE[k].when) for k in switched - chained())


def chained() -> set[str]:
    """Knobs whose condition names a knob that is itself conditional."""
    return {k.name for k in REFERENCE if any(REFERENCE[c.knob].when for c in k.when)}


@given(spaces_with_configs())
def test_a_vector_has_a_column_per_coordinate(case: tuple[Space, list[Config]]) -> None:
    space, (config,) = case
    vector = space.encode(config)
    assert vector.shape == (space.width,) == (len(space.columns),)
    known = vector[~np.isnan(vector)]
    assert np.all((known >= 0) & (known <= 1))


@given(configs(REFERENCE))
def test_inactive_knobs_are_nan(config: Config) -> None:
    vector = dict(zip(REFERENCE.columns, REFERENCE.encode(config), strict=True))
    for column, value in vector.items():
        assert math.isnan(value) == (column.split("=")[0] not in config)


@given(spaces_with_configs(2))
def test_distance_is_symmetric_bounded_and_zero_only_for_equals(
    case: tuple[Space, list[Config]],
) -> None:
    space, (a, b) = case
    distance = space.distance(a, b)
    assert 0 <= distance <= 1
    assert distance == space.distance(b, a)
    assert (distance == 0) == (a == b)
    assert space.distance(a, a) == 0


def test_distance_is_the_mean_over_knobs() -> None:
    fast = OWN.config({"search.effort": 8})
    assert OWN.distance(fast, OWN.config({"search.effort": 64})) == pytest.approx(0.5 / 3)
    assert OWN.distance(fast, OWN.config({"search.mode": "exact"})) == pytest.approx(2 / 3)


@given(configs(REFERENCE), st.randoms(use_true_random=False))
def test_the_hash_does_not_depend_on_key_order(config: Config, random: Any) -> None:
    items = list(config.values_by_knob)
    random.shuffle(items)
    assert Config(tuple(items)).hash_hex == config.hash_hex
    assert REFERENCE.config(dict(items)).hash_hex == config.hash_hex


@given(spaces_with_configs(2))
def test_configs_are_equal_when_their_values_are(case: tuple[Space, list[Config]]) -> None:
    _, (a, b) = case
    assert (dict(a) == dict(b)) == (a == b) == (a.hash_hex == b.hash_hex)
    assert (a == b) == (not a.changed(b))


def test_canonical_json_is_sorted_and_dense() -> None:
    config = OWN.config({"search.mode": "exact", "search.weight": 0.5})
    assert config.canonical == '{"search.mode":"exact","search.weight":0.5}'
    assert len(config.hash_hex) == 32
    assert config != config.to_json()
    assert repr(config) == f"Config({config.canonical})"


def test_changed_names_both_sides() -> None:
    changed = OWN.default().changed(OWN.config({"search.mode": "exact"}))
    assert changed == {"search.mode": ("fast", "exact"), "search.effort": (8, None)}


WRITTEN = WHOLE.config({"search.weight": 1})


def test_a_sampled_whole_number_is_the_written_one() -> None:
    rng = np.random.default_rng(0)
    drawn = next(c for c in (WHOLE.sample(rng) for _ in range(100)) if c["search.weight"] == 1)
    assert drawn.hash_hex == WRITTEN.hash_hex


def test_a_default_whole_number_is_the_written_one() -> None:
    assert WHOLE.default().hash_hex == WRITTEN.hash_hex


def test_a_fixed_whole_number_is_the_written_one() -> None:
    fixed = WHOLE.fixed({"search.weight": 1})
    assert fixed.config({"search.weight": 1.0}).hash_hex == WRITTEN.hash_hex


def test_negative_zero_is_zero() -> None:
    assert OWN.config({"search.weight": -0.0}) == OWN.config({"search.weight": 0})


def test_missing_knobs_come_from_the_base_then_the_defaults() -> None:
    base = OWN.config({"search.effort": 32})
    config = OWN.config({"search.weight": 0.25}, base=base)
    assert dict(config) == {"search.mode": "fast", "search.effort": 32, "search.weight": 0.25}


def test_base_values_that_no_longer_fit_are_dropped() -> None:
    base = {"search.mode": "fast", "search.effort": 1000, "search.gone": 1, "search.weight": 0.5}
    assert dict(OWN.config({}, base=base)) == {**OWN.default(), "search.weight": 0.5}
    assert "search.effort" not in OWN.config({"search.mode": "exact"}, base=base)


def test_an_unknown_knob_is_named_with_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"search\.efort.*did you mean search\.effort\?") as error:
        OWN.config({"search.efort": 4})
    assert error.value.key == "search.efort"


def test_an_unknown_knob_like_no_other_gets_no_hint() -> None:
    with pytest.raises(ConfigError, match=r"unknown knob 'zzz'$"):
        OWN.config({"zzz": 4})


HUGE = pytest.param(10**400, id="huge")


@pytest.mark.parametrize("value", [0, 65, 2.5, "8", True, None, HUGE, float("nan")])
def test_a_value_out_of_its_domain_is_named(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"search\.effort.*an integer from 1 to 64") as error:
        OWN.config({"search.effort": value})
    assert error.value.key == "search.effort"
    assert error.value.value is value


def test_an_inactive_knob_cannot_be_set() -> None:
    with pytest.raises(ConfigError, match=r"search\.effort = 8.*search\.mode is fast") as error:
        OWN.config({"search.mode": "exact", "search.effort": 8})
    assert error.value.key == "search.effort"
    assert error.value.value == 8


def test_a_knob_set_to_none_is_no_config() -> None:
    assert not OWN.valid({**OWN.config({"search.mode": "exact"}), "search.effort": None})


def test_a_partial_assignment_is_no_config() -> None:
    assert not OWN.valid({"search.mode": "fast"})


def test_moved_is_none_where_the_move_is_not_valid() -> None:
    assert OWN.moved(OWN.config({"search.mode": "exact"}), "search.effort", 8) is None
    assert OWN.moved(OWN.default(), "search.effort", 9) == OWN.config({"search.effort": 9})


def test_a_fixed_space_has_one_value_for_the_knob() -> None:
    fixed = REFERENCE.fixed({"index.kind": "hnsw", "retrieve.mode": "dense"})
    rng = np.random.default_rng(0)
    assert {fixed.sample(rng)["index.kind"] for _ in range(30)} == {"hnsw"}
    with pytest.raises(ConfigError, match=r"index\.kind"):
        fixed.config({"index.kind": "flat"})


def test_fixing_checks_names_and_values() -> None:
    with pytest.raises(ConfigError, match=r"did you mean search\.mode"):
        OWN.fixed({"search.mod": "fast"})
    with pytest.raises(ConfigError, match=r"search\.effort = 0"):
        OWN.fixed({"search.effort": 0})


@given(spaces_with_configs())
def test_a_space_can_start_from_every_config(case: tuple[Space, list[Config]]) -> None:
    space, (config,) = case
    started = space.defaulting(config)
    assert started.default() == config
    assert started.valid(space.default())
    inactive = [k.name for k in space if k.name not in config]
    assert all(started[name].default == space[name].default for name in inactive)


def test_a_start_from_a_part_of_a_config_follows_the_rules() -> None:
    assert REFERENCE.defaulting({"retrieve.k": 3}).default()["generate.contexts"] == 3
    with pytest.raises(ConfigError, match=r"search\.effort = 8 has no effect"):
        OWN.defaulting({"search.mode": "exact", "search.effort": 8})
    with pytest.raises(ConfigError, match=r"search\.effort = 0"):
        OWN.defaulting({"search.effort": 0})


@st.composite
def subsets(draw: st.DrawFn) -> tuple[Space, Space, set[str]]:
    """A space, a subset of it and the names of the subset."""
    space = draw(spaces())
    names = draw(st.sets(st.sampled_from([k.name for k in space.knobs]), min_size=1))
    return space, space.subset(names), names


@given(subsets(), st.integers(0, 2**32 - 1))
def test_a_subset_is_a_space_of_these_knobs(case: tuple[Space, Space, set[str]], seed: int) -> None:
    space, subset, names = case
    config = subset.sample(np.random.default_rng(seed))
    assert [k.name for k in subset] == [k.name for k in space if k.name in names]
    for valid in (config, subset.default(), *subset.neighbours(config)):
        assert set(valid) <= names
        assert subset.decode(subset.encode(valid)) == valid


@given(spaces_with_configs(), st.data())
def test_a_part_of_a_config_is_one_of_the_subset(
    case: tuple[Space, list[Config]], data: st.DataObject
) -> None:
    space, (config,) = case
    names = data.draw(st.sets(st.sampled_from(list(config))))
    assert space.subset(names).valid({k: v for k, v in config.items() if k in names})


@given(spaces_with_configs())
def test_a_subset_of_all_knobs_is_the_space(case: tuple[Space, list[Config]]) -> None:
    space, _ = case
    assert space.subset(k.name for k in reversed(space.knobs)) == space


def together(space: Space, names: set[str]) -> set[str]:
    """These knobs and all those that their conditions and rules name, and so on."""
    related = [{k.name, *(c.knob for c in k.when)} for k in space]
    related += [{r.knob, *r.reads} for r in space.rules]
    more = names.union(*(group for group in related if group & names))
    return names if more == names else together(space, more)


@given(subsets(), st.integers(0, 2**32 - 1))
def test_the_whole_space_completes_a_config_of_knobs_that_belong_together(
    case: tuple[Space, Space, set[str]], seed: int
) -> None:
    space, _, names = case
    config = space.subset(together(space, names)).sample(np.random.default_rng(seed))
    whole = space.config(config)
    assert config.items() <= whole.items()
    assert whole == space.config({}, base=config)
    assert all(whole[k] in (space[k].default, config.get(k)) for k in whole)


def test_a_base_that_needs_other_knobs_than_the_defaults_is_completed_without_them() -> None:
    config = REFERENCE.subset(["retrieve.alpha", "retrieve.k"]).config({"retrieve.alpha": 0.3})
    with pytest.raises(ConfigError, match=r"retrieve\.alpha = 0\.3 has no effect"):
        REFERENCE.config(config)
    assert REFERENCE.config({}, base=config) == REFERENCE.default()
    hybrid = REFERENCE.config(config, base={"retrieve.mode": "hybrid"})
    assert hybrid["retrieve.alpha"] == 0.3


def test_a_condition_on_a_knob_left_out_gives_way_to_its_own() -> None:
    assert REFERENCE.subset(["retrieve.nprobe"])["retrieve.nprobe"].when == ()
    subset = REFERENCE.subset(["retrieve.nprobe", "retrieve.mode"])
    assert subset.default()["retrieve.nprobe"] == 8
    assert "retrieve.nprobe" not in subset.config({"retrieve.mode": "lexical"})


def test_a_rule_that_reads_a_knob_left_out_is_dropped() -> None:
    contexts = REFERENCE.subset(["generate.contexts"]).config({"generate.contexts": 20})
    assert dict(contexts) == {"generate.contexts": 20}
    both = REFERENCE.subset(["generate.contexts", "retrieve.k"])
    with pytest.raises(ConfigError, match=r"more than retrieve\.k = 10"):
        both.config({"generate.contexts": 20})


def test_a_subset_checks_names() -> None:
    with pytest.raises(ConfigError, match=r"did you mean search\.mode\?") as error:
        OWN.subset(["search.mod"])
    assert error.value.key == "search.mod"


class Watched(dict[str, Any]):
    """Values that remember which of them were looked at."""

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.looked_at: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.looked_at.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.looked_at.add(key)
        return super().get(key, default)


@pytest.mark.parametrize("rule", REFERENCE.rules, ids=lambda r: r.knob)
def test_a_rule_names_all_that_it_reads(rule: Rule) -> None:
    rng = np.random.default_rng(0)
    looked_at: set[str] = set()
    for config in (REFERENCE.sample(rng) for _ in range(300)):
        if rule.knob in config:
            values = Watched(config)
            rule.check(values, LARGE_CORPUS)
            looked_at |= values.looked_at
    assert looked_at == {rule.knob, *rule.reads}


@pytest.mark.parametrize(
    ("name", "stage", "applied"),
    [
        ("rerank.model", "rerank", "restart:rerank"),
        ("rerank.device", None, "restart:rerank"),
        ("rerank.device", "embed", "restart:rerank"),
        ("store.segments", "index", "restart:index"),
    ],
)
def test_what_restarts_is_in_the_name_or_else_the_first_stage(
    name: str, stage: str | None, applied: str
) -> None:
    assert Knob(name, Choice((1, 2)), 1, stage, "restart").applied == applied


def test_rules_that_contradict_are_reported() -> None:
    never = Space((MODE,), (Rule("search.mode", lambda values, corpus: "never", ()),))
    with pytest.raises(ConfigError, match="rules contradict"):
        never.sample(np.random.default_rng(0))
    with pytest.raises(ConfigError, match=r"search\.mode = fast: never") as error:
        never.default()
    assert error.value.key == "search.mode"


@pytest.mark.parametrize("knobs", [(MODE, MODE), (EFFORT, MODE), (EFFORT,)])
def test_a_space_refuses_duplicates_and_forward_conditions(knobs: tuple[Knob, ...]) -> None:
    with pytest.raises(ValueError, match="duplicate, or its condition names a later knob"):
        Space(knobs)
