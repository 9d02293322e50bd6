"""Keeping the control database small: what ended long ago is deleted.

Apps, their revisions and what their trials measured stay. What goes are per-query results of
studies that ended, or that nobody went on with; what instances did with revisions that are no
longer active; jobs that ended; answers to requests; and studies of deleted apps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select, update

from autorag.ports import Clock
from store.acks import SAID_AT
from store.answers import KEPT_S
from store.deleting import DAY_S, Deleting, Progress, Pruned, Stopped, row_pace
from store.engine import reading, store_errors
from store.jobs import ENDED
from store.pace import Chunks, Pace
from store.tables import acks, answers, apps, jobs, studies, trial_queries, trials

TRIALS_AT_ONCE = 500


def forget(
    engine: Engine,
    clock: Clock,
    *,
    days: float,
    progress: Progress = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    pace: Pace | None = None,
    done: Pruned | None = None,
) -> Pruned:
    """Delete what ended more than ``days`` ago, answers that no request is repeated for any more,
    and what was left of deleted apps.

    Args:
        progress: told after every chunk.
        cancelled: asked before every chunk; once it says so, nothing more is done.
        done: what was done before, which this is added to.

    Raises:
        StoreError: the database failed; what was done until then stays done.
    """
    now = int(clock.time())
    before = now - int(days * DAY_S)
    with store_errors("the database could not be pruned"), Chunks.on(engine) as chunks:
        work = _Forgetting(
            engine, chunks, pace or row_pace(clock), progress, cancelled, done or Pruned()
        )
        try:
            work.studies(before)
            work.acks(before)
            ended = and_(jobs.c.state.in_(ENDED), jobs.c.ended_at < before)
            work.rows(jobs, ended, still=jobs.c.live.is_(None))
            work.rows(answers, answers.c.created_at < now - KEPT_S)
            work.vacuum()
        except Stopped:
            return replace(work.done, complete=False)
        return replace(work.done, complete=True)


class _Forgetting(Deleting):
    """A prune of the control database at work."""

    def studies(self, before: int) -> None:
        """Delete per-query results of old studies, and the studies of deleted apps."""
        self._abandon(before)
        gone = studies.c.state == "deleted"
        self._queries(or_(gone, studies.c.state == "abandoned", studies.c.finished_at < before))
        self.rows(trials, trials.c.study_id.in_(select(studies.c.id).where(gone)))
        self.rows(studies, gone)

    def acks(self, before: int) -> None:
        """Delete what was said before this of revisions that are not active."""
        active = select(apps.c.revision).where(apps.c.id == acks.c.app_id).scalar_subquery()
        old = and_(before > SAID_AT, acks.c.revision != func.coalesce(active, 0))
        self.rows(acks, old, still=old)

    def _abandon(self, before: int) -> None:
        """Let studies not be gone on with whose per-query results are to go: what is compared at
        their end would be incomplete."""
        of_it = trials.c.study_id == studies.c.id
        recent = select(trials.c.id).where(of_it, trials.c.started_at >= before).exists()
        asked = select(trials.c.id).join(trial_queries).where(of_it).exists()
        left = (studies.c.state == "running", studies.c.created_at < before, ~recent, asked)
        self.go_on()
        with self.chunks.locked(self.pace) as connection:
            connection.execute(update(studies).where(*left).values(state="abandoned"))
        self.count()

    def _queries(self, of: ColumnElement[bool]) -> None:
        """Delete the per-query results of studies."""
        c = trial_queries.c
        asked = select(c.query).where(c.trial_id == trials.c.id).exists()
        query = select(trials.c.id).join(studies).where(of, asked).order_by(trials.c.id)
        with reading(self.engine) as connection:
            ids = connection.scalars(query).all()
        for i in range(0, len(ids), TRIALS_AT_ONCE):
            self.rows(trial_queries, c.trial_id.in_(ids[i : i + TRIALS_AT_ONCE]))
