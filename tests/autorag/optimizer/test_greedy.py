"""Greedy search: it finds what one knob at a time can find, and wastes no trial on the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag.objective import Objective, parse_objective
from autorag.optimizer import ModelFirstGreedy, best_trial
from autorag.ports import TrialState
from autorag.space import Choice, Config, Knob, Number, Space
from tests.autorag.optimizer.searching import TINY, configs_of, play
from tests.autorag.spaces import LARGE_CORPUS, REFERENCE

SPACE = REFERENCE.for_corpus(LARGE_CORPUS)
DEFAULT = SPACE.default()
QUALITY = parse_objective("max ndcg_at_10")
FEW = 40
DESCENT, ANSWER_DESCENT = 20, 30
"""Trials before random search takes over when nothing helps, for rankings and for answers."""

OPTIMA: tuple[dict[str, Any], ...] = (
    {"embed.model": "static", "rerank.model": "maxsim", "rerank.weight": 0.8},
    {"retrieve.mode": "hybrid", "retrieve.alpha": 0.3, "chunk.tokens": 96, "chunk.overlap": 0.2},
    {"chunk.splitter": "sentence", "chunk.tokens": 1024, "retrieve.k": 50},
    {"retrieve.mode": "lexical", "rerank.model": "bm25", "rerank.depth": 100},
    {"chunk.tokens": 32, "rerank.model": "/models/cross", "chunk.splitter": "fixed"},
)


def distance(config: Config, wanted: Mapping[str, Any]) -> float:
    """Sum over the wanted knobs of how far each is from its value; a missing knob counts 1."""
    total = 0.0
    for name, value in wanted.items():
        domain = SPACE[name].domain
        if name not in config:
            total += 1.0
        elif domain.ordered:
            total += abs(domain.encode(config[name])[0] - domain.encode(value)[0])
        else:
            total += config[name] != value
    return total


def separable(wanted: Mapping[str, Any]) -> Any:
    """Metrics that are best at these values."""
    return lambda config: {"ndcg_at_10": 1.0 - 0.1 * distance(config, wanted)}


def greedy(objective: Objective = QUALITY, seed: int = 0) -> ModelFirstGreedy:
    return ModelFirstGreedy(SPACE, objective, seed)


@pytest.mark.parametrize("wanted", OPTIMA, ids=lambda w: "+".join(w))
def test_the_optimum_of_a_separable_objective_is_found(wanted: dict[str, Any]) -> None:
    trials = play(greedy(), DEFAULT, separable(wanted), FEW)
    best = best_trial(trials, QUALITY)
    assert {name: best.config.get(name) for name in wanted} == wanted


def test_the_index_is_tuned_for_memory() -> None:
    objective = parse_objective("min memory_mb")
    wanted = {"index.kind": "hnsw_sq8", "index.hnsw_m": 8, "embed.dim": 64}
    trials = play(greedy(objective), DEFAULT, lambda c: {"memory_mb": 1 + distance(c, wanted)}, FEW)
    assert best_trial(trials, objective).metrics["memory_mb"] == 1.0


def test_the_models_are_settled_first() -> None:
    trials = play(greedy(), DEFAULT, separable({"embed.model": "lsa"}), 6)
    moved = [set(DEFAULT.changed(c)) for c in configs_of(trials)[1:]]
    models = {"embed.model", "rerank.model", "rerank.depth", "rerank.weight"}
    assert all(m & models for m in moved[:5])


def test_a_knob_that_cannot_change_a_ranking_is_not_tried() -> None:
    def stubborn(config: Config) -> Mapping[str, float]:
        return {"ndcg_at_10": 0.5}

    for config in configs_of(play(greedy(), DEFAULT, stubborn, DESCENT)):
        changed = DEFAULT.changed(config).items()
        touched = [SPACE[name] for name, (a, b) in changed if None not in (a, b)]
        assert all(k.algorithmic for k in touched)
        assert all(k.stage != "generate" for k in touched)


def test_a_knob_that_can_change_an_answer_is_tried() -> None:
    objective = parse_objective("max answer_f1")
    trials = play(greedy(objective), DEFAULT, lambda c: {"answer_f1": 0.5}, ANSWER_DESCENT)
    touched = {name for c in configs_of(trials) for name in DEFAULT.changed(c)}
    assert {"generate.model", "generate.contexts", "generate.max_tokens"} <= touched
    assert not any(name.startswith("threads.") for name in touched)


def test_threads_are_tried_for_latency() -> None:
    objective = parse_objective("min latency_p95_ms")
    metrics = separable({"threads.embed": 4})

    def latency(config: Config) -> Mapping[str, float]:
        return {"latency_p95_ms": 10 - metrics(config)["ndcg_at_10"]}

    trials = play(greedy(objective), DEFAULT, latency, FEW)
    assert best_trial(trials, objective).config["threads.embed"] == 4


def context_tokens(config: Config) -> float:
    return float(config["generate.contexts"]) * float(config["chunk.tokens"])


def test_an_infeasible_start_is_left() -> None:
    objective = parse_objective("max ndcg_at_10 subject to context_tokens <= 600")

    def metrics(config: Config) -> Mapping[str, float]:
        return {
            **separable({"chunk.tokens": 256})(config),
            "context_tokens": context_tokens(config),
        }

    assert not objective.feasible(metrics(DEFAULT))
    trials = play(greedy(objective), DEFAULT, metrics, FEW)
    assert objective.feasible(best_trial(trials, objective).metrics)


@pytest.mark.parametrize(
    ("slo", "knob"),
    [("context_tokens <= 600", "generate.contexts"), ("latency_p95_ms <= 20", "threads.embed")],
)
def test_a_knob_that_only_a_missed_bound_feels_is_tried(slo: str, knob: str) -> None:
    objective = parse_objective(f"max ndcg_at_10 subject to {slo}")

    def metrics(config: Config) -> Mapping[str, float]:
        missed = 0.0 if config[knob] != DEFAULT[knob] else 1e4
        return {"ndcg_at_10": 0.5, "context_tokens": missed, "latency_p95_ms": missed}

    trials = play(greedy(objective), DEFAULT, metrics, FEW)
    assert any(set(DEFAULT.changed(c)) == {knob} for c in configs_of(trials))


@pytest.mark.parametrize("state", ["failed", "skipped", "censored"])
def test_trials_without_a_result_are_passed_over(state: TrialState) -> None:
    wanted = {"rerank.model": "maxsim", "chunk.tokens": 128}
    good = separable(wanted)

    def metrics(config: Config) -> Mapping[str, float] | TrialState:
        return state if config.get("embed.model") == "static" else good(config)

    trials = play(greedy(), DEFAULT, metrics, FEW)
    assert sum(t.state == state for t in trials) >= 1
    best = best_trial(trials, QUALITY).config
    assert {name: best[name] for name in wanted} == wanted
    assert len(set(configs_of(trials))) == len(trials)


def test_a_search_goes_on_when_everything_fails() -> None:
    trials = play(greedy(), DEFAULT, lambda config: "failed", FEW)
    assert len(set(configs_of(trials))) == FEW + 1


def test_random_search_takes_over_until_the_space_is_exhausted() -> None:
    strategy = ModelFirstGreedy(TINY, QUALITY, 0)
    trials = play(strategy, TINY.default(), lambda config: {"ndcg_at_10": 0.5}, 100)
    assert len(set(configs_of(trials))) == len(trials) == 6


seeds = st.integers(0, 2**32 - 1)


def noise(seed: int) -> Any:
    """Metrics without any order, some of them missing; a function of the config."""

    def metrics(config: Config) -> Mapping[str, float] | TrialState:
        value = int(config.hash_hex, 16) ^ seed
        return "failed" if value % 7 == 0 else {"ndcg_at_10": value % 1009 / 1009}

    return metrics


@settings(max_examples=20)
@given(seeds)
def test_only_new_and_valid_configs_are_proposed(seed: int) -> None:
    configs = configs_of(play(greedy(seed=seed), DEFAULT, noise(seed), 40))
    assert len(configs) == len(set(configs)) == 41
    assert all(SPACE.valid(c) for c in configs)


@settings(max_examples=20)
@given(seeds, st.integers(0, 40))
def test_a_proposal_depends_on_the_trials_only(seed: int, cut: int) -> None:
    whole = play(greedy(seed=seed), DEFAULT, noise(seed), 40)
    resumed = play(greedy(seed=seed), DEFAULT, noise(seed), 40, whole[: cut + 1])
    assert configs_of(resumed) == configs_of(whole)


@settings(max_examples=10)
@given(seeds)
def test_a_seed_gives_one_sequence(seed: int) -> None:
    one, again = (play(greedy(seed=seed), DEFAULT, noise(seed), 30) for _ in range(2))
    assert configs_of(one) == configs_of(again)


def test_larger_chunks_come_with_fewer_contexts_where_their_tokens_are_bounded() -> None:
    objective = parse_objective("max ndcg_at_10 subject to context_tokens <= 1300")

    def metrics(config: Config) -> Mapping[str, float]:
        size = float(config["chunk.tokens"])
        sent = size * float(config["generate.contexts"])
        return {"ndcg_at_10": size / 2000, "context_tokens": sent}

    assert objective.feasible(metrics(DEFAULT))
    trials = play(greedy(objective), DEFAULT, metrics, FEW)
    best = best_trial(trials, objective).config
    assert best["chunk.tokens"] == 1024
    assert best["generate.contexts"] == 1


# -- spaces of apps ----------------------------------------------------------------------------

OWN = Space(
    (
        Knob("search.mode", Choice(("graph", "scan")), "graph", "retrieve"),
        Knob("index.analyzer", Choice(("plain", "stemmed")), "plain", "index", "rebuild"),
        Knob("search.limit", Number(1, 200, integer=True, log=True), 7, "retrieve"),
        Knob("search.boost", Number(0, 1), 0.33, "retrieve"),
        Knob("prompt.brief", Choice((False, True), ordered=True), False, "generate"),
        Knob("generate.contexts", Choice(("few", "many")), "few", "generate"),
    )
)
"""Numbers without a grid, and names that the reference pipeline knows as something else."""


def test_an_apps_own_knobs_are_walked_along() -> None:
    def metrics(config: Config) -> Mapping[str, float]:
        off = abs(float(config["search.boost"]) - 0.9) + abs(int(config["search.limit"]) - 60) / 200
        stemmed = 0.2 * (config["index.analyzer"] == "stemmed")
        return {"ndcg_at_10": 0.7 - 0.3 * off + stemmed}

    best = best_trial(play(ModelFirstGreedy(OWN, QUALITY, 0), OWN.default(), metrics, FEW), QUALITY)
    assert best.config["index.analyzer"] == "stemmed"
    assert best.config["search.boost"] == pytest.approx(0.9, abs=0.06)
    assert 40 < int(best.config["search.limit"]) < 90


def test_a_bound_on_context_tokens_that_nobody_measures_stops_no_search() -> None:
    objective = parse_objective("max ndcg_at_10 subject to context_tokens <= 10")
    for known in ({}, {"context_tokens": 500.0}):
        good = lambda c: {"ndcg_at_10": float(c["search.mode"] == "scan"), **known}  # noqa: E731, B023
        trials = play(ModelFirstGreedy(OWN, objective, 0), OWN.default(), good, FEW)
        assert best_trial(trials, objective).config["search.mode"] == "scan"


@settings(max_examples=20)
@given(seeds)
def test_only_new_and_valid_configs_of_an_apps_space_are_proposed(seed: int) -> None:
    strategy = ModelFirstGreedy(OWN, QUALITY, seed)
    configs = configs_of(play(strategy, OWN.default(), noise(seed), 40))
    assert len(configs) == len(set(configs)) == 41
    assert all(OWN.valid(c) for c in configs)


def test_it_starts_from_the_settings_that_an_app_has() -> None:
    current = {"search.mode": "scan", "search.limit": 33}
    space = OWN.defaulting(current)
    trials = play(ModelFirstGreedy(space, QUALITY, 0), space.default(), noise(1), 3)
    moved = [trials[0].config.changed(t.config) for t in trials[1:]]
    assert trials[0].config["search.limit"] == 33
    assert all(len(m) == 1 for m in moved)
