"""What a set is worth, on workloads whose laws are known."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from models.accuracy import MARGIN, ORDER, SLACK, Accuracy, Change, accuracy_on, changes
from models.calibration import COVERAGE
from models.examples import QUALITY, Example, taken_after, taken_until
from models.training import PREDICTED, train
from tests.models.learned import Imagined, example, examples
from tests.models.test_training import told, trained


@lru_cache
def accuracy() -> Accuracy:
    return Accuracy.of(told())


def mixed(of: Example, seed: int) -> Example:
    """Its labels, shuffled."""
    order = np.random.default_rng(seed).permutation(len(of.quality))
    timed = [replace(t, measured={m: v[order] for m, v in t.measured.items()}) for t in of.timed]
    return replace(of, quality=of.quality[order], halves=of.halves[:, order], timed=tuple(timed))


def test_every_corpus_has_an_error_of_every_metric() -> None:
    corpora = {e.corpus for e in examples()}
    assert set(accuracy().errors) == {*PREDICTED, ORDER}
    assert all(set(by_corpus) == corpora for by_corpus in accuracy().errors.values())
    assert accuracy().mean("latency_p50_ms") < 0.05
    assert accuracy().mean(ORDER) < 0.1


def test_coverage_is_that_of_corpora_by_the_others() -> None:
    assert set(accuracy().coverage) == set(PREDICTED)
    assert accuracy().coverage[QUALITY] >= COVERAGE - 0.15
    assert Accuracy.of(told()[:9]).coverage == {}


def test_it_is_the_same_from_json() -> None:
    again = Accuracy.from_json(accuracy().to_json())
    assert again.mean(QUALITY) == pytest.approx(accuracy().mean(QUALITY), rel=1e-4)
    assert not any(c.worse for c in changes(accuracy(), again))


def test_models_of_shuffled_labels_are_worse() -> None:
    wrong = Accuracy.of(train([mixed(e, i) for i, e in enumerate(examples())], seed=0).held)
    worse = {c.what for c in changes(accuracy(), wrong) if c.worse}
    assert worse >= {QUALITY, ORDER, "latency_p50_ms", "latency_p95_ms"}
    assert not any(c.worse for c in changes(wrong, accuracy()))


def test_only_corpora_that_both_tell_of_are_compared() -> None:
    old = Accuracy({"memory_mb": {"a": 0.1, "b": 0.2}}, {})
    new = Accuracy({"memory_mb": {"b": 0.2, "c": 9.0}, ORDER: {"b": 0.5}}, {})
    assert changes(old, new) == [Change("memory_mb", 0.2, 0.2, 1)]
    assert changes(old, Accuracy({"memory_mb": {"c": 9.0}}, {})) == []


def test_a_little_worse_is_not_worse() -> None:
    assert not Change(QUALITY, 0.1, 0.1 * (1 + MARGIN), 3).worse
    assert not Change(QUALITY, 0.0, SLACK, 3).worse
    assert Change(QUALITY, 0.1, 0.1 * (1 + MARGIN) + 2 * SLACK, 3).worse


def test_what_was_measured_later_tells_of_models_that_had_not_seen_it() -> None:
    late = example(Imagined("late", 0.4, measured_at=100.0))
    found = accuracy_on(trained(), taken_after([*examples(), late], 50.0))
    assert set(found.errors[QUALITY]) == {"late"}
    assert found.errors["latency_p50_ms"]["late"] < 0.05
    assert accuracy_on(trained(), taken_after(examples(), 50.0)) == Accuracy({}, {})


def test_errors_on_further_corpora_are_added() -> None:
    one, other = (Accuracy({ORDER: {c: 0.1, "both": v}}, {}) for c, v in (("a", 0.2), ("b", 0.3)))
    assert one.joined(other).errors == {ORDER: {"a": 0.1, "b": 0.1, "both": 0.2}}
    assert one.joined(Accuracy({}, {})) == Accuracy({}, {}).joined(one) == one


def test_what_has_no_times_is_of_any_time() -> None:
    late = example(Imagined("late", 0.4, measured_at=100.0))
    untimed = replace(example(Imagined("untimed", 0.6)), timed=())
    kept = taken_until([examples()[0], late, untimed], 50.0)
    assert [e.workload for e in kept] == ["w0", "untimed"]


def test_every_config_of_a_corpus_counts_however_often_it_was_timed() -> None:
    """One config that was timed once more, far off, hardly changes the median of a hundred."""
    first = told()[0]
    again = replace(
        first,
        measured={m: 100.0 * v[:1] for m, v in first.measured.items()},
        predicted={m: v[:1] for m, v in first.predicted.items()},
    )
    one, other = Accuracy.of(told()), Accuracy.of((*told(), again))
    for what, errors in one.errors.items():
        near = pytest.approx(errors[first.corpus], rel=0.1, abs=1e-6)
        assert other.errors[what][first.corpus] == near, what
