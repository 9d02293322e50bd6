"""Quantiles are within 1 % of the exact ones, however the values were split, merged and written."""

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.errors import InputError, StoreError
from autorag.histogram import EMPTY, LARGEST, RELATIVE_ACCURACY, SMALLEST, Histogram

finite = st.floats(-1e300, 1e300, allow_subnormal=False)
latencies = st.floats(1e-3, 1e5)
values = st.lists(st.one_of(finite, latencies, st.just(0.0)), max_size=60)
some_values = values.filter(bool)
whole = st.integers(1, 1000).map(float)
eighths = st.integers(1, 8000).map(lambda n: n / 8)
"""Weights that add up without rounding."""

shares = st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0]) | st.floats(0, 1)


def of(numbers: list[float], weights: list[float] | None = None) -> Histogram:
    return Histogram.of(np.array(numbers), None if weights is None else np.array(weights))


def exact(numbers: list[float], weights: list[float], q: float) -> float:
    """The least value that the share ``q`` of the weight does not exceed."""
    order = np.argsort(numbers, kind="stable")
    reached = np.cumsum(np.array(weights)[order])
    at = min(int(np.searchsorted(reached, q * reached[-1])), len(reached) - 1)
    return float(np.array(numbers)[order][at])


def within_accuracy(value: float | None, true: float) -> bool:
    return value is not None and abs(value - true) <= RELATIVE_ACCURACY * abs(true) * (1 + 1e-9)


@given(some_values, shares)
def test_a_quantile_is_within_one_percent(numbers: list[float], q: float) -> None:
    assert within_accuracy(of(numbers).quantile(q), exact(numbers, [1.0] * len(numbers), q))


@given(st.lists(st.tuples(latencies | finite, eighths), min_size=1, max_size=60), shares)
def test_a_quantile_of_weighted_values_is_too(pairs: list[tuple[float, float]], q: float) -> None:
    numbers, weights = (list(column) for column in zip(*pairs, strict=True))
    histogram = of(numbers, weights)
    assert within_accuracy(histogram.quantile(q), exact(numbers, weights, q))
    assert histogram.weight == sum(weights)
    assert histogram.count == len(numbers)


@given(values, st.lists(st.integers(0, 60), max_size=4), st.randoms(use_true_random=False))
def test_merging_any_split_in_any_order_is_the_whole(
    numbers: list[float], cuts: list[int], shuffled: object
) -> None:
    bounds = [0, *sorted(cuts), len(numbers)]
    parts = [of(numbers[a:b]) for a, b in pairwise(bounds)]
    shuffled.shuffle(parts)  # type: ignore[attr-defined]
    merged, one = reduce(Histogram.merge, parts, EMPTY), of(numbers)
    assert (merged.keys == one.keys).all()
    assert (merged.weights == one.weights).all()
    assert (merged.count, merged.low, merged.high) == (one.count, one.low, one.high)
    rounding = 1e-12 * float(np.abs(numbers).sum())
    assert merged.total == pytest.approx(one.total, rel=1e-12, abs=rounding)


@given(st.lists(st.lists(st.tuples(finite, whole)), min_size=3, max_size=3))
def test_merging_is_associative_and_commutative(rows: list[list[tuple[float, float]]]) -> None:
    a, b, c = (of([v for v, _ in row], [w for _, w in row]) for row in rows)
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    assert a.merge(b) == b.merge(a)
    assert (left.keys == right.keys).all()
    assert (left.weights == right.weights).all()


@given(st.lists(st.tuples(finite | latencies, eighths | st.floats(1e-6, 1e9))))
def test_what_is_written_reads_back(pairs: list[tuple[float, float]]) -> None:
    histogram = of([v for v, _ in pairs], [w for _, w in pairs])
    again = Histogram.from_bytes(histogram.to_bytes())
    assert again == histogram
    assert again.merge(histogram) == histogram.merge(again)


