"""The contract of answers to requests that carried an idempotency key."""

from __future__ import annotations

import pytest

from autorag.errors import StoreError
from store.answers import Answer, AnswerRepository
from store.database import Database
from tests.store.backends import Backend
from tests.store.registered import new_app

ANSWER = Answer("5eed" * 16, 201, {"Location": "/v1/apps/é"}, b'{"key": "\x00\xff"}')
OTHER = Answer("0" * 64, 204, {}, b"")


@pytest.fixture
def answers(backend: Backend) -> AnswerRepository:
    return backend.repository(AnswerRepository)


class TestAnswers:
    """What every repository of answers does."""

    def test_there_are_none_at_first(self, answers: AnswerRepository) -> None:
        assert answers.find("me", "k") is None

    def test_an_answer_reads_back(self, answers: AnswerRepository) -> None:
        answers.add("me", "k", ANSWER)
        assert answers.find("me", "k") == ANSWER

    def test_callers_and_keys_are_told_apart(self, answers: AnswerRepository) -> None:
        answers.add("me", "k", ANSWER)
        answers.add("me", "K", OTHER)
        assert answers.find("you", "k") is None
        answers.add("you", "k", OTHER)
        assert [answers.find(*a) for a in (("me", "k"), ("me", "K"), ("you", "k"))] == [
            ANSWER,
            OTHER,
            OTHER,
        ]

    def test_there_is_one_for_a_key(self, answers: AnswerRepository) -> None:
        answers.add("me", "k", ANSWER)
        with pytest.raises(StoreError, match="answer could not be recorded"):
            answers.add("me", "k", OTHER)
        assert answers.find("me", "k") == ANSWER

    def test_an_answer_is_there_with_what_it_is_about_or_neither_is(self, backend: Backend) -> None:
        database = Database(backend.engine, backend.clock)

        def register_twice() -> None:
            with pytest.raises(StoreError, match="answer could not be recorded"):
                database.write(
                    lambda session: (
                        session.apps.add(new_app("second")),
                        session.answers.add("me", "k", ANSWER),
                    )
                )

        database.write(
            lambda session: (
                session.apps.add(new_app("first")),
                session.answers.add("me", "k", ANSWER),
            )
        )
        register_twice()
        assert [a.name for a in database.read(lambda s: s.apps.all())] == ["first"]
