"""Training, on workloads whose laws are known."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from autorag.errors import InputError
from autorag.objective import parse_objective
from models.calibration import COVERAGE, Residuals
from models.examples import QUALITY, Example
from models.quality import QualityModel
from models.ratios import CONTEXT_TOKENS, WHOLE, RatioModel, analytic, corpus_weights, time_rows
from models.training import (
    HEADS,
    HeldOut,
    ModelSet,
    Trained,
    fit_landscapes,
    fit_ratios,
    held_out,
    residuals,
    train,
)
from tests.models.learned import TAIL, Imagined, example, examples


@lru_cache
def _once() -> Trained:
    return train(examples(), seed=0)


def told() -> tuple[HeldOut, ...]:
    return _once().held


def trained() -> ModelSet:
    return _once().models


def mape(one: HeldOut, metric: str) -> float:
    return float(np.nanmean(np.abs(one.predicted[metric] / one.measured[metric] - 1)))


def test_what_physics_misses_is_learned_from_other_workloads() -> None:
    timed = examples()[0].timed[0]
    alone = analytic(timed.knobs, timed.physics, "latency_p50_ms")
    assert np.mean(np.abs(alone / timed.measured["latency_p50_ms"] - 1)) > 0.2
    for one in told():
        for metric in ("latency_p50_ms", "latency_p95_ms", CONTEXT_TOKENS):
            assert mape(one, metric) < 0.05, (one.workload, metric)


def test_the_total_is_no_sum_of_quantiles() -> None:
    for one in told():
        ratio = one.predicted["latency_p95_ms"] / one.predicted["latency_p50_ms"]
        assert abs(np.median(ratio) - TAIL) < 0.03


def test_every_corpus_is_predicted_by_models_that_did_not_see_it() -> None:
    assert [one.workload for one in told()] == [e.workload for e in examples()]
    twin = replace(examples()[0], workload="again")
    four = [*examples()[:3], twin]
    held = list(held_out(four, fit_landscapes(four, 0), {"w0"}, 0))
    first, again = (next(o for o in held if o.workload == n) for n in ("w0", "again"))
    assert first.predicted[QUALITY].tolist() == again.predicted[QUALITY].tolist()
    assert np.abs(first.predicted[QUALITY] - first.measured[QUALITY]).mean() > 0.02


def test_alike_workloads_weigh_more() -> None:
    """Who likes words learns from those who like words."""
    model = trained().quality
    for made, like in ((Imagined("x", 0.05), ("w0", "w1")), (Imagined("y", 0.95), ("w8", "w9"))):
        found = model.over(examples()[0].knobs).predict(example(made).described)
        nearest = sorted(found.alike, key=lambda n: -found.alike[n])[:2]
        assert set(nearest) == set(like)


def regret(scores: np.ndarray, quality: np.ndarray) -> float:
    lost = quality.max() - quality[scores.argmax()]
    return float(lost / (quality.max() - quality.min()))


def test_a_workload_nobody_measured_gets_a_good_config() -> None:
    pool = trained().quality.over(examples()[0].knobs)
    lost: dict[str, list[float]] = {"model": [], "portfolio": []}
    for taste in (0.0, 0.17, 0.5, 0.83, 1.0):
        new = example(Imagined("new", taste))
        lost["model"].append(regret(pool.predict(new.described).effect, new.quality))
        lost["portfolio"].append(regret(pool.effects.mean(axis=0), new.quality))
    assert np.mean(lost["model"]) < 0.05 < np.mean(lost["portfolio"])


def test_landmarks_tell_what_features_do_not() -> None:
    """A level that no feature shows is learned from a few cheap configs."""
    model, rows = trained().quality, examples()[0].knobs
    easy = example(Imagined("easy", 0.5))
    raised = easy.quality + 0.2
    seen = {i: float(raised[i]) for i in (3, 40, 90)}
    pool = model.over(rows)
    without, with_ = (pool.predict(easy.described, m).value for m in ({}, seen))
    assert np.abs(with_ - raised).mean() < 0.5 * np.abs(without - raised).mean()


def test_how_landmarks_compare_tells_who_is_alike() -> None:
    """Features that say nothing, and landmarks that do."""
    pool = trained().quality.over(examples()[0].knobs)
    words = example(Imagined("words", 1.0))
    lexical = [i for i, c in enumerate(words.configs) if c["retrieve.mode"] == "lexical"][:2]
    dense = [i for i, c in enumerate(words.configs) if c["retrieve.mode"] == "dense"][:2]
    seen = {i: float(words.quality[i]) for i in (*lexical, *dense)}
    middle = example(Imagined("m", 0.5)).described
    without, with_ = (pool.predict(middle, marks).alike for marks in ({}, seen))
    assert with_["w9"] > 1.5 * without["w9"]
    assert with_["w0"] < without["w0"]


def test_intervals_hold_what_they_promise() -> None:
    """On corpora that gave no residual."""
    for metric in ("latency_p95_ms", CONTEXT_TOKENS, QUALITY):
        inside = []
        for one in told():
            low, high = residuals([o for o in told() if o is not one]).interval(metric)
            error = one.measured[metric] - one.predicted[metric]
            if metric != QUALITY:
                error = np.log(one.measured[metric] / one.predicted[metric])
            inside.append(float(np.mean((error >= low) & (error <= high))))
        assert np.mean(inside) >= COVERAGE - 0.1, metric


def test_shuffled_labels_widen_the_intervals() -> None:
    rng = np.random.default_rng(1)
    mixed = [replace(e, quality=rng.permutation(e.quality)) for e in examples()]
    mixed = [
        replace(e, timed=(replace(t, measured={**t.measured, QUALITY: e.quality}),))
        for e in mixed
        for t in e.timed
    ]
    wrong = train(mixed, seed=0).models.residuals.interval(QUALITY)
    right = residuals(told()).interval(QUALITY)
    assert wrong[1] - wrong[0] > 1.5 * (right[1] - right[0])


def test_nine_corpora_support_an_interval() -> None:
    eight, nine = (residuals(list(told())[:n]) for n in (8, 9))
    assert (eight.supported, nine.supported) == (False, True)
    assert eight.interval(QUALITY) == (-np.inf, np.inf)
    assert np.isfinite(nine.interval(QUALITY)).all()


def test_chances_are_shares_of_corpora() -> None:
    """Nine corpora that are predicted exactly, and one that is slower in half its configs."""
    slow = np.tile([0.0, np.log(2.0)], 20)[:, None]
    exact = {str(i): np.zeros((40, 1)) for i in range(9)}
    found = Residuals.of(("latency_p95_ms",), {**exact, "slow": slow})
    bound = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 10").slos
    predicted = {"latency_p95_ms": np.array([4.0, 9.0, 11.0])}
    assert found.chance(predicted, bound, 3).tolist() == pytest.approx([1.0, 0.95, 0.0])
    assert found.chance({}, (), 3).tolist() == pytest.approx([1.0] * 3)


def test_residuals_that_lack_a_bounded_metric_say_nothing() -> None:
    unknown = {str(i): np.full((5, 1), np.nan) for i in range(9)}
    found = Residuals.of(("memory_mb",), {**unknown, "over": np.full((5, 1), 1.0)})
    bound = parse_objective("max ndcg_at_10 subject to memory_mb <= 10").slos
    assert found.chance({"memory_mb": np.array([9.0])}, bound, 1).tolist() == [0.0]
    assert found.interval("memory_mb") == (-np.inf, np.inf)


def test_one_corpus_is_too_few() -> None:
    with pytest.raises(InputError, match="two corpora"):
        train(examples()[:1], seed=0)


def test_a_chatty_workload_does_not_own_the_model() -> None:
    """Twenty repeats of one that is slower weigh as much as one."""
    slow = example(Imagined("slow", 0.5, slower=2.0))
    chatty = replace(slow, timed=slow.timed * 20)
    usual = fit_ratios(examples(), ("latency_p50_ms",), 0)
    for other in (slow, chatty):
        mixed = fit_ratios([*examples(), other], ("latency_p50_ms",), 0)
        e = examples()[4]
        found = [predicted(e, m) for m in (usual, mixed)]
        assert 1.0 < float(np.median(found[1] / found[0])) < 1.2


def test_a_corpus_of_a_few_rows_weighs_less() -> None:
    weights = corpus_weights(["much"] * 200 + ["few"] * 5)
    assert weights[:200].sum() == pytest.approx(1.0)
    assert weights[200:].sum() == pytest.approx(5 / WHOLE)


def predicted(e: Example, model: RatioModel) -> np.ndarray:
    t = e.timed[0]
    rows = time_rows(t.knobs, e.described, t.physics)
    return model.predict(t.knobs, rows, t.physics, "latency_p50_ms")


def test_training_twice_gives_the_same() -> None:
    again = train(examples(), seed=0).models
    rows = examples()[0].knobs
    assert isinstance(again.quality, QualityModel)
    assert (again.quality.over(rows).effects == trained().quality.over(rows).effects).all()
    assert again.residuals.values.tolist() == trained().residuals.values.tolist()
    assert set(again.ratios.trees) == set(HEADS)
