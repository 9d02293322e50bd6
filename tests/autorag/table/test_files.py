"""The table's files: what is written is read, and only by who understands it."""

from pathlib import Path
from typing import Any

import polars
import pytest

from autorag.errors import InputError
from autorag.table.files import one_row_each, read_rows, read_table, table_hash, write_table
from autorag.table.schema import COLUMNS, SCHEMA


def row(workload: str = "w", config: str = "{}", repeat: int = 0, **values: Any) -> dict[str, Any]:
    identity = {"schema": SCHEMA, "workload": workload, "part": "quality"}
    return {**identity, "config": config, "repeat": repeat, **values}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = [row(repeat=1, ndcg_at_10=0.1, busy=True), row(chunks=7, measured_at=1_700_000_000.25)]
    write_table(rows, tmp_path / "w.parquet")
    first, second = read_rows(tmp_path / "w.parquet")
    assert (first["repeat"], first["chunks"], first["ndcg_at_10"]) == (0, 7, None)
    assert first["measured_at"] == 1_700_000_000.25
    assert (second["repeat"], second["busy"]) == (1, True)
    assert second["ndcg_at_10"] == pytest.approx(0.1, abs=1e-8)


def test_every_column_is_there_and_counters_that_some_row_has(tmp_path: Path) -> None:
    write_table([row(), row(repeat=1, **{"counter.wall_s": 2.0})], tmp_path / "w.parquet")
    columns = read_table(tmp_path).columns
    assert columns == [*(c.name for c in COLUMNS), "counter.wall_s"]


def test_files_are_one_table(tmp_path: Path) -> None:
    write_table([row("b", **{"counter.x": 1.0})], tmp_path / "b.parquet")
    write_table([row("a"), row("a", repeat=1)], tmp_path / "a.parquet")
    frame = read_table(tmp_path)
    assert frame["workload"].to_list() == ["a", "a", "b"]
    assert one_row_each(frame)
    assert not one_row_each(polars.concat([frame, frame]))


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    rows = [row(ndcg_at_10=0.5), row(repeat=1, ndcg_at_10=0.5)]
    write_table(rows, tmp_path / "one" / "w.parquet")
    write_table(rows[::-1], tmp_path / "two" / "other.parquet")
    write_table([rows[0], row(repeat=1, ndcg_at_10=0.6)], tmp_path / "three" / "w.parquet")
    one, two, three = (table_hash(read_table(tmp_path / n)) for n in ("one", "two", "three"))
    assert one == two != three


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "w.parquet"
    write_table([row()], file)
    before = file.read_bytes()
    with pytest.raises((TypeError, polars.exceptions.PolarsError)):
        write_table([row(), row(config=object())], file)  # type: ignore[arg-type]
    assert file.read_bytes() == before


def test_another_schema_is_refused_and_named(tmp_path: Path) -> None:
    polars.DataFrame({"schema": [SCHEMA + 1]}).write_parquet(tmp_path / "w.parquet")
    with pytest.raises(InputError, match=rf"w.parquet: schema \[{SCHEMA + 1}\].* reads {SCHEMA}"):
        read_table(tmp_path)


def test_no_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.parquet file"):
        read_table(tmp_path)
