"""The optimizer on functions whose best config is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag.objective import Objective, parse_objective
from autorag.optimizer import (
    BayesianSearch,
    Proposal,
    RandomSearch,
    SpaceCandidates,
    Stop,
    bayesian,
    pareto_trials,
)
from autorag.optimizer.acquisition import hypervolume
from autorag.ports import Belief, Prior, Trial, TrialState
from autorag.space import Choice, Config, Knob, Number, Space
from tests.autorag.optimizer.searching import TINY, configs_of, play, trial
from tests.fakes import FakeCosts

SPACE = Space(
    (
        Knob("retrieve.mode", Choice(("dense", "lexical", "hybrid")), "dense", "retrieve"),
        Knob("retrieve.k", Number(1, 64, integer=True, log=True, grid=(1, 2, 4, 8, 16, 32, 64)), 8,
             "retrieve"),
        Knob("chunk.tokens", Number(32, 512, integer=True, log=True,
             grid=(32, 64, 128, 256, 512)), 64, "chunk", "rebuild"),
        Knob("rerank.depth", Number(1, 50, integer=True, grid=(1, 10, 20, 50)), 10, "rerank"),
    )
)  # fmt: skip
DEFAULT = SPACE.default()
QUALITY = parse_objective("max ndcg_at_10")
BOUNDED = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 20")
FRONT = parse_objective("pareto ndcg_at_10, latency_p95_ms")
seeds = st.integers(0, 2**32 - 1)


def truth(config: Config) -> Mapping[str, float]:
    """Best for hybrid, 32 and 256; slower with depth and k."""
    mode = {"dense": 0.1, "lexical": 0.0, "hybrid": 0.2}[str(config["retrieve.mode"])]
    k, tokens = (float(np.log2(float(config[n]))) for n in ("retrieve.k", "chunk.tokens"))
    depth = float(config["rerank.depth"])
    quality = 0.4 + mode - 0.02 * (k - 5) ** 2 - 0.02 * (tokens - 8) ** 2 + 0.002 * depth
    return {"ndcg_at_10": quality, "latency_p95_ms": 2.0 + 0.1 * 2**k + 0.4 * depth}


ALL = [
    SPACE.config({"retrieve.mode": m, "retrieve.k": k, "chunk.tokens": t, "rerank.depth": d})
    for m in SPACE["retrieve.mode"].domain.grid
    for k in SPACE["retrieve.k"].domain.grid
    for t in SPACE["chunk.tokens"].domain.grid
    for d in SPACE["rerank.depth"].domain.grid
]


def best_value(objective: Objective) -> float:
    held = [truth(c) for c in ALL if objective.feasible(truth(c))]
    return max(m["ndcg_at_10"] for m in held)


class Learned(Prior):
    """Believes what a function says."""

    def __init__(self, says: Callable[[Config], float], metric: str = "ndcg_at_10") -> None:
        self._says = says
        self._metric = metric

    def believe(self, metric: str, configs: Sequence[Config]) -> Belief | None:
        if metric != self._metric:
            return None
        mean = np.array([self._says(c) for c in configs])
        return Belief(mean, np.full((len(mean), 1), 0.1), 0.05, 0.05, 0.9)


def search(
    objective: Objective = QUALITY,
    prior: Prior | None = None,
    seed: int = 0,
    costs: FakeCosts | None = None,
    **more: float,
) -> BayesianSearch:
    return BayesianSearch(
        SPACE,
        objective,
        SpaceCandidates(SPACE, (), seed, drawn=3000),
        prior,
        costs or FakeCosts(),
        queries=10_000,
        seed=seed,
        **more,  # type: ignore[arg-type]
    )


def regret(trials: Sequence[Trial], one: BayesianSearch, objective: Objective) -> float:
    found = truth(one.best(trials).config)
    assert objective.feasible(found)
    return best_value(objective) - found["ndcg_at_10"]


@pytest.mark.parametrize("objective", [QUALITY, BOUNDED], ids=str)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_good_config_is_found_without_a_prior(objective: Objective, seed: int) -> None:
    one = search(objective, seed=seed)
    trials = play(one, DEFAULT, truth, 25)
    assert regret(trials, one, objective) < 0.015


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_prior_that_is_right_finds_it_at_once(seed: int) -> None:
    one = search(prior=Learned(lambda c: truth(c)["ndcg_at_10"] - 0.1), seed=seed)
    assert truth(one.guess())["ndcg_at_10"] == pytest.approx(best_value(QUALITY))
    assert regret(play(one, DEFAULT, truth, 2), one, QUALITY) < 0.005


def test_a_prior_that_is_reversed_is_forgotten() -> None:
    wrong = Learned(lambda c: 0.9 - truth(c)["ndcg_at_10"])
    misled, alone = search(prior=wrong), search()
    trials = play(misled, DEFAULT, truth, 5)
    assert misled.propose(trials[:2]) != alone.propose(trials[:2])
    assert misled.propose(trials) == alone.propose(trials)


def test_bounds_that_the_current_settings_miss_are_held_in_the_end() -> None:
    goal = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 4")
    slow = SPACE.config({"rerank.depth": 50})
    one = search(goal)
    trials = play(one, slow, truth, 15)
    assert goal.feasible(one.best(trials).metrics)


@settings(max_examples=5, deadline=None)
@given(seeds, st.integers(0, 8))
def test_a_proposal_depends_on_the_trials_only(seed: int, cut: int) -> None:
    whole = play(search(BOUNDED, seed=seed), DEFAULT, truth, 8)
    resumed = play(search(BOUNDED, seed=seed), DEFAULT, truth, 8, whole[: cut + 1])
    assert configs_of(resumed) == configs_of(whole)


def test_what_others_measure_now_is_not_proposed() -> None:
    one = search(prior=Learned(lambda c: truth(c)["ndcg_at_10"]))
    trials, found = [trial(0, DEFAULT, truth(DEFAULT))], []
    for number in range(1, 6):
        proposal = one.propose(trials)
        assert isinstance(proposal, Proposal)
        found.append(proposal.config)
        trials.append(Trial(number, proposal.config, "running"))
    assert len(set(found)) == 5
    assert DEFAULT not in found


def test_the_best_is_what_has_ended() -> None:
    """However good what is being measured is expected to be."""
    one = search(prior=Learned(lambda c: truth(c)["ndcg_at_10"]))
    best = max(ALL, key=lambda c: truth(c)["ndcg_at_10"])
    trials = [trial(0, DEFAULT, truth(DEFAULT)), Trial(1, best, "running")]
    assert one.best(trials) == trials[0]


def test_what_is_likely_to_hold_its_bounds_is_ranked_first() -> None:
    """Faster ones are worse."""
    slow = Learned(lambda c: float(np.log(truth(c)["latency_p95_ms"])), "latency_p95_ms")
    goal = parse_objective("min latency_p95_ms subject to latency_p95_ms <= 12")
    ranked = search(goal, slow).ranked()
    times = [truth(c)["latency_p95_ms"] for c in ranked]
    assert times[0] == min(times)
    bounded = search(parse_objective("max latency_p95_ms subject to latency_p95_ms <= 12"), slow)
    first = truth(bounded.ranked()[0])["latency_p95_ms"]
    assert 6 < first < 12
    assert bounded.ranked()[0] == bounded.guess()


def test_what_failed_is_not_proposed_again() -> None:
    trials = play(search(), DEFAULT, lambda c: truth(c) if c == DEFAULT else "failed", 12)
    assert len(set(configs_of(trials))) == len(trials) == 13


def test_everything_is_tried_and_then_it_ends() -> None:
    one = BayesianSearch(
        TINY, QUALITY, SpaceCandidates(TINY, (), 0), None, FakeCosts(), queries=10, seed=0
    )
    trials = play(one, TINY.default(), lambda c: {"ndcg_at_10": float(hash(c) % 7)}, 50)
    ended = one.propose(trials)
    assert isinstance(ended, Stop)
    assert len(trials) <= 6


def test_a_search_ends_when_nothing_is_worth_measuring() -> None:
    one = search(prior=Learned(lambda c: truth(c)["ndcg_at_10"]))
    trials = play(one, DEFAULT, truth, 200)
    assert len(trials) < 60
    ended = one.propose(trials)
    assert isinstance(ended, Stop)
    assert "expected to gain" in ended.reason
    assert regret(trials, one, QUALITY) < 0.005


def test_cheap_configs_are_preferred_while_there_is_time() -> None:
    def seconds(config: Config) -> float:
        return 100.0 if config["chunk.tokens"] != DEFAULT["chunk.tokens"] else 1.0

    trials = [trial(0, DEFAULT, truth(DEFAULT))]
    early = search(costs=FakeCosts(seconds)).propose(trials, 0.0)
    assert isinstance(early, Proposal)
    assert early.config["chunk.tokens"] == DEFAULT["chunk.tokens"]


def test_what_does_not_fit_is_not_proposed() -> None:
    def seconds(config: Config) -> float:
        return 5.0 if config["retrieve.mode"] == "dense" else 50.0

    trials = [trial(0, DEFAULT, truth(DEFAULT))]
    one = search(costs=FakeCosts(seconds))
    found = one.propose(trials, 0.9, 10.0)
    assert isinstance(found, Proposal)
    assert found.config["retrieve.mode"] == "dense"
    nothing = one.propose(trials, 0.9, 1.0)
    assert isinstance(nothing, Stop)
    assert "fits" in nothing.reason


def test_a_proposal_says_what_is_expected() -> None:
    trials = play(search(BOUNDED), DEFAULT, truth, 4)
    found = search(BOUNDED).propose(trials)
    assert isinstance(found, Proposal)
    assert "ndcg_at_10" in found.why
    assert found.gain is not None
    assert found.gain > 0
    assert found.chance is not None
    assert 0 <= found.chance <= 1


def test_a_config_whose_bound_is_close_is_measured_again() -> None:
    """The best but for a latency that is on the edge, with noise."""
    edge = SPACE.config({"retrieve.mode": "hybrid", "retrieve.k": 32, "chunk.tokens": 256})
    rng = np.random.default_rng(0)

    def noisy(config: Config) -> Mapping[str, float]:
        if config == edge:
            return {"ndcg_at_10": 0.9, "latency_p95_ms": 19.9 * float(np.exp(0.03 * rng.normal()))}
        return {**truth(config), "latency_p95_ms": 5.0}

    trials = [
        trial(0, DEFAULT, noisy(DEFAULT)),
        trial(1, edge, {**noisy(edge), "latency_p95_ms": 20.3}),
    ]
    trials = play(search(BOUNDED), DEFAULT, noisy, 12, trials)
    assert configs_of(trials).count(edge) > 1


def test_safe_steps_are_small_and_hold_their_bounds() -> None:
    goal = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 12")
    slow = Learned(lambda c: float(np.log(truth(c)["latency_p95_ms"])), "latency_p95_ms")
    one, free = (search(goal, slow, risk=risk) for risk in (0.1, None))  # type: ignore[arg-type]
    careful, careless = (play(s, DEFAULT, truth, 12) for s in (one, free))
    for number, each in enumerate(careful[1:], 1):
        earlier = [t.config for t in careful[:number] if goal.feasible(t.metrics)]
        assert min(len(c.changed(each.config)) for c in earlier) <= 1 + number // 3
    missed = [sum(not goal.feasible(t.metrics) for t in ts) for ts in (careful, careless)]
    assert missed[0] <= 1
    assert truth(one.best(careful).config)["ndcg_at_10"] > truth(DEFAULT)["ndcg_at_10"]


@pytest.mark.parametrize("seed", range(4))
def test_every_proposal_is_as_safe_as_was_asked(seed: int) -> None:
    """Those to measure something again too: noise brings configs near the bound."""
    rng = np.random.default_rng(seed)

    def noisy(config: Config) -> Mapping[str, float]:
        found = truth(config)
        return {**found, "latency_p95_ms": found["latency_p95_ms"] * np.exp(0.1 * rng.normal())}

    one = search(BOUNDED, seed=seed, risk=0.1)
    trials = [trial(0, DEFAULT, truth(DEFAULT))]
    for number in range(1, 15):
        found = one.propose(trials)
        if isinstance(found, Stop):
            break
        assert found.chance is not None
        assert found.chance >= 0.9
        trials.append(trial(number, found.config, noisy(found.config)))


def test_what_fails_whatever_else_is_set_is_given_up() -> None:
    one = search(prior=Learned(lambda c: 0.3 + 0.5 * (c["retrieve.mode"] == "hybrid")))

    def broken(config: Config) -> Mapping[str, float] | TrialState:
        return "failed" if config["retrieve.mode"] == "hybrid" else truth(config)

    trials = play(one, DEFAULT, broken, 12)
    assert [t.state for t in trials].count("failed") == bayesian.HOPELESS


def test_what_cannot_tell_a_bounded_metric_is_given_up() -> None:
    goal = parse_objective("max ndcg_at_10 subject to ann_recall_at_10 >= 0.9")
    cheap = FakeCosts(lambda c: 1.0 if c["retrieve.mode"] == "lexical" else 50.0)

    def searched(config: Config) -> Mapping[str, float]:
        lexical = config["retrieve.mode"] == "lexical"
        return truth(config) if lexical else {**truth(config), "ann_recall_at_10": 1.0}

    trials = play(search(goal, costs=cheap), DEFAULT, searched, 10)
    assert sum(t.config["retrieve.mode"] == "lexical" for t in trials) == bayesian.HOPELESS


def test_what_is_the_same_every_time_is_measured_once() -> None:
    goal = parse_objective("max ndcg_at_10 subject to memory_mb <= 100")
    trials = play(search(goal), DEFAULT, lambda c: {**truth(c), "memory_mb": 100.2}, 12)
    assert len(set(configs_of(trials))) == len(trials)


def test_what_is_recommended_is_what_was_measured_last() -> None:
    trials = [
        trial(0, DEFAULT, {"ndcg_at_10": 0.5, "latency_p95_ms": 10.0}),
        trial(1, DEFAULT, {"ndcg_at_10": 0.5, "latency_p95_ms": 12.0}),
    ]
    assert search(BOUNDED).best(trials) == trials[1]


@pytest.mark.parametrize("missing", ["ndcg_at_10", "latency_p95_ms"])
def test_a_front_needs_both_metrics(missing: str) -> None:
    trials = [trial(0, DEFAULT, {k: v for k, v in truth(DEFAULT).items() if k != missing})]
    one = search(FRONT)
    assert one.best(trials) == trials[0]
    trials += [trial(1, ALL[0], truth(ALL[0]))]
    assert one.best(trials) == trials[1]


def test_a_belief_that_is_no_number_is_none() -> None:
    trials = play(search(prior=Learned(lambda c: float("nan"))), DEFAULT, truth, 3)
    assert configs_of(trials) == configs_of(play(search(), DEFAULT, truth, 3))


def test_nothing_is_safe_where_nothing_held() -> None:
    goal = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 1")
    one = search(goal, risk=0.1)
    ended = one.propose([trial(0, DEFAULT, truth(DEFAULT))])
    assert isinstance(ended, Stop)
    assert "safe" in ended.reason


def test_a_front_is_found_faster_than_at_random() -> None:
    def area(trials: Sequence[Trial]) -> float:
        times = [np.log(t.metrics["latency_p95_ms"]) for t in trials]
        costs = [[-t.metrics["ndcg_at_10"], ms] for t, ms in zip(trials, times, strict=True)]
        return hypervolume(np.array(costs), (0.0, float(np.log(40.0))))

    whole = area([trial(i, c, truth(c)) for i, c in enumerate(ALL)])
    ours, others = [], []
    for seed in range(3):
        ours.append(area(play(search(FRONT, seed=seed), DEFAULT, truth, 30)) / whole)
        others.append(area(play(RandomSearch(SPACE, FRONT, seed), DEFAULT, truth, 30)) / whole)
    assert np.mean(ours) > 0.8
    assert np.mean(ours) > np.mean(others)


def test_what_is_recommended_of_a_front_is_on_it() -> None:
    one = search(FRONT)
    trials = play(one, DEFAULT, truth, 15)
    assert one.best(trials) in pareto_trials(trials, *FRONT.each)


def test_where_no_posterior_can_be_computed_the_belief_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = search(prior=Learned(lambda c: truth(c)["ndcg_at_10"]))
    trials = play(one, DEFAULT, truth, 2)
    believed = one.ranked()

    def fails(*_: object) -> None:
        raise np.linalg.LinAlgError

    monkeypatch.setattr(one, "_proposed", fails)
    found = one.propose(trials)
    assert isinstance(found, Proposal)
    assert found.why == bayesian.NO_FIT
    tried = set(configs_of(trials))
    assert found.config == next(c for c in believed if c not in tried)


def test_many_trials_are_no_trouble() -> None:
    rng = np.random.default_rng(0)
    trials = [trial(i, SPACE.sample(rng), truth(SPACE.sample(rng))) for i in range(300)]
    assert isinstance(search(BOUNDED).propose(trials), Proposal | Stop)
