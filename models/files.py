"""A set of models as one file: a ZIP archive of XGBoost's own model files and ``manifest.json``.

The manifest says what the models are for (the hash of the columns they read), what they learned
from, what they were worth, and the SHA-256 of every other file in the archive. Nothing is a pickle:
reading a file runs no code of it. A file that is damaged, foreign, of another schema or larger than
models are is refused. The hashes show damage, not who made the file: trees are read by XGBoost's
parser, so sets of strangers are not for production.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from autorag.errors import InputError, ModelError
from autorag.features import FEATURES, schema_address
from autorag.hashing import address
from models import recall
from models.analytic.columns import Floats
from models.boosting import Trees
from models.calibration import Residuals
from models.encoding import CHOICE_FLAGS, KNOB_COLUMNS
from models.hosts import HostEffect
from models.landscapes import Landscape
from models.quality import QualityModel
from models.ratios import COLUMNS, RatioModel
from models.recall import RecallModel
from models.training import HEADS, PREDICTED, ModelSet

SHIPPED = Path(__file__).with_name("shipped.zip")
"""The set that comes with the project, trained on the measured table in ``benchmarks/table``."""

FORMAT = 3
MANIFEST = "manifest.json"
RECALL = "recall.ubj"
MOST_BYTES = 256_000_000
"""Of a file, and of what it unpacks to."""

SCHEMA = address([KNOB_COLUMNS, COLUMNS, CHOICE_FLAGS, recall.COLUMNS, schema_address()])[:16]
"""Identifies the columns that models read, their order and what the features mean."""

_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError),
    *(KeyError, ValueError, TypeError, AttributeError, IndexError, ArithmeticError),
)
"""What reading something else than a set of models raises."""


def write_models(models: ModelSet, about: Mapping[str, Any], file: Path) -> str:
    """Write a set of models; atomic. The same set and ``about`` give the same bytes.

    Args:
        about: JSON that is kept with it: from what, how good.

    Returns:
        SHA-256 of the file, hex.

    Raises:
        ModelError: the set is larger than would be read.
    """
    packed = pack_models(models, about)
    draft = file.with_name(f".{file.name}.draft")
    draft.write_bytes(packed)
    draft.replace(file)
    return hashlib.sha256(packed).hexdigest()


def check_writable(file: Path) -> None:
    """
    Raises:
        InputError: no file can be written there.
    """
    if file.is_dir() or not file.name or not file.absolute().parent.is_dir():
        raise InputError(
            f"{file}: not a file in a folder that is there", key="out", value=str(file)
        )


def read_models(file: Path) -> tuple[ModelSet, dict[str, Any]]:
    """The set of models of a file, and what was kept with it.

    Raises:
        ModelError: it is not there, damaged, foreign, or of another schema.
    """
    return unpack_models(_raw(file), str(file))


def read_about(file: Path) -> dict[str, Any]:
    """What was kept with the set of models of a file; its models are not looked at.

    Raises:
        ModelError: see :func:`read_models`.
    """
    with _reading(str(file)), zipfile.ZipFile(io.BytesIO(_raw(file))) as archive:
        return dict(_manifest_of(archive)["about"])


def pack_models(models: ModelSet, about: Mapping[str, Any]) -> bytes:
    """A set of models as the bytes of its file.

    Raises:
        ModelError: the set is larger than would be read.
    """
    files = {
        **{f"quality/{i}.ubj": x.trees for i, x in enumerate(models.quality.landscapes)},
        **{f"ratios/{target}.ubj": trees for target, trees in models.ratios.trees.items()},
        **({RECALL: models.recall.trees} if models.recall else {}),
    }
    raw = {name: trees.to_bytes() for name, trees in files.items()}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in raw.items()}
    text = json.dumps(
        _manifest(models) | {"about": dict(about), "files": sums}, indent=1, allow_nan=False
    )
    if len(text) + sum(map(len, raw.values())) > MOST_BYTES:
        raise ModelError(f"the set has more than {MOST_BYTES} bytes", key="model")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in [(MANIFEST, text.encode()), *raw.items()]:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unpack_models(raw: bytes, name: str) -> tuple[ModelSet, dict[str, Any]]:
    """The set of models of the bytes of a file, and what was kept with it.

    Args:
        name: what messages call it.

    Raises:
        ModelError: it is damaged, foreign, or of another schema.
    """
    with _reading(name), zipfile.ZipFile(io.BytesIO(raw)) as archive:
        if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
            raise ModelError(f"unpacks to more than {MOST_BYTES} bytes")
        manifest = _manifest_of(archive)
        files = {inside: archive.read(inside) for inside in manifest["files"]}
        for inside, content in files.items():
            if hashlib.sha256(content).hexdigest() != manifest["files"][inside]:
                raise ModelError(f"{inside} is damaged")
        return _models(manifest, files), dict(manifest["about"])


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Whatever reading raises becomes a ``ModelError`` that names what was read."""
    try:
        yield
    except ModelError as error:
        raise _refused(name, str(error)) from error
    except _BROKEN as error:
        raise _refused(name, f"is no set of models of this program ({error})") from error


