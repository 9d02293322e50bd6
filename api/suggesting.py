"""Ask and tell: an app measures suggested configs itself.

Each app has one open study of its objective and space; trial 0 is what it runs with. A client that
asks again gets what it was given, until it reports or a day is over. What to try next is decided
by the optimizer (``autorag.optimizer.bayesian``), which knows what others are measuring; it starts
from what models believe where the app has the knobs of the reference pipeline, features and a
hardware profile. It is decided outside of the transaction that starts the trial, so that deciding
holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.predicting import Wanted
from api.service import Service
from autorag.apps import App
from autorag.errors import ConflictError, InputError, NotFoundError
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.metrics import METRICS
from autorag.model_sets import ModelSetRow
from autorag.objective import Objective, parse_objective
from autorag.optimizer import BayesianSearch, Proposal, SpaceCandidates, Stop, best_trial
from autorag.ports import Measurement, Prior, Trial
from autorag.space import Config, Space
from models.analytic.mean_cost import MeanCosts
from store.database import Session
from store.repositories import SqlTrialLog
from store.suggestions import Suggestion

EXPIRES_S = 24 * 3600
TRIES = 20
"""Clients that ask at the same moment decide again when another one was first."""

QUERIES = 100
"""On which an app is taken to measure: it need not say."""

MOST_FIRST = 3
"""How often what the app runs with is suggested, until it is measured."""

SEED = 0
SPLIT = "search"


@dataclass(frozen=True, slots=True)
class Asked:
    """The open study of an app, as one reading found it."""

    app: App
    study: int
    trials: Sequence[Trial]
    mine: Suggestion | None
    profile: HardwareProfile | None
    production: ModelSetRow | None


@dataclass(frozen=True, slots=True)
class Report:
    """What a client measured; ``failed`` says why it could not."""

    metrics: Mapping[str, float]
    stages: Mapping[str, Mapping[str, float]]
    seconds: float
    failed: str | None


async def suggest(
    service: Service, name: str, client: str, risk: float | None
) -> Suggestion | Stop:
    """What this client is to measure, or why nothing is left to try.

    Args:
        risk: largest chance to miss a bound that the suggestion may have; None for any.

    Raises:
        NotFoundError: no such app.
        ConflictError: too many clients ask at the same moment.
    """
    for _ in range(TRIES):
        asked = await service.write(lambda session: _asked(session, name, client))
        if asked.mine is not None:
            return asked.mine
        proposal = await asyncio.to_thread(_next, service, asked, risk)
        if isinstance(proposal, Stop):
            return proposal
        wanted, seen = proposal.config, len(asked.trials)
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
    profile = None if app.hardware is None else session.hosts.profile(app.hardware)
    trials = _log(session, study).trials()
    return Asked(app, study, trials, mine, profile, session.model_sets.production())


def _study(session: Session, app: App) -> int:
    """The open study of the app as it is."""
    settings = {"ask": app.name, "objective": app.objective, "space": app.space}
    workload = {"name": app.name, "hash": f"app {app.id}", "features": app.features}
    return session.studies.open(workload, settings, app_id=app.id).id


def _end(session: Session, pending: Suggestion, why: str) -> None:
    """Wait no longer for a report."""
    _log(session, pending.study).close(pending.number, "failed", why, 0.0)
    session.suggestions.end(pending.trial)


def _next(service: Service, asked: Asked, risk: float | None) -> Proposal | Stop:
    space = service.spaces.of(asked.app)
    current = space.config({}, base=asked.app.settings)
    mine = [t.state for t in asked.trials if t.config == current]
    if len(mine) < MOST_FIRST and not {"finished", "running"}.intersection(mine):
        return Proposal(current)
    searched = space.defaulting(current)
    search = BayesianSearch(
        searched,
        parse_objective(asked.app.objective),
        SpaceCandidates(searched, (), SEED),
        _prior(service, asked, searched),
        MeanCosts(),
        queries=QUERIES,
        seed=SEED,
        risk=risk,
    )
    return search.propose(asked.trials, used=1.0)


def _prior(service: Service, asked: Asked, space: Space) -> Prior | None:
    app = asked.app
    if app.features is None or asked.profile is None:
        return None
    features, goal = WorkloadFeatures.from_json(app.features), parse_objective(app.objective)
    wanted = Wanted(space, features, asked.profile, goal, 1, app.name, {}, asked.production)
    return service.recommender.predictions.prior(wanted)


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
