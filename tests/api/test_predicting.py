"""Predictions of the service: the same question is answered once, until something changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import models.recommendation
from api.evidence import Evidence
from api.model_registry import Registry
from api.predicting import MOST_ANSWERS, Predictions, Wanted
from autorag.objective import DEFAULT_OBJECTIVE, parse_objective
from autorag.ports import SystemClock
from store.database import Database
from store.engine import open_database, open_telemetry, sqlite_url
from tests.api.learning import record
from tests.autorag.machines import profile
from tests.fakes import ManualClock
from tests.models.learned import SPACE, Imagined

asked: list[Any] = []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_790_000_000.0)


@pytest.fixture
def predictions(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Predictions]:
    """Of an empty database; what is predicted is counted."""
    really = models.recommendation.recommend
    asked.clear()

    def counted(*arguments: Any) -> Any:
        asked.append(arguments)
        return really(*arguments)

    monkeypatch.setattr(models.recommendation, "recommend", counted)
    url = sqlite_url(tmp_path / "autorag.db")
    control, telemetry = open_database(url), open_telemetry(url)
    database = Database(control, SystemClock())
    yield Predictions(SPACE, Registry(database), Evidence(database, telemetry, clock))
    control.dispose()
    telemetry.dispose()


def wanted(lexical: float = 0.4, **more: Any) -> Wanted:
    known = {"objective": DEFAULT_OBJECTIVE, "count": 3, "app": None, "ran": {}, **more}
    return Wanted(SPACE, Imagined("x", lexical).features, profile(), production=None, **known)


def test_the_same_question_is_answered_once(predictions: Predictions) -> None:
    first, again = (predictions.recommend(wanted()) for _ in range(2))
    assert len(asked) == 1
    assert first == again


def test_another_question_gets_an_answer_of_its_own(predictions: Predictions) -> None:
    goal = parse_objective("max ndcg_at_10 subject to latency_p95_ms <= 2")
    questions = (wanted(), wanted(0.9), wanted(objective=goal), wanted(count=2))
    answers = [predictions.recommend(question).answer for question in questions]
    assert len(asked) == len(questions)
    assert answers[0] != answers[2]
    assert len(answers[3].recommended) == 2


def test_what_the_machine_shows_changes_the_answer(
    predictions: Predictions, clock: ManualClock, tmp_path: Path
) -> None:
    before = predictions.recommend(wanted()).answer.recommended[0]
    engine = open_database(sqlite_url(tmp_path / "autorag.db"))
    record(engine, Imagined("tried", 0.5, slower=3.0))
    engine.dispose()
    assert predictions.recommend(wanted()).answer.recommended[0] == before
    clock.advance(120)
    after = predictions.recommend(wanted()).answer.recommended[0]
    assert (before.provenance, after.provenance) == ("analytic", "transferred")
    assert len(asked) == 2


def test_only_so_many_are_kept(predictions: Predictions) -> None:
    predictions.recommend(wanted())
    loaded = predictions._loaded(None)
    for number in range(MOST_ANSWERS):
        loaded.answers[str(number)] = loaded.answers[next(iter(loaded.answers))]
    predictions.recommend(wanted(0.8))
    assert len(loaded.answers) == MOST_ANSWERS
