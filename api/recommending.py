"""The use case behind ``/v1/recommend``: the best measured config, else what models predict to be
best, else the default."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

from api.evidence import Evidence
from api.model_registry import Registry
from api.predicting import Predictions, Wanted
from api.spaces import Spaces
from autorag.apps import App
from autorag.errors import ConfigError, InputError
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.hashing import address
from autorag.model_sets import ModelSetRow
from autorag.objective import DEFAULT_OBJECTIVE, Objective, parse_objective
from autorag.space import Config, Space
from store.database import Session

Metrics = Mapping[str, float]
Ranked = Sequence[tuple[Config, Metrics]]

KEPT = 256
"""Rankings that are kept."""

MOST_TRIALS = 500
"""The newest measurements that are looked at."""

MOST_REVISIONS = 10
"""The newest whose traffic is looked at."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        app: whose workload it is, None for one that is only described.
        objective: None for that of the app.
        features: of the workload, as JSON; None for those that the app registered.
        hardware: profile of the machine, as JSON; None for that of the app.
        alternatives: how many further configs are wanted.
    """

    app: str | None
    objective: Objective | None
    features: Mapping[str, Any] | None
    hardware: Mapping[str, Any] | None
    alternatives: int


@dataclass(frozen=True, slots=True)
class Found:
    """What is known when a question is answered.

    Attributes:
        ranked: configs that were measured, the best first.
        profile: of the machine.
        ran: revision → config that the app ran with, of the newest.
        production: the set of models that is to answer, None for the one that ships.
    """

    space: Space
    objective: Objective
    ranked: Ranked
    features: Mapping[str, Any] | None
    profile: HardwareProfile | None
    workload: Mapping[str, Any]
    alternatives: int
    production: ModelSetRow | None
    app: str | None = None
    ran: Mapping[int, Config] = field(default_factory=dict)


class Recommender:
    """Answers, and keeps what it ranked last: ranking hundreds of configs for every request would
    cost more than all else."""

    def __init__(self, spaces: Spaces, registry: Registry, evidence: Evidence) -> None:
        self._spaces = spaces
        self._registry = registry
        self._evidence = evidence
        self._ranked: OrderedDict[Hashable, Ranked] = OrderedDict()
        self._lock = Lock()

    @cached_property
    def predictions(self) -> Predictions:
        """Those of the models in production."""
        return Predictions(self._spaces.reference, self._registry, self._evidence)

    def look(self, session: Session, question: Question) -> Found:
        """Find what is known.

        Raises:
            NotFoundError: no such app.
            InputError: the hardware is no profile.
        """
        given = question.hardware
        profile = None if given is None else HardwareProfile.from_json(given)
        objective, features = question.objective, question.features
        asked = question.alternatives, session.model_sets.production()
        if question.app is None:
            space, goal = self._spaces.reference, objective or DEFAULT_OBJECTIVE
            workload: dict[str, Any] = {"features": features}
            return Found(space, goal, (), features, profile, workload, *asked)
        app = session.apps.get(question.app)
        goal, features = objective or parse_objective(app.objective), features or app.features
        if profile is None and app.hardware is not None:
            profile = session.hosts.profile(app.hardware)
        workload = {"app": app.name, "features": features}
        space, ranked = self._spaces.of(app), self._rank(session, app, goal)
        asked_about_itself = question.features is None and question.hardware is None
        ran = _ran(session, app, space) if asked_about_itself and not ranked else {}
        return Found(space, goal, ranked, features, profile, workload, *asked, app.name, ran)

    def answer(self, found: Found) -> dict[str, Any]:
        """The answer, as the route gives it; its config is always one of the space."""
        if found.ranked:
            shown = [_measured(*p, found.objective) for p in found.ranked[: 1 + found.alternatives]]
            known = f"the best of {len(found.ranked)} configs measured on this app's workload"
            return _answer(shown, "measured", f"{known} for: {found.objective}", found.workload)
        missing = [name for name in ("features", "profile") if getattr(found, name) is None]
        if missing:
            why = f"nothing was measured, and to predict, {' and '.join(missing)} are needed"
            return self._default(found, why)
        try:
            return self._predicted(found)
        except InputError as error:
            return self._default(found, f"nothing was measured, and nothing predicted: {error}")

    def _predicted(self, found: Found) -> dict[str, Any]:
        """
        Raises:
            InputError: models cannot answer.
        """
        assert found.features is not None
        assert found.profile is not None
        features = WorkloadFeatures.from_json(found.features)
        told = self.predictions.recommend(
            Wanted(
                found.space,
                features,
                found.profile,
                found.objective,
                1 + found.alternatives,
                found.app,
                found.ran,
                found.production,
            )
        )
        answer = told.answer
        shown = [{"measured": {}, **one.to_json()} for one in answer.recommended]
        reason = "; ".join((answer.reason, *told.notes))
        known = found.workload, answer.sure, told.version
        return _answer(shown, "models", reason, *known)

    def _default(self, found: Found, why: str) -> dict[str, Any]:
        config = found.space.default().to_json()
        return _answer([_unmeasured(config)], "default", why, found.workload)

    def _rank(self, session: Session, app: App, objective: Objective) -> Ranked:
        """Configs of the app's space that were measured, the best first."""
        measured = session.studies.progress(app.id)
        name = (app.id, app.settings_version, address(app.space), str(objective), measured)
        with self._lock:
            if name in self._ranked:
                self._ranked.move_to_end(name)
                return self._ranked[name]
        space = self._spaces.of(app)
        found = _in_space(session.studies.measured(app.id, MOST_TRIALS), app, space)
        ranked = sorted(found.items(), key=lambda pair: objective.rank(pair[1]))
        with self._lock:
            self._ranked[name] = ranked
            while len(self._ranked) > KEPT:
                self._ranked.popitem(last=False)
        return ranked


