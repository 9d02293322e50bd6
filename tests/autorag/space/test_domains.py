"""Every domain normalises, samples, moves and encodes its own values, and refuses others."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.space import Choice, Domain, Number
from tests.autorag.spaces import user_values

DOMAINS: tuple[Domain, ...] = (
    Number(1, 100, integer=True, log=True, grid=(5, 10, 20, 50, 100)),
    Number(0, 4096, integer=True, grid=(0, 64, 256)),
    Number(0, 1000, integer=True),
    Number(3, 3, integer=True),
    Number(0.25, 8.0, log=True, grid=(0.5, 1.0, 2.0, 4.0)),
    Number(0, 0.3, grid=(0.0, 0.05, 0.1)),
    Number(-2.5, 7.5),
    Choice(("flat", "hnsw", "ivf_flat")),
    Choice((64, 128, 256, "full"), ordered=True),
    Choice((1,), ordered=True),
    Choice((0.5, 1.5)),
)


@st.composite
def domains_with_values(draw: st.DrawFn) -> tuple[Domain, Any]:
    domain = draw(st.sampled_from(DOMAINS))
    return domain, domain.check(draw(user_values(domain)))


@given(domains_with_values())
def test_decode_inverts_encode(case: tuple[Domain, Any]) -> None:
    domain, value = case
    decoded = domain.decode(domain.encode(value))
    assert decoded == value
    assert type(domain.check(decoded)) is type(value)


@given(domains_with_values())
def test_coordinates_lie_in_the_unit_cube(case: tuple[Domain, Any]) -> None:
    domain, value = case
    coordinates = domain.encode(value)
    assert len(coordinates) == domain.width
    assert all(0 <= c <= 1 for c in coordinates)


@given(domains_with_values())
def test_check_keeps_what_it_returned(case: tuple[Domain, Any]) -> None:
    domain, value = case
    again = domain.check(value)
    assert (again, type(again)) == (value, type(value))


@given(st.sampled_from(DOMAINS), st.integers(0, 2**32 - 1))
def test_samples_are_allowed_and_on_the_grid(domain: Domain, seed: int) -> None:
    value = domain.sample(np.random.default_rng(seed))
    assert domain.check(value) == value
    assert not domain.grid or value in domain.grid


@given(domains_with_values())
def test_neighbours_are_other_allowed_values(case: tuple[Domain, Any]) -> None:
    domain, value = case
    neighbours = domain.neighbours(value)
    assert value not in neighbours
    assert len(set(neighbours)) == len(neighbours)
    assert all(domain.check(n) == n for n in neighbours)


@given(st.lists(st.integers(0, 1000), min_size=1, unique=True).map(sorted), st.integers(0, 1000))
def test_neighbours_of_a_gridded_number_enclose_it(grid: list[int], value: int) -> None:
    domain = Number(0, 1000, integer=True, grid=tuple(grid))
    expected = [g for g in grid if g < value][-1:] + [g for g in grid if g > value][:1]
    assert list(domain.neighbours(value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(64, (128,)), (128, (64, 256)), ("full", (256,))],
)
def test_neighbours_of_an_ordinal_stand_next_to_it(value: Any, expected: tuple[Any, ...]) -> None:
    assert Choice((64, 128, 256, "full"), ordered=True).neighbours(value) == expected


def test_every_other_value_of_a_categorical_is_a_neighbour() -> None:
    assert Choice(("a", "b", "c")).neighbours("b") == ("a", "c")


@pytest.mark.parametrize("value", [1, 2, 3, 4])
def test_a_narrow_integer_without_grid_can_move(value: int) -> None:
    assert Number(1, 4, integer=True).neighbours(value)


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (Number(1, 10, integer=True), True),
        (Number(1, 10, integer=True), 0),
        (Number(1, 10, integer=True), 11),
        (Number(1, 10, integer=True), 2.5),
        (Number(1, 10, integer=True), "5"),
        (Number(1, 10, integer=True), None),
        (Number(1, 10, integer=True), [5]),
        (Number(0, 1), float("nan")),
        (Number(0, 1), float("inf")),
        (Number(0, 1), -1e-9),
        pytest.param(Number(1, 10, integer=True), 10**400, id="huge"),
        (Choice((1, 4)), 2),
        (Choice((1, 4)), "1"),
        (Choice((0, 1)), True),
        (Choice(("flat",)), "Flat"),
        (Choice(("flat",)), None),
        (Choice(("flat",)), ["flat"]),
    ],
)
def test_a_foreign_value_is_refused_with_what_is_allowed(domain: Domain, value: Any) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        domain.check(value)
    assert domain.describe() in str(refused.value)


@pytest.mark.parametrize(
    ("domain", "written", "expected"),
    [
        (Number(1, 10, integer=True), 5.0, 5),
        (Number(0, 10), 5, 5.0),
        (Number(0, 1), 0.12345678, 0.123457),
        (Number(0, 1), -0.0, 0.0),
        (Choice((0.5, 1.0)), 1, 1.0),
    ],
)
def test_equal_values_have_one_form(domain: Domain, written: Any, expected: Any) -> None:
    assert repr(domain.check(written)) == repr(expected)


@pytest.mark.parametrize("coordinate", [0.0, 0.5, 1.0])
def test_a_float_decodes_to_a_float(coordinate: float) -> None:
    assert isinstance(Number(0, 1).decode((coordinate,)), float)


def test_a_logarithmic_number_halves_at_its_geometric_mean() -> None:
    assert Number(1, 100, log=True).decode((0.5,)) == pytest.approx(10)


def test_a_description_names_bounds_and_values() -> None:
    assert Number(1, 100, integer=True).describe() == "an integer from 1 to 100"
    assert Choice((64, "full")).describe() == "one of 64, full"
