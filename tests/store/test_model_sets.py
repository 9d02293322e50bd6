"""Sets of models: one answers at most, on every kind of database."""

from __future__ import annotations

import pytest

from autorag.errors import ConflictError, NotFoundError
from autorag.model_sets import Verdict
from store.model_sets import KEPT, ModelSetRepository
from tests.store import backends
from tests.store.backends import Backend

GOOD, BAD = Verdict(True, 0, ("not worse",)), Verdict(False, 0, ("order: 0.1 → 0.5",))

backend, postgres = backends.backend, backends.postgres


@pytest.fixture
def sets(backend: Backend) -> ModelSetRepository:
    return backend.repository(ModelSetRepository)


def added(sets: ModelSetRepository, verdict: Verdict = GOOD) -> int:
    return sets.add("a" * 64, {"rows": 3}, verdict).version


def states(sets: ModelSetRepository) -> dict[int, str]:
    return {row.version: row.state for row in sets.all()}


def test_a_set_is_a_candidate_first(sets: ModelSetRepository) -> None:
    version = added(sets)
    row = sets.get(version)
    assert (row.version, row.state, row.about, row.promoted_at) == (
        1,
        "candidate",
        {"rows": 3},
        None,
    )
    assert row.verdict == GOOD.to_json()
    assert sets.production() is None


def test_one_is_in_production_and_the_others_are_archived(sets: ModelSetRepository) -> None:
    one, two = added(sets), added(sets)
    assert sets.promote(one).replaced == 0
    assert sets.promote(two).replaced == one
    assert states(sets) == {two: "production", one: "archived"}
    assert sets.production() == sets.get(two)


def test_a_rollback_puts_back_what_was_there(sets: ModelSetRepository) -> None:
    one, two = added(sets), added(sets)
    sets.promote(one)
    sets.promote(two)
    back = sets.roll_back(two)
    assert back is not None
    assert (back.version, states(sets)) == (one, {two: "archived", one: "production"})
    assert sets.roll_back(one) is None
    assert sets.production() is None
    assert sets.promote(two).replaced == 0


def test_what_is_worse_is_not_promoted(sets: ModelSetRepository) -> None:
    one = added(sets, BAD)
    with pytest.raises(ConflictError, match="is worse: order"):
        sets.promote(one)
    assert states(sets) == {one: "candidate"}


def test_what_cannot_be_is_refused(sets: ModelSetRepository) -> None:
    one, two = added(sets), added(sets)
    sets.promote(one)
    with pytest.raises(ConflictError, match="already"):
        sets.promote(one)
    with pytest.raises(ConflictError, match="not in production but candidate"):
        sets.roll_back(two)
    for version in (99, 0):
        for ask in (sets.get, sets.promote, sets.roll_back):
            with pytest.raises(NotFoundError, match=str(version)):
                ask(version)


def test_old_sets_go_but_what_answers_and_what_it_replaced_stay(sets: ModelSetRepository) -> None:
    one, two = added(sets), added(sets)
    sets.promote(one)
    sets.promote(two)
    unused = added(sets)
    for _ in range(KEPT):
        added(sets)
    assert len(sets.forget()) == KEPT + 2
    assert {one, two} <= set(states(sets))
    assert unused not in states(sets)
    back = sets.roll_back(two)
    assert back is not None
    assert back.version == one
