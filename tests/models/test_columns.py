"""Columns: rows are taken, labels are grouped, nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.analytic.columns import Columns, Labels

names = st.lists(st.sampled_from("abc"))


@dataclass(frozen=True, slots=True)
class Pets(Columns):
    kind: Labels[str]
    legs: np.ndarray


def spelled(labels: Labels[str]) -> list[str]:
    return [labels.names[code] for code in labels.codes]


@given(names)
def test_labels_are_kept_in_order(given_names: list[str]) -> None:
    assert spelled(Labels.of(given_names)) == given_names


@given(names)
def test_groups_hold_every_row_once_and_are_never_empty(given_names: list[str]) -> None:
    groups = dict(Labels.of(given_names).groups())
    assert set(groups) == set(given_names)
    assert sorted(np.concatenate([*groups.values(), []])) == list(range(len(given_names)))
    assert all(given_names[row] == name for name, rows in groups.items() for row in rows)


def test_rows_are_taken_of_every_column() -> None:
    pets = Pets(Labels.of(["cat", "bird", "cat", "ant"]), np.array([4, 2, 4, 6]))
    taken = pets.take(np.array([3, 0]))
    assert spelled(taken.kind) == ["ant", "cat"]
    assert taken.legs.tolist() == [6, 4]
    assert [name for name, _ in taken.kind.groups()] == ["cat", "ant"]


def test_labels_are_looked_up() -> None:
    labels = Labels.of(["cat", "bird", "cat", "ant"])
    assert labels.among("cat", "ant").tolist() == [True, False, True, True]
    assert labels.numbers({"cat": 4.0, "ant": 6.0, "dog": 4.0}).tolist() == [4, 0, 4, 6]
