"""A study is stored and printed with what its workload is; the features come before any trial."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from api.wiring import load_workload, make_parts, workload_features
from autorag.documents import document_to_json
from autorag.features import WorkloadFeatures
from tests.api.command import Command, write_lines
from tests.autorag.pipeline.corpus import documents


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty documents, two of the same text, with two questions."""
    made = tmp_path_factory.mktemp("sixty")
    rows = [document_to_json(d) for d in documents()]
    more = [{**r, "id": f"{r['id']}-2", "text": f"{r['text']} Once more."} for r in rows[:19]]
    write_lines(made / "corpus.jsonl", [*rows, *more, {**rows[0], "id": "copy"}])
    asked = [
        {"id": "a", "question": "What do hedgehogs eat?", "relevant": ["hedgehog"]},
        {"id": "b", "question": "How many keys has a piano?", "relevant": ["piano"]},
        {"id": "c", "question": "Which knot does not slip?", "relevant": ["knots"]},
    ]
    write_lines(made / "queries.jsonl", asked)
    return made


def features_of(folder: Path, home: Path, seed: int = 0) -> WorkloadFeatures:
    parts = make_parts(Settings(home=home, artifacts_gb=1), seed)
    return workload_features(load_workload(folder, None, parts), parts)


def home_with(models: Path, home: Path) -> Path:
    home.mkdir()
    (home / "models").symlink_to(models, target_is_directory=True)
    return home


@pytest.fixture(scope="module")
def tuned(used_autorag: Command, folder: Path) -> dict[str, Any]:
    command = ("tune", "--docs", folder, "--trials", 1, "--seed", 3, "--json")
    report = used_autorag.home / "report.html"
    return used_autorag.run(*command, "--report", report).json()


def test_tuning_prints_the_features(tuned: dict[str, Any]) -> None:
    found = WorkloadFeatures.from_json(tuned["workload"]["features"])
    assert found.reasons == {"traffic": "no requests were observed"}
    assert found.corpus.documents == 60
    assert found.corpus.duplicate_share == pytest.approx(1 / 60)
    assert found.queries.queries == 3
    assert found.embedding.lid is not None
    assert found.embedding.query_shift is not None


def test_they_are_stored_with_the_study(used_autorag: Command, tuned: dict[str, Any]) -> None:
    with sqlite3.connect(used_autorag.home / "autorag.db") as database:
        ((stored,),) = database.execute("SELECT workload FROM studies").fetchall()
    assert json.loads(stored) == tuned["workload"]


def test_trials_do_not_change_them(
    tuned: dict[str, Any], folder: Path, models: Path, used_autorag: Command, tmp_path: Path
) -> None:
    """Where one config was measured after the other, and where nothing ever was: the same."""
    before = features_of(folder, home_with(models, tmp_path / "home"), seed=3)
    after = features_of(folder, used_autorag.home, seed=3)
    assert before == after
    assert before.to_json() == tuned["workload"]["features"]


def test_before_the_embedder_is_prepared_its_features_are_unknown(
    folder: Path, tmp_path: Path
) -> None:
    found = features_of(folder, tmp_path / "home")
    assert found.reasons["embedding"] == "the static embedder is not on this machine"
    assert found.embedding.lid is None
    assert found.corpus.documents == 60
