"""Repositories: studies, their trials and per-query results.

Contract: every method is one transaction, all of its rows or none, and what it returned from is on
disk; a repository that was made within a transaction is part of that one instead. A trial that is
no longer running never changes. Several processes may use one database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from autorag.errors import StoreError
from autorag.hashing import ADDRESS_BYTES, address
from autorag.ports import LOST, Clock, Measurement, QueryResult, Trial, TrialState
from autorag.space import Config
from store.engine import reading, store_errors
from store.tables import studies, trial_queries, trials


@dataclass(frozen=True, slots=True)
class StudyRow:
    """A study found or begun. ``resumed`` when it was there unfinished."""

    id: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class FinishedStudy:
    """A study that ended: what made it the same as another, and what came of it."""

    id: int
    workload: Mapping[str, Any]
    settings: Mapping[str, Any]
    outcome: Mapping[str, Any]


class Repository:
    """What repositories share: one transaction a method, errors as ``StoreError``.

    Args:
        source: a database, or the transaction that every method is part of.
    """

    def __init__(self, source: Engine | Connection, clock: Clock) -> None:
        self._source = source
        self._clock = clock

    @property
    def _now(self) -> int:
        """Seconds since the epoch."""
        return int(self._clock.time())

    @contextmanager
    def _transaction(self, doing: str = "the database failed") -> Iterator[Connection]:
        with store_errors(doing):
            if isinstance(self._source, Connection):
                yield self._source
            else:
                with self._source.begin() as connection:
                    yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with store_errors("the database failed"):
            if isinstance(self._source, Connection):
                yield self._source
            else:
                with reading(self._source) as connection:
                    yield connection


class StudyRepository(Repository):
    """Studies."""

    def open(
        self,
        workload: Mapping[str, Any],
        settings: Mapping[str, Any],
        *,
        app_id: int | None = None,
        within_s: float | None = None,
    ) -> StudyRow:
        """The unfinished study of this app, workload and settings, or a new one.

        Args:
            workload: a summary with its ``hash``.
            settings: everything that makes two studies the same (objective, space, strategy,
                seed, limits, split).
            app_id: the registered app that it is for.
            within_s: how long ago something last happened in it at most, in seconds; what was
                measured before that counts no more.
        """
        of_app = [] if app_id is None else [app_id]
        identity = address([workload["hash"], dict(settings), *of_app])
        with self._transaction() as connection:
            unfinished = select(studies.c.id).where(
                studies.c.identity == identity, studies.c.state == "running"
            )
            if within_s is not None:
                unfinished = unfinished.where(_last_change() >= self._now - within_s)
            known = connection.scalar(unfinished.order_by(studies.c.id.desc()))
            if known is not None:
                return StudyRow(known, resumed=True)
            row = {
                "identity": identity,
                "state": "running",
                "workload": dict(workload),
                "workload_hash": workload["hash"],
                "settings": dict(settings),
                "created_at": int(self._clock.time()),
                "app_id": app_id,
            }
            inserted = connection.execute(insert(studies), row).inserted_primary_key
            assert inserted is not None
            return StudyRow(inserted[0], resumed=False)

    def finish(self, study: int, outcome: Mapping[str, Any]) -> None:
        """Record that a study ended, with its outcome. One that has ended never changes."""
        values = {
            "state": "finished",
            "outcome": dict(outcome),
            "finished_at": int(self._clock.time()),
        }
        with self._transaction() as connection:
            running = update(studies).where(studies.c.id == study, studies.c.state == "running")
            connection.execute(running.values(values))

    def measured_configs(self, workload_hash: str, *, besides: int) -> list[Config]:
        """Configs that were measured on this workload in other studies than ``besides``."""
        query = (
            select(trials.c.config)
            .join(studies, studies.c.id == trials.c.study_id)
            .where(studies.c.workload_hash == workload_hash, studies.c.id != besides)
            .where(studies.c.state != "deleted", trials.c.state == "finished")
        )
        with self._reading() as connection:
            return [_config(c) for c in connection.scalars(query)]

    def progress(self, app_id: int) -> tuple[int, int]:
        """How many trials of an app's studies finished, and the newest: another pair means that
        :meth:`measured` finds something else."""
        query = (
            select(func.count(), func.coalesce(func.max(trials.c.id), 0))
            .join(studies, studies.c.id == trials.c.study_id)
            .where(studies.c.app_id == app_id, trials.c.split == "search")
            .where(trials.c.state == "finished")
        )
        with self._reading() as connection:
            count, newest = connection.execute(query).one()
        return count, newest

    def measured(self, app_id: int, limit: int) -> list[tuple[Config, Mapping[str, float]]]:
        """Configs that an app's studies measured, with their metrics, the newest first."""
        query = (
            select(trials.c.config, trials.c.metrics)
            .join(studies, studies.c.id == trials.c.study_id)
            .where(studies.c.app_id == app_id, trials.c.split == "search")
            .where(trials.c.state == "finished")
            .order_by(trials.c.id.desc())
            .limit(limit)
        )
        with self._reading() as connection:
            return [(_config(config), metrics) for config, metrics in connection.execute(query)]

    def measured_by_study(
        self, app_id: int, limit: int, *, besides: int
    ) -> list[list[tuple[Config, Mapping[str, float]]]]:
        """As :meth:`measured`, by study, without the study ``besides``; that of the newest trial
        is the first."""
        query = (
            select(trials.c.study_id, trials.c.config, trials.c.metrics)
            .join(studies, studies.c.id == trials.c.study_id)
            .where(studies.c.app_id == app_id, studies.c.id != besides)
            .where(trials.c.split == "search", trials.c.state == "finished")
            .order_by(trials.c.id.desc())
            .limit(limit)
        )
        found: dict[int, list[tuple[Config, Mapping[str, float]]]] = {}
        with self._reading() as connection:
            for study, config, metrics in connection.execute(query):
                found.setdefault(study, []).append((_config(config), metrics))
        return list(found.values())

    def last_finished(self, app_id: int) -> FinishedStudy | None:
        """The study of an app that ended last."""
        c = studies.c
        query = (
            select(c.id, c.workload, c.settings, c.outcome)
            .where(c.app_id == app_id, c.state == "finished")
            .order_by(c.finished_at.desc(), c.id.desc())
            .limit(1)
        )
        with self._reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else FinishedStudy(*row)