def test_a_histogram_that_was_read_goes_on() -> None:
    numbers = np.random.default_rng(0).lognormal(3, 1, 1000)
    again = Histogram.from_bytes(Histogram.of(numbers[:500]).to_bytes())
    merged, one = again.merge(Histogram.of(numbers[500:])), Histogram.of(numbers)
    assert merged.quantile(0.95) == one.quantile(0.95)
    assert merged.mean == pytest.approx(numbers.mean())


def test_it_tells_count_total_extremes_and_mean() -> None:
    histogram = of([10.0, 20.0, 40.0], [1.0, 1.0, 2.0])
    assert (histogram.count, histogram.weight, histogram.total) == (3, 4.0, 110.0)
    assert (histogram.low, histogram.high, histogram.mean) == (10.0, 40.0, 27.5)
    assert (histogram.quantile(0), histogram.quantile(1)) == (10.0, 40.0)


def test_negative_values_and_zeros_keep_their_order() -> None:
    histogram = of([-100.0, -1.0, 0.0, -0.0, 1.0, 100.0])
    middle = [histogram.quantile(q) for q in (0.1, 0.3, 0.5, 0.6, 0.8, 1.0)]
    assert middle == pytest.approx([-100, -1, 0, 0, 1, 100], rel=RELATIVE_ACCURACY)


def test_the_largest_floats_stay_finite_and_the_smallest_are_zero() -> None:
    assert of([LARGEST]).quantile(0.5) == LARGEST
    assert of([-LARGEST]).quantile(0.5) == -LARGEST
    assert of([LARGEST, LARGEST]).total == of([LARGEST]).merge(of([LARGEST])).total == LARGEST
    assert of([SMALLEST]).quantile(0.5) == SMALLEST
    assert of([-1.0, SMALLEST / 2, 1.0]).quantile(0.5) == 0.0


def test_nothing_has_no_quantile_and_changes_nothing() -> None:
    assert of([]) == EMPTY
    assert (EMPTY.quantile(0.5), EMPTY.mean, EMPTY.low, EMPTY.count) == (None, None, None, 0)
    assert EMPTY.merge(EMPTY) == EMPTY
    assert EMPTY.merge(of([1.0])) == of([1.0]).merge(EMPTY) == of([1.0])
    assert Histogram.from_bytes(EMPTY.to_bytes()) == EMPTY


def test_an_hour_of_one_stage_takes_less_than_a_kilobyte() -> None:
    rng = np.random.default_rng(0)
    usual, slow = rng.lognormal(3, 0.5, 36_000), rng.lognormal(6, 1, 400)
    assert len(Histogram.of(np.concatenate([usual, slow])).to_bytes()) < 1000


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused(wrong: float) -> None:
    with pytest.raises(InputError, match="finite number") as raised:
        of([1.0, wrong])
    assert raised.value.key == "values"
    assert str(raised.value.value) == str(wrong)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_not_positive_is_refused(wrong: float) -> None:
    with pytest.raises(InputError, match="positive number") as raised:
        of([1.0, 2.0], [1.0, wrong])
    assert raised.value.key == "weights"


def test_a_weight_too_many_is_refused() -> None:
    with pytest.raises(InputError, match="two equal rows"):
        of([1.0], [1.0, 2.0])


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan")])
def test_a_quantile_outside_of_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(InputError) as raised:
        of([1.0]).quantile(q)
    assert raised.value.key == "q"


@given(st.binary(max_size=200))
def test_bytes_of_something_else_are_refused(raw: bytes) -> None:
    with pytest.raises(StoreError, match="histogram"):
        Histogram.from_bytes(raw)


@given(some_values, st.data())
def test_a_damaged_byte_is_noticed(numbers: list[float], data: st.DataObject) -> None:
    raw = bytearray(of(numbers).to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = Histogram.from_bytes(bytes(raw))
    except StoreError:
        return
    assert read == of(numbers), "a bit of zlib's header that tells nothing of the content"


@given(some_values, st.data())
def test_a_cut_off_histogram_is_refused(numbers: list[float], data: st.DataObject) -> None:
    raw = of(numbers).to_bytes()
    with pytest.raises(StoreError):
        Histogram.from_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
