"""Training is bounded, and few corpora are left out one by one."""

from __future__ import annotations

from dataclasses import replace

from models.bounds import (
    CALIBRATED_ON,
    MOST_CORPORA,
    MOST_ROWS,
    MOST_WORKLOADS,
    bounded,
    bounded_searches,
    calibrating,
)
from models.calibration import FOLDS, folds
from models.examples import Example
from tests.models.learned import Imagined, example, examples
from tests.models.test_recall import searched


def at(moment: float, workload: str, corpus: str) -> Example:
    made = examples()[0]
    (timed,) = made.timed
    moments = timed.measured_at + moment
    return replace(
        made, workload=workload, corpus=corpus, timed=(replace(timed, measured_at=moments),)
    )


def rows(some: list[Example]) -> int:
    return sum(len(t.configs) for e in some for t in e.timed)


def test_few_examples_are_all_taken() -> None:
    assert bounded(examples()) == list(examples())
    assert calibrating(examples()) == list(examples())
    assert folds(["a", "b", "c"]) == [{"a"}, {"b"}, {"c"}]


def test_of_a_corpus_the_newest_workloads_are_taken() -> None:
    chatty = [at(float(i), f"day {i}", "chatty") for i in range(9)]
    kept = bounded([*chatty, example(Imagined("calm", 0.5))])
    assert [e.workload for e in kept] == ["day 7", "day 8", "calm"]
    assert MOST_WORKLOADS == 2


def test_the_corpora_that_were_measured_last_are_taken() -> None:
    many = [at(float(i), f"w{i}", f"c{i}") for i in range(MOST_CORPORA + 5)]
    assert [e.corpus for e in bounded(many)] == [f"c{i}" for i in range(5, MOST_CORPORA + 5)]


def test_rows_are_thinned_evenly() -> None:
    (timed,) = examples()[0].timed
    count = MOST_ROWS // len(timed.configs) + 1
    long = replace(
        timed,
        configs=timed.configs * count,
        knobs=timed.knobs.repeat(count, axis=0),
        physics=timed.physics.take(list(range(len(timed.configs))) * count),  # type: ignore[arg-type]
        measured={m: v.repeat(count) for m, v in timed.measured.items()},
        measured_at=timed.measured_at.repeat(count),
    )
    (kept,) = bounded([replace(examples()[0], timed=(long,))])
    assert rows([kept]) == MOST_ROWS
    assert kept.timed[0].configs[0] == timed.configs[0]
    assert kept.timed[0].configs[-1] == timed.configs[-1]


def test_calibration_trains_on_fewer() -> None:
    many = list(examples()) * (2 * CALIBRATED_ON // rows(list(examples())) + 1)
    fewer = calibrating(many)
    assert len(fewer) == len(many)
    assert 0.8 * CALIBRATED_ON < rows(fewer) <= CALIBRATED_ON


def test_many_corpora_are_left_out_in_groups_each_once() -> None:
    corpora = [f"c{i}" for i in range(3 * FOLDS + 1)]
    groups = folds(corpora)
    assert len(groups) == FOLDS
    assert sorted(c for group in groups for c in group) == sorted(corpora)


def test_searches_count_once_and_are_bounded() -> None:
    one = searched("a", 1e4, 10.0)
    (kept,) = bounded_searches([one, one])
    assert kept.rows.tobytes() == one.rows.tobytes()
    long = [searched("a", 1e4 + i, 10.0) for i in range(MOST_ROWS // len(one.recall) + 1)]
    (kept,) = bounded_searches(long)
    assert len(kept.recall) == len(kept.rows) == MOST_ROWS