class SqlTrialLog(Repository):
    """The trials of one side of a study; see :class:`autorag.ports.TrialLog`.

    Args:
        runner: who runs the study, never used before: what is running can then be ended by its
            runner alone. None is for trials that one process starts and another one ends.
    """

    def __init__(
        self,
        source: Engine | Connection,
        clock: Clock,
        study: int,
        split: str,
        runner: str | None = None,
    ) -> None:
        super().__init__(source, clock)
        self._study = study
        self._split = split
        self._runner = runner

    def trials(self) -> list[Trial]:
        query = select(trials).where(*self._mine()).order_by(trials.c.number)
        with self._reading() as connection:
            return [_trial(row) for row in connection.execute(query)]

    def start(self, number: int, config: Config) -> None:
        row: dict[str, Any] = {
            "study_id": self._study,
            "split": self._split,
            "number": number,
            "config": config.to_json(),
            "config_hash": config.hash_hex,
            "state": "running",
            "reason": self._runner,
            **{c: {} for c in ("metrics", "stages", "build_s", "conditions")},
            "reused": [],
            "seconds": 0.0,
            "started_at": int(self._clock.time()),
        }
        with self._transaction(f"trial {number} could not be started") as connection:
            connection.execute(insert(trials), row)

    def finish(self, number: int, measurement: Measurement, seconds: float) -> None:
        lost = measurement.conditions.get(LOST)
        values = {
            "state": "finished" if lost is None else "censored",
            "metrics": dict(measurement.metrics),
            "stages": {s: dict(v) for s, v in measurement.stages.items()},
            "reused": list(measurement.reused),
            "build_s": dict(measurement.build_s),
            "conditions": dict(measurement.conditions),
            "reason": lost,
        }

        def add_queries(connection: Connection, trial: int) -> None:
            if measurement.queries:
                rows = [_query_row(trial, i, q) for i, q in enumerate(measurement.queries)]
                connection.execute(insert(trial_queries), rows)

        self._end(number, values, seconds, add_queries)

    def close(self, number: int, state: TrialState, reason: str, seconds: float) -> None:
        self._end(number, {"state": state, "reason": reason}, seconds, lambda *_: None)

    def discard(self, number: int) -> None:
        with self._transaction() as connection:
            connection.execute(delete(trials).where(*self._running(number)))

    def discard_running(self) -> int:
        running = delete(trials).where(*self._mine(), trials.c.state == "running")
        with self._transaction() as connection:
            return connection.execute(running).rowcount

    def query_results(self, number: int) -> list[QueryResult]:
        query = (
            select(trial_queries)
            .join(trials, trials.c.id == trial_queries.c.trial_id)
            .where(*self._mine(), trials.c.number == number)
            .order_by(trial_queries.c.position)
        )
        with self._reading() as connection:
            return [_query_result(row) for row in connection.execute(query)]

    def _mine(self) -> tuple[Any, ...]:
        return trials.c.study_id == self._study, trials.c.split == self._split

    def _running(self, number: int) -> tuple[Any, ...]:
        """The trial of this number that is this log's to end."""
        running = (*self._mine(), trials.c.number == number, trials.c.state == "running")
        return running if self._runner is None else (*running, trials.c.reason == self._runner)

    def _end(
        self,
        number: int,
        values: Mapping[str, Any],
        seconds: float,
        also: Callable[[Connection, int], None],
    ) -> None:
        ended = {**values, "seconds": seconds, "finished_at": int(self._clock.time())}
        with self._transaction(f"trial {number} could not be recorded") as connection:
            end = update(trials).where(*self._running(number)).values(ended)
            trial = connection.scalar(end.returning(trials.c.id))
            if trial is None:
                raise StoreError(f"trial {number} is not running, or another process runs it")
            also(connection, trial)


