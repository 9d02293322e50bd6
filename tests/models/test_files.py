"""A set of models as a file: the same again, or refused."""

from __future__ import annotations

import json
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag.errors import ModelError
from models.candidates import Candidates
from models.files import MANIFEST, read_models, write_models
from models.predictor import Predictor, Task
from models.training import ModelSet
from tests.autorag.machines import profile
from tests.models.learned import SPACE, examples
from tests.models.test_recall import KNOBS, features
from tests.models.test_recall import model as recall_model
from tests.models.test_training import trained


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "set.zip"
    write_models(trained(), {"rows": 3}, path)
    return path


def test_what_was_written_predicts_the_same(file: Path) -> None:
    found, about = read_models(file)
    assert about == {"rows": 3}
    assert found.choices == trained().choices
    assert found.ratios.machines == trained().ratios.machines
    pool = Candidates.of(SPACE, seed=0, drawn=50)
    task = Task(examples()[2].features, profile())
    one, other = (Predictor(m, pool).on(task) for m in (trained(), found))
    assert one.quality.value.tolist() == pytest.approx(other.quality.value.tolist(), abs=1e-12)
    rows = one.pool.trainable(one.chunks).nonzero()[0]
    for name in ("latency_p95_ms", "context_tokens", "memory_mb"):
        assert one.metric(name, rows).tolist() == other.metric(name, rows).tolist()
        assert one.interval(name, 1.0) == other.interval(name, 1.0)


def test_recall_is_kept(tmp_path: Path) -> None:
    models = replace(trained(), recall=recall_model())
    write_models(models, {}, tmp_path / "set.zip")
    found, _ = read_models(tmp_path / "set.zip")
    assert found.recall is not None
    knobs, chunks = KNOBS, np.full(len(KNOBS), 5e4)
    one, other = (m.predict(knobs, chunks, features(12.0)) for m in (recall_model(), found.recall))
    assert one.tolist() == other.tolist()
    assert found.recall.residuals.values.tolist() == recall_model().residuals.values.tolist()
    read, _ = read_models(written(trained(), tmp_path / "without.zip"))
    assert read.recall is None


def written(models: ModelSet, file: Path) -> Path:
    write_models(models, {}, file)
    return file


def test_the_same_set_gives_the_same_file(file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    write_models(*read_models(file), again)
    assert again.read_bytes() == file.read_bytes()
    assert list(tmp_path.iterdir()) == [again]


def test_nothing_in_it_is_code(file: Path) -> None:
    names = zipfile.ZipFile(file).namelist()
    assert {Path(n).suffix for n in names} == {".ubj", ".json"}


def test_a_file_that_is_none_is_refused(tmp_path: Path, file: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_models(tmp_path / "nothing.zip")
    for content in (b"", b"PK", b"{}", file.read_bytes()[:-100]):
        bad = tmp_path / "bad.zip"
        bad.write_bytes(content)
        with pytest.raises(ModelError, match=r"bad\.zip"):
            read_models(bad)


def changed(file: Path, to: Path, name: str, content: bytes) -> Path:
    """A copy with another content in one of its files."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(to, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, content if info.filename == name else old.read(info))
    return to


def test_damage_is_seen(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"quality/0\.ubj is damaged"):
        read_models(changed(file, tmp_path / "x.zip", "quality/0.ubj", b"{}"))


@settings(max_examples=200)
@given(st.data())
def test_no_flipped_byte_gets_through_or_crashes(data: st.DataObject) -> None:
    raw = bytearray(whole())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        bad = Path(folder) / "bad.zip"
        bad.write_bytes(raw)
        with suppress(ModelError):  # or it is in a field of the archive that nothing reads
            found, _ = read_models(bad)
            assert found.residuals.values.tolist() == trained().residuals.values.tolist()


@cache
def whole() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.zip"
        write_models(trained(), {}, path)
        return path.read_bytes()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 99),
        ("schema", "other"),
        ("landscapes", None),
        ("landscapes", []),
        ("files", {}),
        ("about", None),
        ("residuals", {"metrics": [], "corpora": [], "values": []}),
    ],
)
def test_a_foreign_manifest_is_refused(file: Path, tmp_path: Path, key: str, value: object) -> None:
    manifest = json.loads(zipfile.ZipFile(file).read(MANIFEST)) | {key: value}
    other = changed(file, tmp_path / "x.zip", MANIFEST, json.dumps(manifest).encode())
    with pytest.raises(ModelError, match=r"x\.zip"):
        read_models(other)
