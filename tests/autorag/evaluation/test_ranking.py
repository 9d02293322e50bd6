"""Ranking metrics: known values, bounds, and agreement with scikit-learn where definitions meet."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from autorag.evaluation.gold import GoldUnit, Retrieved, first_ranks
from autorag.evaluation.ranking import mrr_at_10, ndcg_at_10, ranking_metrics, recall_at

Ranks = list[int | None]
ranks = st.lists(st.none() | st.integers(1, 30), min_size=1, max_size=15)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([1], (1, 1, 1, 1, 1)),
        ([None], (0, 0, 0, 0, 0)),
        ([11], (0, 0, 0, 0, 0)),
        ([10], (0, 0, 1, 1 / math.log2(11), 0.1)),
        ([2], (0, 1, 1, 1 / math.log2(3), 0.5)),
        ([6], (0, 0, 1, 1 / math.log2(7), 1 / 6)),
        ([1, None], (0.5, 0.5, 0.5, 1 / (1 + 1 / math.log2(3)), 1)),
        ([3, 1], (0.5, 1, 1, 1.5 / (1 + 1 / math.log2(3)), 1)),
        ([1, 1], (1, 1, 1, 1, 1)),
    ],
)
def test_known_values(found: Ranks, expected: tuple[float, ...]) -> None:
    metrics = ranking_metrics(found)
    assert list(metrics) == [
        "recall_at_1",
        "recall_at_5",
        "recall_at_10",
        "ndcg_at_10",
        "mrr_at_10",
    ]
    assert tuple(metrics.values()) == pytest.approx(expected)


@given(ranks)
def test_metrics_lie_in_the_unit_interval(found: Ranks) -> None:
    assert all(0 <= value <= 1 for value in ranking_metrics(found).values())


@given(ranks, st.data())
def test_the_order_of_units_does_not_matter(found: Ranks, data: st.DataObject) -> None:
    turned = data.draw(st.permutations(found))
    assert ranking_metrics(turned) == pytest.approx(ranking_metrics(found))


@given(ranks, st.data())
def test_an_earlier_rank_is_never_worse(found: Ranks, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(found) - 1))
    earlier = data.draw(st.integers(1, found[at] or 30))
    better = [*found[:at], earlier, *found[at + 1 :]]
    after, before = ranking_metrics(better), ranking_metrics(found)
    assert all(after[name] >= before[name] - 1e-12 for name in before)


@given(ranks)
def test_recall_counts_units(found: Ranks) -> None:
    hits = [r for r in found if r is not None and r <= 10]
    assert recall_at(10, found) == pytest.approx(len(hits) / len(found))
    assert (mrr_at_10(found) > 0) == bool(hits)
    assert (ndcg_at_10(found) > 0) == bool(hits)


@given(st.integers(2, 40).flatmap(lambda n: st.lists(st.booleans(), min_size=n, max_size=n)))
def test_ndcg_is_scikit_learns_with_one_chunk_a_unit(relevant: list[bool]) -> None:
    assume(any(relevant))
    units = [GoldUnit(f"d{i}") for i, is_gold in enumerate(relevant) if is_gold]
    ranking = [[Retrieved(f"d{i}", 0, 1)] for i in range(len(relevant))]
    theirs = ndcg_score([relevant], [-np.arange(len(relevant))], k=10)
    assert ndcg_at_10(first_ranks(units, ranking)) == pytest.approx(theirs)
