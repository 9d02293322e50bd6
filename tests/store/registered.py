"""Apps to be stored."""

from __future__ import annotations

from typing import Any

from autorag.apps import App
from store.apps import AppRepository, NewApp
from store.repositories import SqlTrialLog, StudyRepository
from tests.store.backends import Backend
from tests.store.measured import CONFIG


def new_app(name: str = "shop", **changed: Any) -> NewApp:
    """What an app is registered with."""
    given = {
        "space": {"knobs": []},
        "objective": "max ndcg_at_10",
        "policy": "auto",
        "webhook": None,
        **changed,
    }
    return NewApp(name, **given)


def register(backend: Backend, name: str = "shop", **changed: Any) -> App:
    """A registered app."""
    return backend.repository(AppRepository).add(new_app(name, **changed))


def start_trial(backend: Backend, app: App, number: int = 0) -> int:
    """A trial of an app that runs; returns its study."""
    study = backend.repository(StudyRepository).open({"hash": "w"}, {"seed": 7}, app_id=app.id).id
    log = SqlTrialLog(backend.engine, backend.clock, study, "search")
    log.start(number, CONFIG)
    return study
