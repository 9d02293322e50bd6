"""Histograms and counters between two pages."""

from __future__ import annotations

import math
from bisect import bisect_left
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autorag.errors import InputError
from collectors.model_servers.exposition import Histogram, Page, Window, parse_page

BOUNDS = (0.1, 0.5, 1.0, 5.0, math.inf)


def histogram(*values: float) -> Histogram:
    counts = {b: float(sum(v <= b for v in values)) for b in BOUNDS}
    return Histogram(counts, sum(values))


def read(text: str, at: float = 0.0) -> Page:
    return parse_page(text, "vllm", at)


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    assert Histogram({0.0: 6, 0.5: 11, 1.0: 14, math.inf: 19}, 0).quantile(0.5) == (
        pytest.approx(0.35)
    )
    assert histogram(0.3, 0.3, 0.3, 0.3).quantile(0.25) == pytest.approx(0.2)


def test_the_first_bucket_begins_at_nothing() -> None:
    assert histogram(0.05, 0.05).quantile(0.5) == pytest.approx(0.05)
    assert Histogram({-1.0: 4, 0.5: 4, math.inf: 4}, 0).quantile(0.5) == -1.0


def test_beyond_the_last_bound_the_bound_is_told() -> None:
    assert histogram(70, 80, 90).quantile(0.95) == 5.0


@given(st.lists(st.floats(0.001, 5.0), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], q: float) -> None:
    true = sorted(values)[math.ceil(q * len(values)) - 1]
    bucket = bisect_left(BOUNDS, true)
    low = BOUNDS[bucket - 1] if bucket else 0.0
    assert low <= histogram(*values).quantile(q) <= BOUNDS[bucket] * (1 + 1e-9)


@given(st.lists(st.floats(0.001, 100), min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_are_in_order(values: list[float], one: float, other: float) -> None:
    found = histogram(*values)
    low, high = sorted((one, other))
    assert found.quantile(low) <= found.quantile(high) + 1e-9


def test_no_observations_no_durations() -> None:
    assert histogram().durations() is None


COUNTER = '# TYPE vllm:x_total counter\nvllm:x_total{{engine="0"}} {}\n'
TWO = COUNTER + 'vllm:x_total{{engine="1"}} {}\n'
START = "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {}\n"


def test_growth_is_summed_over_series_also_new_ones() -> None:
    earlier, later = read(COUNTER.format(10), 1.0), read(TWO.format(15, 7), 4.0)
    window = Window.between(later, earlier)
    assert window.counted("vllm:x_total") == 12
    assert window.seconds == 3.0


def test_without_an_earlier_page_it_is_since_the_start() -> None:
    window = Window.between(read(TWO.format(15, 7)), None)
    assert window.counted("vllm:x_total") == 22
    assert window.seconds is None


def test_a_counter_that_fell_is_a_restart_and_all_of_the_earlier_page_is_void() -> None:
    """Also of series that grew beyond what they were."""
    earlier, later = read(TWO.format(10, 10), 1.0), read(TWO.format(3, 50), 4.0)
    window = Window.between(later, earlier)
    assert window.counted("vllm:x_total") == 53
    assert window.seconds is None


def test_a_restart_is_seen_by_the_start_time_when_no_counter_fell() -> None:
    earlier = read(COUNTER.format(10) + START.format(100), 1.0)
    later = read(COUNTER.format(12) + START.format(200), 4.0)
    assert Window.between(later, earlier).counted("vllm:x_total") == 12
    same = read(COUNTER.format(12) + START.format(100), 4.0)
    assert Window.between(same, earlier).counted("vllm:x_total") == 2


def test_pages_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(InputError, match="not earlier"):
        Window.between(read("", 1.0), read("", 2.0))


def test_the_first_name_that_is_known_counts_alone() -> None:
    page = read("# TYPE new gauge\nnew 1\n# TYPE old gauge\nold 1\n")
    window = Window.between(page, None)
    assert window.gauge("new", "old") == 1
    assert window.gauge("newest", "old") == 1
    assert window.gauge("newest") is None
    assert window.counted("newest") is None
    assert window.histogram("newest") is None


def test_what_is_not_a_number_is_unknown() -> None:
    assert Window.between(read("# TYPE a gauge\na NaN\n"), None).gauge("a") is None


@pytest.mark.parametrize("text", ["<html>hello</html>", "a b", "# TYPE h histogram\nh_bucket 3\n"])
def test_what_is_no_page_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)


@given(st.text(st.sampled_from('a{}=",# \n1_:\\le.TYPEhistogram')) | st.text())
@example("{, =E:=h_I\n")
def test_any_text_is_a_page_or_an_error(text: str) -> None:
    with suppress(ValueError):
        read(text)
