"""Reading and writing the measured table's files: one a workload as Parquet, and one as JSON for
every machine that times were taken on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag.errors import InputError
from autorag.features import FEATURES, GROUPS, WorkloadFeatures
from autorag.hardware import FIGURES, HardwareProfile, Identity, Rate
from autorag.hashing import bytes_address
from autorag.table.schema import COLUMNS, SCHEMA, Kind

if TYPE_CHECKING:
    import polars

COUNTER = "counter."
FIGURE = "hardware."
MACHINES = "machines"
KEY = ("workload", "part", "config", "repeat")
"""What a row is one of."""


def read_table(folder: Path) -> polars.DataFrame:
    """All files of a table as one frame, ordered by ``KEY``.

    Raises:
        InputError: no table there, or one of another schema.
    """
    import polars

    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise InputError(f"--table {folder}: no .parquet file", key="table", value=str(folder))
    return polars.concat([_read(file) for file in files], how="diagonal").sort(KEY)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of one file.

    Raises:
        InputError: it is of another schema.
    """
    return _read(file).to_dicts()


def write_table(rows: Iterable[Mapping[str, Any]], file: Path) -> None:
    """Write the rows of one workload; atomic.

    Numbers are kept as float32. Counters that no row has are left out.
    """
    import polars

    listed = list(rows)
    counters = sorted({name for row in listed for name in row if name.startswith(COUNTER)})
    types = _types(polars)
    schema = {c.name: types[c.kind] for c in COLUMNS} | dict.fromkeys(counters, polars.Float32)
    schema["measured_at"] = polars.Float64
    frame = polars.DataFrame(listed, schema=schema, strict=False).sort(KEY)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    frame.write_parquet(draft, compression="zstd", compression_level=15)
    draft.replace(file)


def write_machine(machine: Identity, folder: Path) -> None:
    """Keep what a machine is beside the table; atomic. One that is there already is kept."""
    file = folder / MACHINES / f"{machine.fingerprint}.json"
    if file.is_file():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(machine), indent=1) + "\n", encoding="utf-8")
    draft.replace(file)


def read_machines(folder: Path) -> dict[str, Identity]:
    """Fingerprint → machine, of all machines of a table."""
    files = sorted(folder.glob(f"{MACHINES}/*.json"))
    texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
    return {name: Identity.from_json(json.loads(text)) for name, text in texts.items()}


def row_profile(row: Mapping[str, Any], machines: Mapping[str, Identity]) -> HardwareProfile:
    """The hardware profile that a row was measured under.

    Raises:
        InputError: its machine is not beside the table.
    """
    machine = machines.get(row["hardware"])
    if machine is None:
        raise InputError(
            f"the table has no machine {row['hardware']}", key="hardware", value=row["hardware"]
        )
    known = {name: row.get(f"{FIGURE}{name}") for name in FIGURES}
    rates = {n: Rate(v, None, FIGURES[n].unit, 1) for n, v in known.items() if v is not None}
    return HardwareProfile(machine, rates)


def row_features(row: Mapping[str, Any]) -> WorkloadFeatures:
    """The workload features that a row has."""
    values: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for feature in FEATURES:
        values[feature.group][feature.name] = row[f"feature.{feature.name}"]
    return WorkloadFeatures(**{name: group(**values[name]) for name, group in GROUPS.items()})


def table_hash(frame: polars.DataFrame) -> str:
    """Identifies the content, whatever the files and the order of its columns are."""
    import io

    ordered = frame.sort(KEY).select(sorted(frame.columns))
    buffer = io.StringIO()
    ordered.write_csv(buffer)
    return bytes_address(buffer.getvalue().encode())


def one_row_each(frame: polars.DataFrame) -> bool:
    """Whether no (workload, part, config, repeat) stands there twice."""
    return not bool(frame.select(KEY).is_duplicated().any())


def _types(polars: Any) -> dict[Kind, Any]:
    return {
        "text": polars.String,
        "integer": polars.Int32,
        "number": polars.Float32,
        "flag": polars.Boolean,
    }


def _read(file: Path) -> polars.DataFrame:
    import polars

    frame = polars.read_parquet(file)
    found = frame["schema"].unique().sort().to_list() if "schema" in frame.columns else []
    if found != [SCHEMA]:
        raise InputError(
            f"{file}: schema {found}, this version reads {SCHEMA}", key="schema", value=found
        )
    return frame
