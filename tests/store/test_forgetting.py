"""What ended long ago goes, little by little; what is still of use stays."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from sqlalchemy import Table, select

from autorag.apps import Ack, App
from store import tables
from store.acks import AckRepository
from store.answers import KEPT_S, Answer, AnswerRepository
from store.apps import AppRepository
from store.deleting import DAY_S, Pruned
from store.engine import reading
from store.forgetting import forget
from store.jobs import JobRepository
from store.pace import Pace
from store.repositories import SqlTrialLog, StudyRepository
from tests.store.backends import Backend
from tests.store.measured import CONFIG, OTHER, a_measurement
from tests.store.registered import register

DAYS = 30
SMALL = 7
"""Rows of a chunk."""
QUERIES = [f"q{n}" for n in range(3 * SMALL)]
ANSWER = Answer("5eed" * 16, 201, {}, b"")


def forgotten(backend: Backend, **given: Any) -> Pruned:
    pace = Pace(backend.clock, SMALL, 1, SMALL, sleep=lambda _: None)
    return forget(backend.engine, backend.clock, **{"days": DAYS, "pace": pace, **given})


def rows(backend: Backend, table: Table) -> list[Mapping[str, Any]]:
    query = select(table).order_by(*table.primary_key)
    with reading(backend.engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def log_of(backend: Backend, study: int) -> SqlTrialLog:
    return SqlTrialLog(backend.engine, backend.clock, study, "search")


def measured_study(backend: Backend, name: str = "w", app: App | None = None) -> int:
    """A study that goes on, with one trial that was measured."""
    studies = StudyRepository(backend.engine, backend.clock)
    study = studies.open({"hash": name}, {"seed": 7}, app_id=app.id if app else None).id
    log = log_of(backend, study)
    log.start(0, CONFIG)
    log.finish(0, a_measurement(*QUERIES), 1.0)
    return study


class TestForget:
    """What it does on every kind of database."""

    def test_of_nothing_there_is_nothing_to_forget(self, backend: Backend) -> None:
        assert forgotten(backend) == Pruned(complete=True)

    def test_of_old_studies_the_queries_go_and_the_trials_stay(self, backend: Backend) -> None:
        study = measured_study(backend)
        StudyRepository(backend.engine, backend.clock).finish(study, {"recommended": {}})
        before = rows(backend, tables.studies), rows(backend, tables.trials)
        backend.clock.advance(DAYS * DAY_S)
        assert forgotten(backend).trial_queries == 0
        backend.clock.advance(1)
        steps: list[Pruned] = []
        done = forgotten(backend, progress=steps.append)
        assert (done.trial_queries, done.trials, done.studies) == (len(QUERIES), 0, 0)
        seen = [0, *(s.trial_queries for s in steps)]
        assert max(b - a for a, b in pairwise(seen)) <= SMALL
        assert rows(backend, tables.trial_queries) == []
        assert (rows(backend, tables.studies), rows(backend, tables.trials)) == before

    def test_a_study_that_nobody_went_on_with_is_begun_anew(self, backend: Backend) -> None:
        study = measured_study(backend)
        backend.clock.advance(DAYS * DAY_S + 1)
        assert forgotten(backend).trial_queries == len(QUERIES)
        anew = StudyRepository(backend.engine, backend.clock).open({"hash": "w"}, {"seed": 7})
        assert (anew.resumed, anew.id) == (False, study + 1)

    def test_a_study_that_goes_on_keeps_all(self, backend: Backend) -> None:
        study = measured_study(backend)
        backend.clock.advance(DAYS * DAY_S + 1)
        log = log_of(backend, study)
        log.start(1, OTHER)
        assert forgotten(backend).trial_queries == 0
        assert len(log.query_results(0)) == len(QUERIES)
        studies = StudyRepository(backend.engine, backend.clock)
        assert studies.open({"hash": "w"}, {"seed": 7}).id == study

    def test_an_old_study_without_queries_goes_on(self, backend: Backend) -> None:
        studies = StudyRepository(backend.engine, backend.clock)
        study = studies.open({"hash": "w"}, {"seed": 7}).id
        backend.clock.advance(10 * DAYS * DAY_S)
        forgotten(backend)
        assert studies.open({"hash": "w"}, {"seed": 7}).id == study

    def test_studies_of_deleted_apps_go_whatever_their_age(self, backend: Backend) -> None:
        shop, books = register(backend), register(backend, "books")
        gone, kept = measured_study(backend, "w", shop), measured_study(backend, "w", books)
        AppRepository(backend.engine, backend.clock).delete(shop.id)
        log_of(backend, gone).start(1, OTHER)  # a tune that has not heard of it
        done = forgotten(backend)
        assert (done.trial_queries, done.trials, done.studies) == (len(QUERIES), 2, 1)
        assert [row["id"] for row in rows(backend, tables.studies)] == [kept]
        assert [row["study_id"] for row in rows(backend, tables.trials)] == [kept]
        assert len(rows(backend, tables.trial_queries)) == len(QUERIES)

    def test_acks_of_the_active_revision_stay(self, backend: Backend) -> None:
        app = register(backend)
        AppRepository(backend.engine, backend.clock).change(app.id, revision=2)
        acks = AckRepository(backend.engine, backend.clock)
        for revision in (1, 2, 3):
            for number in range(2 * SMALL):
                acks.record(app.id, Ack(str(number), revision, "received"))
        backend.clock.advance(DAYS * DAY_S)
        acks.record(app.id, Ack("0", 1, "applied"))
        acks.record(app.id, Ack("1", 3, "failed"))
        assert forgotten(backend).acks == 0
        backend.clock.advance(1)
        assert forgotten(backend).acks == 4 * SMALL - 2
        found = {(a.instance, a.revision) for a in acks.of_app(app.id)}
        assert found == {("0", 1), ("1", 3), *((str(n), 2) for n in range(2 * SMALL))}

    def test_acks_of_an_app_without_a_revision_go(self, backend: Backend) -> None:
        app = register(backend)
        AckRepository(backend.engine, backend.clock).record(app.id, Ack("one", 1, "received"))
        backend.clock.advance(DAYS * DAY_S + 1)
        assert forgotten(backend).acks == 1

    def test_jobs_that_ended_go(self, backend: Backend) -> None:
        jobs = JobRepository(backend.engine, backend.clock)
        for _ in range(2 * SMALL):
            jobs.cancel(jobs.enqueue("prune", None, {}).id)
        waits = jobs.enqueue("prune", None, {})
        backend.clock.advance(DAYS * DAY_S + 1)
        late = jobs.enqueue("tune", None, {})
        jobs.cancel(late.id)
        assert forgotten(backend).jobs == 2 * SMALL
        assert [job.id for job in jobs.newest(99)] == [late.id, waits.id]

    def test_a_job_that_is_tried_again_meanwhile_stays(self, backend: Backend) -> None:
        jobs = JobRepository(backend.engine, backend.clock)
        old = jobs.enqueue("prune", None, {})
        jobs.cancel(old.id)
        backend.clock.advance(DAYS * DAY_S + 1)
        asked = 0

        def retry() -> bool:
            nonlocal asked
            asked += 1
            if asked == 2:  # before the chunk of jobs
                jobs.retry(old.id)
            return False

        assert forgotten(backend, cancelled=retry).jobs == 0
        assert jobs.get(old.id).state == "queued"

    def test_answers_go_after_a_day(self, backend: Backend) -> None:
        answers = AnswerRepository(backend.engine, backend.clock)
        for number in range(2 * SMALL):
            answers.add("me", str(number), ANSWER)
        backend.clock.advance(KEPT_S)
        answers.add("me", "late", ANSWER)
        assert forgotten(backend).answers == 0
        backend.clock.advance(1)
        assert forgotten(backend).answers == 2 * SMALL
        assert answers.find("me", "late") == ANSWER

    def test_it_stops_when_it_is_told_to_and_goes_on_later(self, backend: Backend) -> None:
        answers = AnswerRepository(backend.engine, backend.clock)
        for number in range(3 * SMALL):
            answers.add("me", str(number), ANSWER)
        backend.clock.advance(KEPT_S + 1)
        steps: list[Pruned] = []
        first = forgotten(
            backend, progress=steps.append, cancelled=lambda: steps[-1:] and steps[-1].answers > 0
        )
        assert (first.answers, first.complete) == (SMALL, False)
        second = forgotten(backend, done=first)
        assert (second.answers, second.complete) == (3 * SMALL, True)
