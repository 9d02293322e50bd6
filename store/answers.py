"""Answers to requests that carried an idempotency key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from sqlalchemy import insert, select

from store.repositories import Repository
from store.tables import answers

KEPT_S = 24 * 3600
"""How long a request can be repeated with its idempotency key."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered. ``request`` is the hash of method, path and body."""

    request: str
    status: int
    headers: Mapping[str, str]
    body: bytes


_COLUMNS = [answers.c[f.name] for f in fields(Answer)]


class AnswerRepository(Repository):
    """One answer for each caller and key. It is added in the transaction of what the request did,
    so that neither is there without the other."""

    def find(self, caller: str, key: str) -> Answer | None:
        """What was answered to this caller under this key."""
        query = select(*_COLUMNS).where(answers.c.caller == caller, answers.c.key == key)
        with self._reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else Answer(*row)

    def add(self, caller: str, key: str, answer: Answer) -> None:
        """Record an answer.

        Raises:
            StoreError: this caller has one under this key.
        """
        row = {f.name: getattr(answer, f.name) for f in fields(Answer)}
        named = {"caller": caller, "key": key, "created_at": self._now}
        with self._transaction("the answer could not be recorded") as connection:
            connection.execute(insert(answers), {**named, **row})
