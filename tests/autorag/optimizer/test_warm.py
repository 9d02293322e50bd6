"""Beginning with what did well before."""

from __future__ import annotations

from autorag.objective import parse_objective
from autorag.optimizer import RandomSearch, WarmStart, best_before
from autorag.space import Config
from tests.autorag.optimizer.searching import TINY, configs_of, play

QUALITY = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 20")


def flat(config: Config) -> dict[str, float]:
    return {"ndcg_at_10": 0.5, "latency_p95_ms": 1.0}


def config(mode: str, k: int) -> Config:
    return TINY.config({"retrieve.mode": mode, "retrieve.k": k})


FIRST = [config("lexical", 9), config("dense", 1)]


def test_these_come_first_and_then_what_the_other_strategy_says() -> None:
    cold = RandomSearch(TINY, QUALITY, 0)
    strategy = WarmStart(FIRST, cold)
    trials = play(strategy, TINY.default(), flat, 4)
    assert configs_of(trials)[1:3] == FIRST
    assert configs_of(trials)[3:] == configs_of(play(cold, TINY.default(), flat, 4, trials[:3]))[3:]
    assert strategy.name == "random"
    assert strategy.best(trials) == cold.best(trials)


def test_what_was_tried_is_not_tried_again() -> None:
    strategy = WarmStart([TINY.default(), *FIRST], RandomSearch(TINY, QUALITY, 0))
    trials = play(strategy, TINY.default(), flat, 10)
    assert configs_of(trials)[1:3] == FIRST
    assert len(set(configs_of(trials))) == len(trials) == 6


def test_it_goes_on_where_it_was() -> None:
    strategy = WarmStart(FIRST, RandomSearch(TINY, QUALITY, 0))
    whole = play(strategy, TINY.default(), flat, 5)
    for cut in range(1, len(whole)):
        assert play(strategy, TINY.default(), flat, 5, whole[:cut]) == whole


def measured(ndcg: float, latency: float = 1.0) -> dict[str, float]:
    return {"ndcg_at_10": ndcg, "latency_p95_ms": latency}


def test_the_best_of_each_study_comes_before_the_second_best_of_any() -> None:
    a, b, c, d = (config("dense", 1), config("dense", 3), config("dense", 9), config("lexical", 1))
    newest = [(a, measured(0.3)), (b, measured(0.2))]
    older = [(c, measured(0.9)), (d, measured(0.8)), (a, measured(0.1))]
    assert best_before([newest, older], QUALITY, 9) == [a, c, b, d]
    assert best_before([older, newest], QUALITY, 3) == [c, a, d]
    assert best_before([], QUALITY, 3) == []


def test_what_breaks_a_bound_comes_after_what_holds_it() -> None:
    slow, quick = (config("dense", 9), measured(0.9, 50.0)), (config("dense", 1), measured(0.1))
    assert best_before([[slow, quick]], QUALITY, 9) == [quick[0], slow[0]]


def test_what_does_not_tell_the_objective_is_left_out() -> None:
    told = (config("dense", 1), {"recall_at_10": 1.0, "latency_p95_ms": 1.0})
    assert best_before([[told]], QUALITY, 9) == []
