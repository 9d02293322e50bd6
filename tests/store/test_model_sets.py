"""Sets of models: one answers at most, on every kind of database."""

from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import delete, select, update

from autorag.errors import ConflictError, ModelError, NotFoundError
from autorag.model_sets import Verdict
from store.model_sets import KEPT, ModelSetRepository
from store.tables import model_files
from tests.store import backends
from tests.store.backends import Backend

GOOD, BAD = Verdict(True, 0, ("not worse",)), Verdict(False, 0, ("order: 0.1 → 0.5",))

backend, postgres = backends.backend, backends.postgres


@pytest.fixture
def sets(backend: Backend) -> ModelSetRepository:
    return backend.repository(ModelSetRepository)


def added(sets: ModelSetRepository, verdict: Verdict = GOOD) -> int:
    return sets.add(b"models", {"rows": 3}, verdict).version


def against(version: int) -> Verdict:
    return Verdict(True, version, ("not worse",))


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


def test_its_file_is_the_one_that_was_written(backend: Backend, sets: ModelSetRepository) -> None:
    row = sets.get(added(sets))
    assert sets.content(row) == b"models"
    assert row.sha256 == hashlib.sha256(b"models").hexdigest()
    with backend.engine.begin() as connection:
        connection.execute(update(model_files).values(content=b"model"))
    with pytest.raises(ModelError, match="set of models 1 is not what was written"):
        sets.content(row)
    with backend.engine.begin() as connection:
        connection.execute(delete(model_files))
    with pytest.raises(ModelError, match="set of models 1 is not there"):
        sets.content(row)


def test_one_is_in_production_and_the_others_are_archived(sets: ModelSetRepository) -> None:
    one = added(sets)
    first = sets.promote(one)
    two = added(sets, against(one))
    second = sets.promote(two)
    assert first is not None
    assert second is not None
    assert (first.replaced, second.replaced) == (0, one)
    assert states(sets) == {two: "production", one: "archived"}
    assert sets.production() == sets.get(two)


def test_a_rollback_puts_back_what_was_there(sets: ModelSetRepository) -> None:
    one = added(sets)
    sets.promote(one)
    two = added(sets, against(one))
    sets.promote(two)
    back = sets.roll_back(two)
    assert back is not None
    assert (back.version, states(sets)) == (one, {two: "archived", one: "production"})
    assert sets.roll_back(one) is None
    assert sets.production() is None
    again = sets.promote(two)
    assert again is not None
    assert again.replaced == 0


def test_what_ships_can_always_come_back(sets: ModelSetRepository) -> None:
    one = added(sets)
    sets.promote(one)
    assert sets.promote(0) is None
    assert states(sets) == {one: "archived"}
    with pytest.raises(ConflictError, match="0 is in production already"):
        sets.promote(0)


def test_what_is_worse_is_not_promoted(sets: ModelSetRepository) -> None:
    one = added(sets, BAD)
    with pytest.raises(ConflictError, match="is worse: order"):
        sets.promote(one)
    assert states(sets) == {one: "candidate"}


def test_a_verdict_is_on_the_set_that_answers(sets: ModelSetRepository) -> None:
    one, two = added(sets), added(sets)
    sets.promote(one)
    with pytest.raises(ConflictError, match=f"was compared with 0, and {one} answers: train again"):
        sets.promote(two)
    assert states(sets) == {two: "candidate", one: "production"}


def test_what_cannot_be_is_refused(sets: ModelSetRepository) -> None:
    one, two = added(sets), added(sets)
    sets.promote(one)
    with pytest.raises(ConflictError, match="already"):
        sets.promote(one)
    with pytest.raises(ConflictError, match="not in production but candidate"):
        sets.roll_back(two)
    for ask in (sets.get, sets.promote, sets.roll_back):
        with pytest.raises(NotFoundError, match="99"):
            ask(99)


def test_old_sets_go_but_what_answers_and_what_it_replaced_stay(
    backend: Backend, sets: ModelSetRepository
) -> None:
    one = added(sets)
    sets.promote(one)
    two = added(sets, against(one))
    sets.promote(two)
    unused = added(sets)
    for _ in range(KEPT):
        added(sets)
    sets.forget()
    with backend.engine.begin() as connection:
        files = set(connection.scalars(select(model_files.c.version)))
    assert len(files) == KEPT + 2
    assert files == set(states(sets)) >= {one, two}
    assert unused not in files
    back = sets.roll_back(two)
    assert back is not None
    assert back.version == one
