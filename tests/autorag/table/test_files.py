"""The table's files: what was written is read, in one order, whole or not at all."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autorag.errors import InputError
from autorag.features import FEATURES
from autorag.table.files import (
    KEY,
    one_row_each,
    read_machines,
    read_rows,
    read_table,
    row_features,
    row_profile,
    table_hash,
    write_machine,
    write_table,
)
from autorag.table.schema import COLUMNS, SCHEMA
from tests.autorag.machines import profile
from tests.autorag.table.tables import Made, rows

NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TYPES = {
    "text": polars.String,
    "integer": polars.Int32,
    "number": polars.Float32,
    "flag": polars.Boolean,
}
anywhere = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def row(**values: Any) -> dict[str, Any]:
    key = {"workload": "wiki", "part": "quality", "config": "{}", "repeat": 0}
    return {"schema": SCHEMA, **key, **values}


def key(of: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(of[name] for name in KEY)


@anywhere
@given(st.lists(st.tuples(st.integers(0, 9), st.text(max_size=3), NUMBERS), max_size=6))
def test_what_was_written_is_read_in_the_order_of_its_key(
    tmp_path: Path, given_rows: list[tuple[int, str, float]]
) -> None:
    made = [row(repeat=n, config=c, ndcg_at_10=x, busy=n > 4) for n, c, x in given_rows]
    made = list({key(r): r for r in made}.values()) or [row()]
    write_table(made, tmp_path / "wiki.parquet")
    found = read_rows(tmp_path / "wiki.parquet")
    assert list(map(key, found)) == sorted(map(key, made))
    for before, after in zip(sorted(made, key=key), found, strict=True):
        assert {k: v for k, v in after.items() if v is not None} == before


def test_a_whole_row_is_read_as_float32(tmp_path: Path) -> None:
    made = sorted(rows(Made("wiki", noise=0.1, jitter=0.1)), key=key)
    write_table(made, tmp_path / "wiki.parquet")
    for before, after in zip(made, read_table(tmp_path).rows(named=True), strict=True):
        kept = {k: v for k, v in after.items() if v is not None}
        assert kept.keys() == {k for k, v in before.items() if v is not None}
        for name, value in kept.items():
            same = np.float32(before[name]) if isinstance(value, float) else before[name]
            assert value == same


def test_the_columns_are_those_of_the_schema_and_the_counters(tmp_path: Path) -> None:
    counted = {"counter.wall_s": 2.0, "counter.cycles": None, "of the other version": 3.0}
    write_table([row(**counted), row(repeat=1)], tmp_path / "wiki.parquet")
    frame = read_table(tmp_path)
    wanted = {c.name: TYPES[c.kind] for c in COLUMNS} | {"measured_at": polars.Float64}
    extra = {"counter.cycles": polars.Float32, "counter.wall_s": polars.Float32}
    assert frame.schema == polars.Schema(wanted | extra)
    assert frame["counter.wall_s"].to_list() == [2.0, None]


def test_the_time_of_a_measurement_is_exact(tmp_path: Path) -> None:
    at = 1_790_000_000.123456
    write_table([row(measured_at=at)], tmp_path / "wiki.parquet")
    assert read_table(tmp_path)["measured_at"].to_list() == [at]


# -- several files ---------------------------------------------------------------------------------


def test_files_are_one_table(tmp_path: Path) -> None:
    made = [row(workload=name, repeat=n) for name in ("b", "a", "c") for n in (1, 0)]
    for name in "abc":
        mine = [r | {f"counter.of_{name}": 1.0} for r in made if r["workload"] == name]
        write_table(mine, tmp_path / f"{name}.parquet")
    frame = read_table(tmp_path)
    assert frame.select(KEY).rows() == sorted(map(key, made))
    assert frame["counter.of_b"].to_list() == [None, None, 1.0, 1.0, None, None]


def test_where_no_table_is_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--table .*: no \.parquet file") as refused:
        read_table(tmp_path / "nowhere")
    assert (refused.value.key, refused.value.value) == ("table", str(tmp_path / "nowhere"))


@pytest.mark.parametrize("schema", [SCHEMA + 1, None])
def test_another_schema_is_refused(tmp_path: Path, schema: int | None) -> None:
    write_table([row()], tmp_path / "a.parquet")
    write_table([row(schema=schema), row(repeat=1)], tmp_path / "b.parquet")
    for reading in (lambda: read_table(tmp_path), lambda: read_rows(tmp_path / "b.parquet")):
        with pytest.raises(InputError, match=r"b\.parquet: schema .* this version reads") as error:
            reading()
        assert error.value.key == "schema"
        assert schema in error.value.value


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    polars.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: schema \[\]"):
        read_table(tmp_path)


# -- hash, keys, atomic ----------------------------------------------------------------------------


@anywhere
@given(st.randoms(use_true_random=False))
def test_the_hash_knows_no_order(tmp_path: Path, order: random.Random) -> None:
    frame = _written(tmp_path, list(rows(Made("wiki", noise=0.1)))[:20])
    columns = order.sample(frame.columns, len(frame.columns))
    mixed = frame.sample(fraction=1, shuffle=True, seed=order.randrange(100)).select(columns)
    assert table_hash(mixed) == table_hash(frame)


def test_the_hash_knows_every_value(tmp_path: Path) -> None:
    made = list(rows(Made("wiki")))[:4]
    changes: list[dict[str, Any]] = [{}, {"busy": True}, {"ndcg_at_10": 0.5}, {"repeat": 7}]
    changes += [{"ndcg_at_10": float(np.nextafter(np.float32(0.5), np.float32(1)))}]
    changes += [{"latency_p50_ms": None}, {"counter.wall_s": 1.0}]
    hashes = [table_hash(_written(tmp_path, [made[0] | c, *made[1:]])) for c in changes]
    assert len(set(hashes)) == len(changes)


def test_a_row_that_stands_there_twice_is_told(tmp_path: Path) -> None:
    once = [row(), row(repeat=1), row(part="index"), row(config="[]"), row(workload="b")]
    assert one_row_each(_written(tmp_path, once))
    assert not one_row_each(_written(tmp_path, [*once, row(repeat=1, ndcg_at_10=0.5)]))


def test_a_file_that_cannot_be_finished_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "wiki.parquet"
    write_table([row()], file)
    before = file.read_bytes()

    def dies(path: Any, target: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            write_table([row(), row(repeat=1)], file)
    assert file.read_bytes() == before
    assert len(read_table(tmp_path)) == 1
    write_table([row(), row(repeat=1)], file)
    assert os.listdir(tmp_path) == ["wiki.parquet"]
    assert len(read_table(tmp_path)) == 2


def test_a_folder_is_made_for_it(tmp_path: Path) -> None:
    write_table([row()], tmp_path / "new" / "table" / "a.b.parquet")
    assert os.listdir(tmp_path / "new" / "table") == ["a.b.parquet"]


def test_a_rows_profile_is_its_machine_with_the_figures_that_it_was_measured_under(
    tmp_path: Path,
) -> None:
    machine = profile().identity
    write_machine(machine, tmp_path)
    machines = read_machines(tmp_path)
    assert machines == {machine.fingerprint: machine}
    measured = row(**{"hardware": machine.fingerprint, "hardware.triad_one_gb_s": 12.5})
    found = row_profile(measured, machines)
    assert found.identity == machine
    assert found.value("triad_one_gb_s") == 12.5
    assert found.value("triad_all_gb_s") is None
    with pytest.raises(InputError, match="no machine elsewhere"):
        row_profile(row(hardware="elsewhere"), machines)


def test_a_rows_features_are_those_of_its_workload(tmp_path: Path) -> None:
    values = {f.name: float(i) for i, f in enumerate(FEATURES)}
    made = row(**{f"feature.{name}": value for name, value in values.items()})
    (read,) = _written(tmp_path, [made]).to_dicts()
    assert row_features(read).values() == values


def _written(folder: Path, made: list[dict[str, Any]]) -> polars.DataFrame:
    write_table(made, folder / "wiki.parquet")
    return read_table(folder)
