"""The train job: candidates, verdicts and files, from databases whose laws are known."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from api import training
from api.jobs import check_arguments
from api.model_registry import Registry
from api.settings import Settings
from api.train_job import learn
from api.training import Material, make
from api.worker import run_job
from autorag.errors import ConflictError, ModelError, WorkCancelled
from autorag.jobs import Job
from autorag.model_sets import ModelSetRow
from autorag.ports import SystemClock
from models import files
from models.files import write_models
from store.database import Database
from store.engine import open_database, sqlite_url
from tests.api.learning import CORPORA, record
from tests.api.sets import damage
from tests.models.learned import Imagined, configs, example
from tests.store.backends import new_sqlite

REALLY_SHIPPED = files.SHIPPED
MIXED = np.random.default_rng(0)


@dataclass(frozen=True)
class Home:
    """A home whose only knowledge is what its studies measured."""

    settings: Settings
    engine: Engine
    database: Database

    @property
    def registry(self) -> Registry:
        return Registry(self.database)

    def train(self, **arguments: Any) -> Job:
        """Run a train job to its end."""
        asked = check_arguments("train", arguments)

        def claimed(session: Any) -> Job:
            session.jobs.enqueue("train", None, asked, most_attempts=1)
            found: Job = session.jobs.claim("lease", 600, ("train",))
            return found

        job = self.database.write(claimed)
        run_job(self.settings.database_url, job.id, "lease", self.settings.model_dump(mode="json"))
        return self.database.read(lambda s: s.jobs.get(job.id))

    def result(self, **arguments: Any) -> Mapping[str, Any]:
        job = self.train(**arguments)
        assert job.result is not None, job.error
        return job.result

    def sets(self) -> list[ModelSetRow]:
        return self.database.read(lambda s: s.model_sets.all())

    def production(self) -> ModelSetRow | None:
        return self.database.read(lambda s: s.model_sets.production())


@cache
def little() -> Path:
    """What ships here: models that learned from three other workloads, of other laws."""
    file = Path(mkdtemp()) / "shipped.zip"
    others = tuple(example(Imagined(f"s{i}", i / 2, slower=2.0, noise=0.3)) for i in range(3))
    made = make(Material(others, (), None), 0)
    write_models(made.models, made.about, file)
    return file


@contextmanager
def home_in(folder: Path) -> Iterator[Home]:
    """A home without a table."""
    path = folder / "autorag.db"
    engine = open_database(sqlite_url(path) if path.exists() else new_sqlite(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "OWN_TABLE", folder / "no table")
        patch.setattr(files, "SHIPPED", little())
        yield Home(Settings(home=folder), engine, Database(engine, SystemClock()))
    engine.dispose()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with home_in(tmp_path) as home:
        yield home


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with five workloads and a set that is in production."""
    folder = tmp_path_factory.mktemp("taught")
    with home_in(folder) as home:
        for made in CORPORA:
            record(home.engine, made)
        assert home.result()["state"] == "production"
    return folder


@pytest.fixture
def taught(template: Path, tmp_path: Path) -> Iterator[Home]:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    with home_in(tmp_path) as home:
        yield home


def shuffled() -> list[int]:
    return MIXED.permutation(len(configs())).tolist()


def test_what_studies_measured_makes_a_set_that_answers(home: Home) -> None:
    """The set that ships has seen none of these corpora, and knows less of them."""
    for made in CORPORA:
        record(home.engine, made)
    told = home.result()
    assert told["made"]
    assert (told["workloads"], told["corpora"]) == (5, 5)
    assert told["errors"]["latency_p50_ms"] < 0.05
    (row,) = home.sets()
    models, about = home.registry.read(row)
    assert about == row.about
    assert about["accuracy"]["errors"]["order"].keys() == {made.name for made in CORPORA}
    assert {x.corpus for x in models.quality.landscapes} == {made.name for made in CORPORA}


def test_nothing_is_made_twice_of_the_same(taught: Home) -> None:
    again = taught.result()
    assert (again["made"], again["version"]) == (False, 1)
    assert len(taught.sets()) == 1
    assert taught.result(seed=1)["made"]