def _raw(file: Path) -> bytes:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise _refused(str(file), f"has more than {MOST_BYTES} bytes")
        return file.read_bytes()
    except OSError as error:
        raise _refused(str(file), "cannot be read") from error


def _manifest_of(archive: zipfile.ZipFile) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
    if manifest["format"] != FORMAT or manifest["schema"] != SCHEMA:
        found = f"format {manifest['format']}, schema {manifest['schema']}"
        raise ModelError(f"{found}; this version reads {FORMAT}, {SCHEMA}: train again")
    return manifest


def _manifest(models: ModelSet) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "machines": sorted(models.ratios.machines),
        "hosts": {
            machine: {t: _listed(c) for t, c in sorted(effect.coefficients.items())}
            for machine, effect in sorted(models.ratios.hosts.items())
        },
        "choices": sorted(models.choices),
        "landscapes": [
            {
                "workload": x.workload,
                "corpus": x.corpus,
                "worst": x.worst,
                "best": x.best,
                "features": _listed(x.features),
            }
            for x in models.quality.landscapes
        ],
        "residuals": _residual_row(models.residuals),
        "recall": None if models.recall is None else _residual_row(models.recall.residuals),
    }


def _residual_row(residuals: Residuals) -> dict[str, Any]:
    return {
        "metrics": list(residuals.metrics),
        "corpora": residuals.corpora.tolist(),
        "values": [_listed(row) for row in residuals.values],
    }


def _models(manifest: Mapping[str, Any], raw: Mapping[str, bytes]) -> ModelSet:
    """
    Raises:
        ModelError, or one of ``_BROKEN``: the manifest is another one.
    """
    landscapes = tuple(
        _landscape(row, _trees(raw[f"quality/{i}.ubj"], len(KNOB_COLUMNS)))
        for i, row in enumerate(manifest["landscapes"])
    )
    if not landscapes:
        raise ModelError("it knows no workload")
    return ModelSet(
        QualityModel(landscapes),
        RatioModel(
            {t: _trees(raw[f"ratios/{t}.ubj"], len(COLUMNS)) for t in HEADS},
            frozenset(manifest["machines"]),
            {machine: _effect(row) for machine, row in manifest["hosts"].items()},
        ),
        _residuals(manifest["residuals"], PREDICTED),
        _recall(manifest["recall"], raw),
        frozenset(manifest["choices"]),
    )


def _effect(row: Mapping[str, Any]) -> HostEffect:
    return HostEffect({t: _array(c, 1 + len(CHOICE_FLAGS)) for t, c in row.items()})


def _landscape(row: Mapping[str, Any], trees: Trees) -> Landscape:
    features = _array(row["features"], len(FEATURES)).astype(np.float32)
    names = str(row["workload"]), str(row["corpus"])
    return Landscape(*names, features, float(row["worst"]), float(row["best"]), trees)


def _recall(row: Mapping[str, Any] | None, raw: Mapping[str, bytes]) -> RecallModel | None:
    if row is None:
        return None
    trees = _trees(raw[RECALL], len(recall.COLUMNS))
    return RecallModel(trees, _residuals(row, (recall.ANN_RECALL,)))


def _residuals(row: Mapping[str, Any], metrics: tuple[str, ...]) -> Residuals:
    values = np.array([_array(one, len(metrics)) for one in row["values"]])
    corpora = np.array(row["corpora"], dtype=np.intp)
    if tuple(row["metrics"]) != metrics or corpora.shape != (len(values),):
        raise ModelError("its residuals are of other metrics")
    return Residuals(metrics, values, corpora)


def _trees(raw: bytes, width: int) -> Trees:
    trees = Trees.from_bytes(raw)
    if trees.width != width:
        raise ModelError(f"a model in it has {trees.width} columns, not {width}")
    return trees


def _listed(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(v) else v for v in np.asarray(values, dtype=np.float64).tolist()]


def _array(values: list[float | None], length: int) -> Floats:
    found = np.array([math.nan if v is None else v for v in values], dtype=np.float64)
    if found.shape != (length,):
        raise ModelError(f"{found.size} numbers, not {length}")
    return found


def _refused(name: str, why: str) -> ModelError:
    return ModelError(f"{name}: {why}", key="model", value=name)
