"""What models learn from is what studies measured, on every kind of database."""

from __future__ import annotations

from typing import Any

import pytest

from autorag.ports import Measurement
from store.apps import AppRepository, NewApp
from store.experience import ExperienceRepository
from store.hosts import HostRepository
from store.repositories import SqlTrialLog, StudyRepository
from tests.autorag.machines import profile
from tests.models.learned import Imagined
from tests.store import backends
from tests.store.backends import Backend
from tests.store.measured import CONFIG

FEATURES = Imagined("shop", 0.5).features
WORKLOAD = {"name": "docs", "hash": "f" * 40, "query_source": "labelled"}
DESCRIBED = {**WORKLOAD, "features": FEATURES.to_json()}

backend, postgres = backends.backend, backends.postgres


@pytest.fixture
def experience(backend: Backend) -> ExperienceRepository:
    return backend.repository(ExperienceRepository)


def measured(
    backend: Backend,
    workload: dict[str, Any] = DESCRIBED,
    app_id: int | None = None,
    split: str = "search",
    hardware: str | None = profile().fingerprint,
) -> None:
    """A study of two trials, the second of which failed."""
    backend.repository(HostRepository).record(profile(), {})
    settings = {} if hardware is None else {"hardware": hardware}
    study = backend.repository(StudyRepository).open(workload, settings, app_id=app_id).id
    log = backend.repository(lambda e, c: SqlTrialLog(e, c, study, split))
    log.start(0, CONFIG)
    found = Measurement({"ndcg_at_10": 0.5}, {"embed": {"p50_ms": 2.0, "p95_ms": 3.0}}, (), {}, {})
    log.finish(0, found, 1.0)
    log.start(1, CONFIG)
    log.close(1, "failed", "no", 1.0)


def test_finished_trials_are_told_with_their_workload_and_machine(
    backend: Backend, experience: ExperienceRepository
) -> None:
    measured(backend)
    (found,) = experience.trials()
    assert (found.corpus, found.labelled, found.features) == ("docs", True, FEATURES)
    assert found.profile.fingerprint == profile().fingerprint
    (one,) = found.measured
    assert dict(one.config) == dict(CONFIG)
    assert one.metrics == {"ndcg_at_10": 0.5, "embed_p50_ms": 2.0, "embed_p95_ms": 3.0}
    assert one.measured_at == int(backend.clock.now)


def test_workloads_of_an_app_are_one_corpus(
    backend: Backend, experience: ExperienceRepository
) -> None:
    app = backend.repository(AppRepository).add(
        NewApp("shop", None, "max ndcg_at_10", "auto", None)
    )
    measured(backend, app_id=app.id)
    measured(backend, {**DESCRIBED, "hash": "e" * 40}, app_id=app.id)
    one, other = experience.trials()
    assert {one.corpus, other.corpus} == {"shop"}
    assert one.workload != other.workload


def test_the_same_documents_under_several_names_are_one_corpus(
    backend: Backend, experience: ExperienceRepository
) -> None:
    add = backend.repository(AppRepository).add
    staging, live = (add(NewApp(n, None, "max ndcg_at_10", "auto", None)) for n in ("s", "l"))
    measured(backend)
    measured(backend, {**DESCRIBED, "hash": "e" * 40}, app_id=staging.id)
    measured(backend, {**DESCRIBED, "hash": "d" * 40}, app_id=live.id)
    assert {e.corpus for e in experience.trials()} == {"docs", "s", "l"}
    measured(backend, {**DESCRIBED, "hash": "e" * 40}, app_id=live.id)
    measured(backend, app_id=live.id)
    assert len({e.corpus for e in experience.trials()}) == 1


def test_what_says_nothing_is_left_out(backend: Backend, experience: ExperienceRepository) -> None:
    """No features, no machine, an unknown machine, the report's side, features of another day."""
    measured(backend, WORKLOAD)
    measured(backend, {**DESCRIBED, "hash": "1" * 40}, hardware=None)
    measured(backend, {**DESCRIBED, "hash": "2" * 40}, hardware="other")
    measured(backend, {**DESCRIBED, "hash": "3" * 40}, split="report")
    measured(backend, {**DESCRIBED, "hash": "4" * 40, "features": {"schema": 99}})
    assert experience.trials() == []


def test_one_machine_can_be_asked_for(backend: Backend, experience: ExperienceRepository) -> None:
    measured(backend)
    assert len(experience.trials(hardware=profile().fingerprint)) == 1
    assert experience.trials(hardware="other") == []
