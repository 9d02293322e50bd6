"""Ask and tell: an app measures suggested configs itself.

Each app has one open study of its objective and space; trial 0 is what it runs with. A client that
asks again gets what it was given, until it reports or a day is over. What to try next is
decided outside of the transaction that starts the trial, so that deciding holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.service import Service
from autorag.apps import App
from autorag.errors import ConflictError, InputError, NotFoundError
from autorag.metrics import METRICS
from autorag.objective import Objective, parse_objective
from autorag.optimizer import ModelFirstGreedy, Stop, best_trial
from autorag.ports import Measurement, Trial
from autorag.space import Config, Space
from store.database import Session
from store.repositories import SqlTrialLog
from store.suggestions import Suggestion

EXPIRES_S = 24 * 3600
TRIES = 20
"""Clients that ask at the same moment decide again when another one was first."""

SEED = 0
SPLIT = "search"


@dataclass(frozen=True, slots=True)
class Asked:
    """The open study of an app, as one reading found it."""

    app: App
    study: int
    trials: Sequence[Trial]
    mine: Suggestion | None


@dataclass(frozen=True, slots=True)
class Report:
    """What a client measured; ``failed`` says why it could not."""

    metrics: Mapping[str, float]
    stages: Mapping[str, Mapping[str, float]]
    seconds: float
    failed: str | None


async def suggest(service: Service, name: str, client: str) -> Suggestion | None:
    """What this client is to measure; None when there is nothing left to try.

    Raises:
        NotFoundError: no such app.
        ConflictError: too many clients ask at the same moment.
    """
    for _ in range(TRIES):
        asked = await service.write(lambda session: _asked(session, name, client))
        if asked.mine is not None:
            return asked.mine
        space = service.spaces.of(asked.app)
        config = await asyncio.to_thread(_next, space, asked)
        if config is None:
            return None
        wanted, seen = config, len(asked.trials)
        made = await service.write(
            lambda session: _start(session, asked, client, wanted, seen)  # noqa: B023
        )
        if made is not None:
            return made
    raise ConflictError("too many clients ask at the same moment; try again", key="client")


def tell(session: Session, name: str, trial: int, report: Report) -> dict[str, Any]:
    """Record what was measured; returns the trial and the best so far.

    Raises:
        NotFoundError: no such app, or no such suggestion of it.
        ConflictError: the trial has ended already.
        InputError: a metric that is unknown, or one missing that the objective names.
    """
    app = session.apps.get(name, lock=True)
    suggestion = session.suggestions.find(app.id, trial)
    if suggestion is None:
        raise NotFoundError(f"app {name!r} has no suggestion {trial}", key="trial", value=trial)
    if suggestion.state != "running":
        raise ConflictError(f"trial {trial} has ended already", key="trial", value=trial)
    if suggestion.study != _study(session, app):
        raise ConflictError(
            f"trial {trial} is of another objective or space than the app has now: ask again",
            key="trial",
            value=trial,
        )
    objective = parse_objective(app.objective)
    log = _log(session, suggestion.study)
    if report.failed is not None:
        log.close(suggestion.number, "failed", report.failed, report.seconds)
    else:
        _check(report.metrics, objective)
        conditions = {"measured_by": suggestion.client}
        measured = Measurement(report.metrics, report.stages, (), {}, (), conditions)
        log.finish(suggestion.number, measured, report.seconds)
    session.suggestions.end(trial)
    trials = log.trials()
    finished = [t for t in trials if t.state == "finished"]
    best = best_trial(finished, objective) if finished else None
    return {
        "trial": trial,
        "state": "failed" if report.failed is not None else "finished",
        "best": best and {"config": best.config.to_json(), "measured": dict(best.metrics)},
        "trials": len(finished),
    }


def _asked(session: Session, name: str, client: str) -> Asked:
    """The open study, with suggestions whose time is over ended."""
    app = session.apps.get(name, lock=True)
    study = _study(session, app)
    mine = None
    for pending in session.suggestions.pending(app.id):
        if pending.study != study:
            _end(session, pending, "the objective or the space changed")
        elif pending.expires_at <= session.now:
            _end(session, pending, f"{pending.client} did not report in time")
        elif pending.client == client:
            mine = pending
    return Asked(app, study, _log(session, study).trials(), mine)


def _study(session: Session, app: App) -> int:
    """The open study of the app as it is."""
    settings = {"ask": app.name, "objective": app.objective, "space": app.space}
    workload = {"name": app.name, "hash": f"app {app.id}", "features": app.features}
    return session.studies.open(workload, settings, app_id=app.id).id


def _end(session: Session, pending: Suggestion, why: str) -> None:
    """Wait no longer for a report."""
    _log(session, pending.study).close(pending.number, "failed", why, 0.0)
    session.suggestions.end(pending.trial)


def _next(space: Space, asked: Asked) -> Config | None:
    current = space.config({}, base=asked.app.settings)
    if not asked.trials:
        return current
    searched = space.defaulting(current)
    objective = parse_objective(asked.app.objective)
    proposal = ModelFirstGreedy(searched, objective, SEED).propose(asked.trials)
    return None if isinstance(proposal, Stop) else proposal.config


def _start(
    session: Session, asked: Asked, client: str, config: Config, seen: int
) -> Suggestion | None:
    """Start the trial; None when somebody started one meanwhile."""
    app = session.apps.get(asked.app.name, lock=True)
    log = _log(session, asked.study)
    if len(log.trials()) != seen:
        return None
    log.start(seen, config)
    expires_at = session.now + EXPIRES_S
    return session.suggestions.add(app.id, asked.study, seen, client, expires_at)


def _log(session: Session, study: int) -> SqlTrialLog:
    return SqlTrialLog(session.connection, session.clock, study, SPLIT)


def _check(metrics: Mapping[str, float], objective: Objective) -> None:
    for name in metrics:
        if name not in METRICS:
            raise InputError(f"unknown metric {name!r}", key="metrics", value=name)
    for name in objective.metrics:
        if name not in metrics:
            raise InputError(
                f"metrics lacks {name!r}, which the objective names: {objective}",
                key="metrics",
                value=name,
            )
