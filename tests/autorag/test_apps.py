"""What of a revision reaches an app now, and what waits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.wiring import make_space
from autorag.apps import deliver, deliver_all, mismatches
from autorag.space import Config, Space

SPACE = make_space()
seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int) -> Config:
    return SPACE.sample(np.random.default_rng(seed))


def slow(config: Config) -> dict[str, object]:
    return {name: value for name, value in config.items() if SPACE[name].apply != "hot"}


def test_a_hot_setting_is_delivered_at_once() -> None:
    running = SPACE.default()
    target = SPACE.config({"retrieve.k": 20})
    delivery = deliver(SPACE, target, running, slow(running))
    assert delivery.settings == target
    assert delivery.pending == {}


def test_a_setting_that_needs_a_rebuild_waits_and_the_hot_ones_do_not() -> None:
    running = SPACE.default()
    target = SPACE.config({"retrieve.k": 20, "chunk.tokens": 128})
    delivery = deliver(SPACE, target, running, slow(running))
    assert delivery.settings == SPACE.config({"retrieve.k": 20})
    assert delivery.pending == {"chunk.tokens": {"value": 128, "apply": "rebuild:chunk"}}


def test_a_hot_setting_that_needs_what_is_not_built_waits_too() -> None:
    running = SPACE.config({"retrieve.mode": "lexical"})
    target = SPACE.config({"retrieve.mode": "hybrid"})
    delivery = deliver(SPACE, target, running, slow(running))
    assert delivery.settings == running
    assert delivery.pending["retrieve.mode"] == {"value": "hybrid", "apply": "hot"}
    assert delivery.pending["embed.model"]["apply"] == "rebuild:embed"


def test_what_was_built_once_is_there_when_it_is_wanted_again() -> None:
    dense = SPACE.default()
    first = deliver_all(SPACE, dense, {})
    lexical = deliver(SPACE, SPACE.config({"retrieve.mode": "lexical"}), dense, first.built)
    assert lexical.settings["retrieve.mode"] == "lexical"
    again = deliver(SPACE, dense, lexical.settings, lexical.built)
    assert again.settings == dense
    assert again.pending == {}


def test_a_change_of_documents_delivers_everything() -> None:
    target = SPACE.config({"chunk.tokens": 128, "index.kind": "hnsw"})
    delivery = deliver_all(SPACE, target, slow(SPACE.default()))
    assert delivery.settings == target
    assert delivery.pending == {}
    assert delivery.built["index.kind"] == "hnsw"


@settings(max_examples=200)
@given(before=seeds, after=seeds)
def test_what_is_delivered_is_valid_and_needs_nothing_that_is_not_built(
    before: int, after: int
) -> None:
    running, target = drawn(before), drawn(after)
    built = slow(running)
    delivery = deliver(SPACE, target, running, built)
    assert SPACE.valid(delivery.settings)
    assert all(built[name] == value for name, value in slow(delivery.settings).items())
    there = {n for n, v in target.items() if delivery.settings.get(n) == v}
    assert there | set(delivery.pending) == set(target)
    assert not there & set(delivery.pending)


@settings(max_examples=100)
@given(before=seeds, after=seeds)
def test_delivering_again_changes_nothing(before: int, after: int) -> None:
    running, target = drawn(before), drawn(after)
    once = deliver(SPACE, target, running, slow(running))
    again = deliver(SPACE, target, once.settings, once.built)
    assert again == once


def test_knobs_of_an_app_of_its_own_are_delivered_like_any(own_space: Space) -> None:
    running = own_space.default()
    target = own_space.config({"search.limit": 50, "store.shards": 4})
    delivery = deliver(own_space, target, running, {"store.shards": 1})
    assert delivery.settings["search.limit"] == 50
    assert delivery.settings["store.shards"] == 1
    assert delivery.pending == {"store.shards": {"value": 4, "apply": "rebuild:index"}}


@pytest.fixture
def own_space() -> Space:
    from autorag.space import declared_space

    knobs = [
        {"name": "search.limit", "type": "int", "low": 1, "high": 100, "default": 10},
        {
            "name": "store.shards",
            "type": "int",
            "low": 1,
            "high": 8,
            "default": 1,
            "stage": "index",
            "apply": "rebuild",
        },
    ]
    return declared_space({"knobs": knobs}, SPACE)


def test_what_was_read_back_otherwise_is_told() -> None:
    delivered = {"retrieve.k": 20, "retrieve.alpha": 0.5}
    assert mismatches(delivered, {"retrieve.k": 10}) == {
        "retrieve.k": {"delivered": 20, "read": 10}
    }
    assert mismatches(delivered, delivered) == {}
