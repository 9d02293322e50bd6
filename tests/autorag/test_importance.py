"""Knob importance: it finds the knobs that matter, and says when it cannot tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from autorag.importance import FEWEST, importance, joined, shapley_values
from autorag.objective import Objective
from autorag.optimizer import ModelFirstGreedy, Proposal
from autorag.pipeline.space import reference_space
from autorag.ports import Trial
from autorag.space import Config

SPACE = reference_space(
    {"minilm-int8": 384, "lsa": 256}, generators=("tiny",), cross_encoders=(), cores=4
)
QUALITY = "ndcg_at_10"
Quality = Callable[[Config], float]


def reranked(config: Config) -> float:
    """Quality that only the reranker and, less, the splitter decide."""
    gains = {"none": 0.0, "bm25": 0.05, "maxsim": 0.2}
    return 0.5 + gains[str(config["rerank.model"])] + 0.05 * (config["chunk.splitter"] == "fixed")


def measured(configs: list[Config], quality: Quality, noise: float = 0.005) -> list[Trial]:
    rng = np.random.default_rng(5)
    return [
        Trial(i, c, "finished", {QUALITY: quality(c) + noise * float(rng.standard_normal())})
        for i, c in enumerate(configs)
    ]


def drawn(count: int, seed: int = 0) -> list[Config]:
    rng = np.random.default_rng(seed)
    return [SPACE.default(), *(SPACE.sample(rng) for _ in range(count - 1))]


def walked(count: int) -> list[Config]:
    """What a greedy search tries."""
    search, trials = ModelFirstGreedy(SPACE, Objective(QUALITY, "max"), 0), []
    while len(trials) < count:
        config = SPACE.default()
        if trials:
            proposal = search.propose(trials)
            assert isinstance(proposal, Proposal)
            config = proposal.config
        trials.append(Trial(len(trials), config, "finished", {QUALITY: reranked(config)}))
    return [t.config for t in trials]


@pytest.mark.parametrize("count", [50, 100])
def test_the_knobs_that_matter_are_found_among_random_trials(count: int) -> None:
    told = importance(measured(drawn(count), reranked), QUALITY)
    assert list(told.shares)[:1] == ["rerank.model"]
    assert told.shares["rerank.model"] > 0.5
    assert told.unknown == ""
    assert told.explained == pytest.approx(sum(told.shares.values()))
    assert 0.5 < told.explained <= 1


def test_ten_trials_of_a_greedy_search_show_what_its_first_knobs_did() -> None:
    told = importance(measured(walked(FEWEST), reranked), QUALITY)
    assert told.configs == FEWEST
    assert next(iter(told.shares)) == "rerank.model"


def test_a_switch_is_credited_with_what_it_switches_on() -> None:
    told = importance(measured(drawn(60), reranked), QUALITY)
    assert {"rerank.depth", "rerank.weight"} <= set(told.shares)
    assert told.shares["rerank.depth"] + told.shares["rerank.weight"] < 0.1


def test_a_setting_within_a_part_is_credited_where_the_part_is_on() -> None:
    def weighted(config: Config) -> float:
        return 0.5 + 0.4 * abs(float(config.get("rerank.weight", 0.5)) - 0.5)

    told = importance(measured(drawn(100), weighted), QUALITY)
    assert next(iter(told.shares)) == "rerank.weight"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [12, 40, 100])
def test_noise_is_not_credited_to_any_knob(count: int, seed: int) -> None:
    told = importance(measured(drawn(count, seed), lambda _: 0.5, noise=0.1), QUALITY)
    assert told.shares == {}
    assert told.unknown.endswith(
        f"differences between {count} configs can be explained: too little to tell knobs apart"
    )


def test_few_configs_tell_nothing_however_often_they_were_measured() -> None:
    told = importance(measured(drawn(FEWEST - 1) * 3, reranked), QUALITY)
    assert told.shares == {}
    assert told.unknown == "configs measured: 9; it takes 10 to tell knobs apart"


def test_equal_values_tell_nothing() -> None:
    told = importance(measured(drawn(20), lambda _: 0.0, noise=0.0), QUALITY)
    assert told.unknown == "ndcg_at_10 was the same in all trials"


def test_one_very_bad_trial_does_not_hide_the_rest() -> None:
    trials = measured(drawn(50), reranked)
    trials[7] = replace(trials[7], metrics={QUALITY: -20.0})
    assert next(iter(importance(trials, QUALITY).shares)) == "rerank.model"


def test_a_knob_that_few_trials_show_is_found_though_most_are_alike() -> None:
    def rare(config: Config) -> float:
        return 0.9 if config["rerank.model"] == "maxsim" else 0.5

    few = [c for c in drawn(120) if c["rerank.model"] == "maxsim"][:10]
    alike = [c for c in drawn(120) if c["rerank.model"] != "maxsim"][:50]
    told = importance(measured(alike + few, rare, noise=0.0), QUALITY)
    assert next(iter(told.shares)) == "rerank.model"


def test_trials_without_a_result_do_not_count() -> None:
    trials = measured(drawn(50), reranked)
    told = importance(trials, QUALITY)
    failed = replace(trials[0], number=50, config=drawn(2, 9)[1], state="failed", metrics={})
    odd = replace(failed, number=51, state="finished", metrics={QUALITY: math.nan})
    bare = replace(odd, number=52, metrics={})
    assert importance([*trials, failed, odd, bare], QUALITY) == told


def test_it_is_the_same_every_time_and_knobs_that_never_varied_are_left_out() -> None:
    fixed = SPACE.fixed({"retrieve.k": 10})
    rng = np.random.default_rng(1)
    trials = measured([fixed.sample(rng) for _ in range(40)], reranked)
    told = importance(trials, QUALITY, seed=3)
    assert importance(trials, QUALITY, seed=3) == told
    assert list(told.shares.values()) == sorted(told.shares.values(), reverse=True)
    assert "retrieve.k" not in told.shares


def test_of_two_metrics_the_mean_of_what_could_be_told_is_given() -> None:
    trials = measured(drawn(50), reranked)
    trials = [replace(t, metrics={**t.metrics, "memory_mb": 40.0}) for t in trials]
    first, second = (importance(trials, name) for name in (QUALITY, "memory_mb"))
    assert joined([first, first]) == joined([first, second]) == joined([first])
    assert joined([second]) == {}


def test_shapley_values_share_out_what_is_predicted() -> None:
    points = np.random.default_rng(2).random((150, 4))
    values = shapley_values(
        lambda x: 3 * x[:, 0] + x[:, 1] * x[:, 2], points, [1, 2, 1], np.random.default_rng(0)
    )
    assert values[:, 2] == pytest.approx(0.0)
    gone = 3 * points[:, 0] + points[:, 1] * points[:, 2]
    assert np.corrcoef(values.sum(axis=1), gone)[0, 1] > 0.98
    assert np.corrcoef(values[:, 0], points[:, 0])[0, 1] > 0.98