def _ran(session: Session, app: App, space: Space) -> dict[int, Config]:
    """Configs of the newest revisions, as the app has the other knobs."""
    found = {}
    for revision in session.revisions.newest(app.id, MOST_REVISIONS):
        try:
            config = space.config({}, base={**app.settings, **revision.config})
        except ConfigError:
            continue
        found[revision.number] = config
    return found


def _in_space(
    measured: Sequence[tuple[Config, Metrics]], app: App, space: Space
) -> dict[Config, Metrics]:
    """Each config of the app's space that was measured, as it was measured last. What was measured
    may be of a larger space (the reference pipeline, for an app that declares some of its knobs) or
    lack knobs that were declared later: these are as the app has them."""
    found: dict[Config, Metrics] = {}
    for values, metrics in measured:
        try:
            config = space.config({}, base={**app.settings, **values})
        except ConfigError:
            continue
        found.setdefault(config, metrics)
    return found


def _measured(config: Config, metrics: Metrics, objective: Objective) -> dict[str, Any]:
    missed = objective.explain(metrics)
    return {
        "config": config.to_json(),
        "measured": dict(metrics),
        "predicted": {},
        "stages": {},
        "chance": None,
        "provenance": "measured",
        "reasons": missed or ["it holds every bound of the objective"],
    }


def _unmeasured(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "config": config,
        "measured": {},
        "predicted": {},
        "stages": {},
        "chance": None,
        "provenance": "default",
        "reasons": ["it is the default of every setting"],
    }


def _answer(
    ranked: Sequence[dict[str, Any]],
    source: str,
    reason: str,
    workload: Mapping[str, Any],
    sure: bool | None = None,
    models: int | None = None,
) -> dict[str, Any]:
    best, *others = ranked
    return {
        "recommended": best,
        "alternatives": others,
        "source": source,
        "reason": reason,
        "sure": sure,
        "models": models,
        "workload": dict(workload),
    }
