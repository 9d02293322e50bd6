"""A group of configs in one real child process: as each of them measured alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autorag.errors import InputError
from autorag.space import Config
from autorag.table.sampling import halved
from autorag.table.schema import COLUMNS, QUALITY, RANKING_METRICS
from autorag.workload import pseudo_workload
from collectors.group.measurer import GroupMeasurer, Judged
from collectors.measurer import ProcessMeasurer
from tests.autorag.pipeline.corpus import config, queries, workload

IDS = [q.id for q in queries()]
HALVES = halved(queries(), np.random.default_rng(0))
COLUMN_NAMES = {c.name for c in COLUMNS}
TOO_MANY_CELLS = config(index__kind="ivf_flat", index__nlist=8.0)
CONFIGS = (
    config(),
    config(retrieve__mode="lexical"),
    config(retrieve__mode="hybrid", retrieve__alpha=0.3, rerank__model="bm25"),
    config(retrieve__mode="hybrid", rerank__model="maxsim", rerank__weight=1.0),
    config(index__kind="hnsw", embed__model="lsa"),
    TOO_MANY_CELLS,
)


def told(*_: object) -> None:
    """Progress that nobody reads."""


@pytest.fixture(autouse=True)
def lease_of_this_test(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A lease that no other measurement on this host holds."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def measurer(home: Path) -> GroupMeasurer:
    made = pseudo_workload("w", workload().documents, np.random.default_rng(1), True, 8)
    pseudo = Judged(made, halved(made.queries, np.random.default_rng(2)))
    return GroupMeasurer(Judged(workload(), HALVES), pseudo, IDS[:4], home, home, 0, 10**9)


@pytest.fixture(scope="module")
def judged(measurer: GroupMeasurer) -> dict[str, dict[str, Any]]:
    """Config → row of the quality phase."""
    rows = measurer.measure("quality", CONFIGS, generate=False, progress=told)
    return {r["config"]: r for r in rows}


@pytest.fixture(scope="module")
def timed(measurer: GroupMeasurer, judged: object) -> dict[str, dict[str, Any]]:
    """Config → row of the timing phase."""
    rows = measurer.measure("timing", CONFIGS, generate=False, progress=told)
    return {r["config"]: r for r in rows}


@pytest.mark.parametrize("chosen", CONFIGS[:-1], ids=lambda c: c.hash_hex[:6])
def test_a_row_says_what_measuring_the_config_alone_says(
    chosen: Config,
    judged: dict[str, dict[str, Any]],
    timed: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    alone = ProcessMeasurer(workload(), tmp_path, 0, 10**9).measure(chosen, IDS)
    row = judged[chosen.canonical] | timed[chosen.canonical]
    for metric in (*RANKING_METRICS, "ann_recall_at_10"):
        assert row.get(metric) == pytest.approx(alone.metrics.get(metric)), metric
    contexts = chosen["generate.contexts"]
    assert row[f"context_tokens_{contexts}"] == pytest.approx(alone.metrics["context_tokens"])
    assert row["memory_mb"] == alone.metrics["memory_mb"]
    assert row["chunks"] == alone.conditions["chunks"]
    assert {s for s in alone.stages if f"{s}_p50_ms" in row} == set(alone.stages)


def test_rows_hold_the_tables_columns(
    judged: dict[str, dict[str, Any]], timed: dict[str, dict[str, Any]]
) -> None:
    for chosen in CONFIGS[:-1]:
        quality, times = judged[chosen.canonical], timed[chosen.canonical]
        assert quality.keys() <= QUALITY | {"config"}
        assert {k for k in times if not k.startswith("counter.")} <= COLUMN_NAMES
        assert times.keys() & QUALITY == set()


def test_halves_and_pseudo_queries_are_judged_too(judged: dict[str, dict[str, Any]]) -> None:
    for chosen in CONFIGS[:-1]:
        row = judged[chosen.canonical]
        sizes = {half: len(ids) for half, ids in HALVES.items()}
        whole = sum(row[f"ndcg_at_10.{h}"] * n for h, n in sizes.items()) / len(IDS)
        assert row["ndcg_at_10"] == pytest.approx(whole)
        assert row["pseudo.queries"] == 8
        assert 0 < row["pseudo.ndcg_at_10"] <= 1


def test_every_build_has_its_seconds(judged: dict[str, dict[str, Any]]) -> None:
    lexical, maxsim = (judged[CONFIGS[i].canonical] for i in (1, 3))
    assert {k for k in lexical if k.startswith("build.")} == {"build.chunk_s", "build.lexical_s"}
    for build in ("chunk", "embed", "index", "lexical", "rerank"):
        assert maxsim[f"build.{build}_s"] > 0


def test_a_config_that_cannot_be_built_says_why(
    judged: dict[str, dict[str, Any]], timed: dict[str, dict[str, Any]]
) -> None:
    for rows in (judged, timed):
        row = rows[TOO_MANY_CELLS.canonical]
        assert row.keys() == {"config", "failed"}
        assert "ivf_flat: needs" in row["failed"]


def test_what_was_measured_again_costs_the_same(
    measurer: GroupMeasurer, judged: dict[str, dict[str, Any]]
) -> None:
    again = measurer.measure("quality", CONFIGS[:4], generate=False, progress=told)
    assert {r["config"]: r for r in again} == {
        c.canonical: judged[c.canonical] for c in CONFIGS[:4]
    }


def test_configs_of_two_chunkings_are_no_group(measurer: GroupMeasurer) -> None:
    mixed = [config(), config(chunk__tokens=64)]
    with pytest.raises(InputError, match="this workbench holds the chunks of"):
        measurer.measure("quality", mixed, generate=False, progress=told)