def test_a_good_set_takes_over(taught: Home) -> None:
    record(taught.engine, Imagined("new", 0.45), started_at=2_000)
    told = taught.result()
    assert (told["version"], told["state"], told["verdict"]["against"]) == (2, "production", 1)
    assert any("left-out corpora" in r for r in told["verdict"]["reasons"])
    assert any("measured since" in r for r in told["verdict"]["reasons"])
    assert [r.state for r in taught.sets()] == ["production", "archived"]


def test_a_set_may_wait_for_an_operator(taught: Home) -> None:
    record(taught.engine, Imagined("new", 0.45), started_at=2_000)
    told = taught.result(promote=False)
    assert (told["state"], told["verdict"]["better"]) == ("candidate", True)
    row = taught.production()
    assert row is not None
    assert row.version == 1


def test_shuffled_labels_are_not_promoted(taught: Home) -> None:
    """Everything was measured again, and all of it is wrong."""
    for made in CORPORA:
        record(taught.engine, made, shuffled=shuffled(), started_at=2_000)
        record(taught.engine, made, shuffled=shuffled(), started_at=3_000)
    told = taught.result()
    assert (told["state"], told["verdict"]["better"]) == ("candidate", False)
    assert any("left-out corpora" in reason for reason in told["verdict"]["reasons"])
    with pytest.raises(ConflictError, match="is worse"):
        taught.database.write(lambda s: s.model_sets.promote(told["version"]))
    row = taught.production()
    assert row is not None
    assert row.version == 1


def test_more_of_the_same_is_not_worse(taught: Home) -> None:
    """Corpora that were measured again, as well as before: errors are compared on the same rows."""
    for made in CORPORA[:2]:
        record(taught.engine, made, started_at=2_000)
    assert taught.result()["state"] == "production"


def test_what_was_told_must_be_told(taught: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The set that really ships knows intervals and recall; five corpora do not."""
    monkeypatch.setattr(files, "SHIPPED", REALLY_SHIPPED)
    taught.database.write(lambda s: s.model_sets.promote(0))
    told = taught.result(seed=5)
    assert not told["verdict"]["better"]
    reasons = " ".join(told["verdict"]["reasons"])
    assert "no recall of approximate search" in reasons


def test_a_candidate_that_waits_is_promoted_when_asked_again(taught: Home) -> None:
    record(taught.engine, Imagined("new", 0.45), started_at=2_000)
    assert taught.result(promote=False)["state"] == "candidate"
    again = taught.result()
    assert (again["made"], again["version"], again["state"]) == (False, 2, "production")


def test_a_verdict_on_another_set_promotes_nothing(taught: Home) -> None:
    record(taught.engine, Imagined("new", 0.45), started_at=2_000)
    waits = taught.result(promote=False)["version"]
    taught.database.write(lambda s: s.model_sets.promote(0))
    with pytest.raises(ConflictError, match="train again"):
        taught.database.write(lambda s: s.model_sets.promote(waits))
    again = taught.result()
    assert (again["made"], again["version"]) == (True, waits + 1)
    assert again["verdict"]["against"] == 0


def test_too_little_is_said(home: Home) -> None:
    record(home.engine, CORPORA[0])
    job = home.train()
    assert job.state == "dead"
    assert job.error is not None
    assert "two corpora" in job.error
    assert home.sets() == []


def test_a_damaged_file_is_refused_and_trained_again(taught: Home) -> None:
    (row,) = taught.sets()
    damage(taught.settings.home, row.version)
    with pytest.raises(ModelError, match="set of models 1 is not what was written"):
        taught.registry.read(row)
    with pytest.raises(ConflictError, match="set of models 1 cannot be read"):
        taught.registry.check(row)
    _, _, version = taught.registry.answering(row)
    assert version == 0
    told = taught.result()
    assert (told["made"], told["state"]) == (True, "production")
    assert told["verdict"]["against"] == 1


def test_it_can_be_told_to_stop(taught: Home) -> None:
    record(taught.engine, Imagined("new", 0.45), started_at=2_000)

    def stop(doing: str, done: int, total: int) -> None:
        if doing == "leaving out corpora" and done == 2:
            raise WorkCancelled("cancelled")

    with pytest.raises(WorkCancelled):
        learn(taught.database, Path("none"), 0, True, stop, taught.database.write)
    assert len(taught.sets()) == 1
