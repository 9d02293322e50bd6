"""One database, as the service uses it: reads anywhere, writes through its one writer.

A *session* is one transaction with every repository bound to it: what a use case writes through
one session is there whole or not at all, whatever becomes of other work that the writer commits
with it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from sqlalchemy import Connection, Engine

from autorag.ports import Clock
from store.acks import AckRepository
from store.answers import AnswerRepository
from store.apps import AppRepository
from store.engine import reading, store_errors
from store.experience import ExperienceRepository
from store.hosts import HostRepository
from store.jobs import JobRepository
from store.keys import KeyRepository
from store.manifests import ManifestRepository
from store.model_sets import ModelSetRepository
from store.repositories import StudyRepository
from store.revisions import RevisionRepository
from store.schedules import ScheduleRepository
from store.suggestions import SuggestionRepository
from store.writer import BatchWriter

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """One transaction."""

    connection: Connection
    clock: Clock

    @cached_property
    def now(self) -> int:
        """When it began, in seconds since the epoch."""
        return int(self.clock.time())

    @cached_property
    def apps(self) -> AppRepository:
        return AppRepository(self.connection, self.clock)

    @cached_property
    def revisions(self) -> RevisionRepository:
        return RevisionRepository(self.connection, self.clock)

    @cached_property
    def acks(self) -> AckRepository:
        return AckRepository(self.connection, self.clock)

    @cached_property
    def manifests(self) -> ManifestRepository:
        return ManifestRepository(self.connection, self.clock)

    @cached_property
    def suggestions(self) -> SuggestionRepository:
        return SuggestionRepository(self.connection, self.clock)

    @cached_property
    def studies(self) -> StudyRepository:
        return StudyRepository(self.connection, self.clock)

    @cached_property
    def experience(self) -> ExperienceRepository:
        return ExperienceRepository(self.connection, self.clock)

    @cached_property
    def model_sets(self) -> ModelSetRepository:
        return ModelSetRepository(self.connection, self.clock)

    @cached_property
    def keys(self) -> KeyRepository:
        return KeyRepository(self.connection, self.clock)

    @cached_property
    def hosts(self) -> HostRepository:
        return HostRepository(self.connection, self.clock)

    @cached_property
    def answers(self) -> AnswerRepository:
        return AnswerRepository(self.connection, self.clock)

    @cached_property
    def jobs(self) -> JobRepository:
        return JobRepository(self.connection, self.clock)

    @cached_property
    def schedules(self) -> ScheduleRepository:
        return ScheduleRepository(self.connection, self.clock)


class Database:
    """One database.

    Args:
        writer: takes all writes of this process; without one, each is a transaction of its own.
    """

    def __init__(self, engine: Engine, clock: Clock, writer: BatchWriter | None = None) -> None:
        self._engine = engine
        self._clock = clock
        self._writer = writer

    @property
    def waiting(self) -> int:
        """Writes that wait, about."""
        return self._writer.waiting if self._writer is not None else 0

    def read(self, look: Callable[[Session], T]) -> T:
        """What ``look`` finds in one state of the database.

        Raises:
            StoreError: the database cannot be read.
        """
        with store_errors("the database failed"), reading(self._engine) as connection:
            return look(Session(connection, self._clock))

    def write(self, work: Callable[[Session], T]) -> T:
        """Run work in a transaction; when it returns, everything is on disk.

        Raises:
            BusyError: too much waits to be written.
            StoreError: the database cannot be written.
        """
        if self._writer is not None:
            return self.submit(work).result()
        with store_errors("the database failed"), self._engine.begin() as connection:
            return work(Session(connection, self._clock))

    def submit(self, work: Callable[[Session], T]) -> Future[T]:
        """As :meth:`write`, without waiting.

        Raises:
            BusyError: too much waits to be written.
        """
        if self._writer is None:
            raise RuntimeError("there is no writer")
        return self._writer.submit(lambda connection: work(Session(connection, self._clock)))