def _last_change() -> Any:
    """When something last happened in a study."""
    times = func.coalesce(trials.c.finished_at, trials.c.started_at)
    newest = select(func.max(times)).where(trials.c.study_id == studies.c.id)
    return func.coalesce(newest.scalar_subquery(), studies.c.created_at)


def _trial(row: Row[Any]) -> Trial:
    return Trial(
        number=row.number,
        config=_config(row.config),
        state=row.state,
        metrics=row.metrics,
        stages=row.stages,
        reused=row.reused,
        build_s=row.build_s,
        conditions=row.conditions,
        seconds=row.seconds,
        reason=None if row.state == "running" else row.reason,
    )


def _config(values: Mapping[str, Any]) -> Config:
    return Config(tuple(values.items()))


def _query_row(trial: int, position: int, result: QueryResult) -> dict[str, Any]:
    return {
        "trial_id": trial,
        "query": result.query,
        "position": position,
        "metrics": dict(result.metrics),
        "stage_ms": dict(result.stage_ms),
        "chunk_ids": bytes.fromhex("".join(result.chunk_ids)),
        "scores": np.asarray(result.scores, dtype=np.float32).tobytes(),
        "prompt": result.prompt,
    }


def _query_result(row: Row[Any]) -> QueryResult:
    ids = [
        row.chunk_ids[i : i + ADDRESS_BYTES].hex()
        for i in range(0, len(row.chunk_ids), ADDRESS_BYTES)
    ]
    scores = np.frombuffer(row.scores, dtype=np.float32).tolist()
    return QueryResult(row.query, row.metrics, row.stage_ms, ids, scores, row.prompt)
