"""The use case behind ``/v1/recommend``: the best measured config, else the default."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from api.spaces import Spaces
from autorag.apps import App
from autorag.errors import ConfigError
from autorag.hashing import address
from autorag.objective import Objective, parse_objective
from autorag.space import Config, Space
from store.database import Session

Metrics = Mapping[str, float]
Ranked = Sequence[tuple[Config, Metrics]]

KEPT = 256
"""Rankings that are kept."""

MOST_TRIALS = 500
"""The newest measurements that are looked at."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        app: whose workload it is, None for one that is only described.
        objective: None for that of the app.
        features: of the workload, as JSON.
        alternatives: how many further configs are wanted.
    """

    app: str | None
    objective: Objective | None
    features: Mapping[str, Any] | None
    alternatives: int


class Recommender:
    """Answers, and keeps what it ranked last: ranking hundreds of configs for every request would
    cost more than all else."""

    def __init__(self, spaces: Spaces) -> None:
        self._spaces = spaces
        self._ranked: OrderedDict[Hashable, Ranked] = OrderedDict()
        self._lock = Lock()

    def recommend(self, session: Session, question: Question) -> dict[str, Any]:
        """The answer, as the route gives it; its config is always one of the space.

        Raises:
            NotFoundError: no such app.
        """
        if question.app is None:
            config = self._spaces.reference.default().to_json()
            why = "no model is trained, and nothing was measured on a workload without an app"
            return _answer([_unmeasured(config)], "default", why, {"features": question.features})
        app = session.apps.get(question.app)
        objective = question.objective or parse_objective(app.objective)
        workload = {"app": app.name, "features": question.features or app.features}
        ranked = self._rank(session, app, objective)
        if not ranked:
            config = self._spaces.of(app).default().to_json()
            why = "nothing was measured on this app's workload, and no model is trained"
            return _answer([_unmeasured(config)], "default", why, workload)
        shown = [_measured(*pair, objective) for pair in ranked[: 1 + question.alternatives]]
        why = f"the best of {len(ranked)} configs measured on this app's workload for: {objective}"
        return _answer(shown, "measured", why, workload)

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
        "provenance": "measured",
        "reasons": missed or ["it holds every bound of the objective"],
    }


def _unmeasured(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "config": config,
        "measured": {},
        "predicted": {},
        "provenance": "default",
        "reasons": ["it is the default of every setting"],
    }


def _answer(
    ranked: Sequence[dict[str, Any]], source: str, reason: str, workload: Mapping[str, Any]
) -> dict[str, Any]:
    best, *others = ranked
    return {
        "recommended": best,
        "alternatives": others,
        "source": source,
        "reason": reason,
        "workload": dict(workload),
    }
