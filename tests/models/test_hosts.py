"""What a machine adds, on machines whose laws are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.encoding import CHOICE_FLAGS
from models.examples import Example
from models.hosts import FEWEST_TRIALS, LEARNED_CORPORA, HostEffect
from models.ratios import RatioModel, time_rows
from models.training import fit_ratios
from tests.models.learned import Imagined, configs, example, examples

TARGET = "latency_p50_ms"


def on(machine: str, made: Imagined) -> Example:
    """A workload that another machine timed: slow where BM25 reranks, fast in all else."""
    found = example(made)
    (timed,) = found.timed
    bm25 = np.array([config["rerank.model"] == "bm25" for config in configs()])
    factor = np.where(bm25, 2.0, 0.7)
    measured = {m: v * factor if m.endswith("_ms") else v for m, v in timed.measured.items()}
    return replace(found, timed=(replace(timed, machine=machine, measured=measured),))


def error(model: RatioModel, asked: Example) -> float:
    (t,) = asked.timed
    rows = time_rows(t.knobs, asked.described, t.physics)
    told = model.predict(t.knobs, rows, t.physics, TARGET, model.hosts.get(t.machine))
    return float(np.mean(np.abs(told / t.measured[TARGET] - 1)))


def test_one_workload_tells_what_a_machine_adds_on_another() -> None:
    asked = on("other", Imagined("new", 0.3))
    without = fit_ratios(examples(), (TARGET,), 0)
    with_ = fit_ratios([*examples(), on("other", Imagined("seen", 0.8))], (TARGET,), 0)
    assert not without.knows("other")
    assert with_.knows("other")
    assert error(without, asked) > 0.3
    assert error(with_, asked) < 0.1


def test_a_machine_that_timed_little_does_not_change_the_trees() -> None:
    usual = fit_ratios(examples(), (TARGET,), 0)
    mixed = fit_ratios([*examples(), on("other", Imagined("seen", 0.8))], (TARGET,), 0)
    assert mixed.machines == usual.machines
    assert error(mixed, examples()[3]) == error(usual, examples()[3])


def test_trees_learn_from_a_machine_that_timed_enough_and_know_what_it_adds() -> None:
    others = [on("other", Imagined(f"o{i}", i / 10)) for i in range(LEARNED_CORPORA)]
    enough = fit_ratios([*examples(), *others], (TARGET,), 0)
    assert enough.machines > {"other"}
    assert error(enough, on("other", Imagined("new", 0.3))) < 0.1
    assert error(enough, examples()[3]) < 0.1
    assert "other" not in fit_ratios([*examples(), *others[1:]], (TARGET,), 0).machines
    assert fit_ratios(others[:2], (TARGET,), 0).machines == {"other"}


def test_few_trials_move_little_and_fewer_say_nothing() -> None:
    (timed,) = examples()[0].timed
    twice = np.full(len(timed.knobs), np.log(2.0))

    def factor(count: int) -> float:
        effect = HostEffect.fit(timed.knobs[:count], {TARGET: twice[:count]})
        return float(np.median(effect.factor(timed.knobs, TARGET)))

    assert factor(FEWEST_TRIALS - 1) == 1.0
    assert 1.2 < factor(FEWEST_TRIALS) < factor(40) < 2.0
    assert factor(len(twice)) > 1.9


def test_what_was_not_timed_stays() -> None:
    (timed,) = examples()[0].timed
    effect = HostEffect.fit(timed.knobs, {TARGET: np.full(len(timed.knobs), np.nan)})
    assert effect.coefficients == {}
    assert effect.factor(timed.knobs, TARGET) == 1.0
    known = HostEffect.fit(timed.knobs, {TARGET: np.ones(len(timed.knobs))})
    assert known.coefficients[TARGET].shape == (1 + len(CHOICE_FLAGS),)
