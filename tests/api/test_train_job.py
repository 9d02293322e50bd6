"""The train job: candidates, verdicts and files, from databases whose laws are known."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from api import training
from api.jobs import check_arguments
from api.model_registry import SWEPT_AFTER_S, Registry
from api.settings import Settings
from api.worker import run_job
from autorag.errors import ConflictError, ModelError
from autorag.jobs import Job
from autorag.model_sets import ModelSetRow
from autorag.ports import SystemClock
from store.database import Database
from store.engine import open_database, sqlite_url
from tests.api.learning import CORPORA, record
from tests.models.learned import Imagined, configs

MIXED = np.random.default_rng(0)


@dataclass(frozen=True)
class Home:
    """A home whose only knowledge is what its studies measured."""

    settings: Settings
    engine: Engine
    database: Database

    @property
    def registry(self) -> Registry:
        return Registry(self.settings.home)

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


@contextmanager
def home_in(folder: Path) -> Iterator[Home]:
    """A home without a table."""
    engine = open_database(sqlite_url(folder / "autorag.db"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "OWN_TABLE", folder / "no table")
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
    assert any("order" in reason for reason in told["verdict"]["reasons"])
    with pytest.raises(ConflictError, match="is worse"):
        taught.database.write(lambda s: s.model_sets.promote(told["version"]))
    row = taught.production()
    assert row is not None
    assert row.version == 1


def test_too_little_is_said(home: Home) -> None:
    record(home.engine, CORPORA[0])
    job = home.train()
    assert job.state == "dead"
    assert job.error is not None
    assert "two corpora" in job.error
    assert home.sets() == []
    assert not home.registry.folder.exists()


def test_a_damaged_or_exchanged_file_is_refused(taught: Home) -> None:
    (row,) = taught.sets()
    file = taught.registry.file(row.sha256)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    with pytest.raises(ModelError, match=str(file)):
        taught.registry.read(row)
    with pytest.raises(ConflictError, match="set of models 1 cannot be read"):
        taught.registry.check(row)
    file.unlink()
    with pytest.raises(ModelError, match=str(file)):
        taught.registry.read(row)
    from models.files import SHIPPED

    file.write_bytes(SHIPPED.read_bytes())
    with pytest.raises(ModelError, match="not the file that was made"):
        taught.registry.read(row)


def test_a_set_that_cannot_be_read_is_replaced(taught: Home) -> None:
    (row,) = taught.sets()
    taught.registry.file(row.sha256).unlink()
    record(taught.engine, Imagined("new", 0.45), started_at=2_000)
    told = taught.result()
    assert (told["state"], told["verdict"]["better"]) == ("production", True)
    assert "cannot be read" in told["verdict"]["reasons"][0]


def test_files_that_no_row_names_go(taught: Home) -> None:
    import os

    old, new = (taught.registry.file(c * 64) for c in "ab")
    old.touch()
    new.touch()
    os.utime(old, (old.stat().st_mtime - 2 * SWEPT_AFTER_S,) * 2)
    record(taught.engine, Imagined("new", 0.45), started_at=2_000)
    taught.result()
    assert not old.exists()
    assert new.exists()
    assert all(taught.registry.file(r.sha256).is_file() for r in taught.sets())
