"""Measuring in a real child process: results, threads, deadlines, deaths, errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autorag.errors import MeasurementCancelled, MeasurementError, WorkCancelled
from autorag.ports import LOST, SEEN
from autorag.racing import Race
from autorag.space import Config
from collectors.counters import METRICS
from collectors.measurer import ProcessMeasurer
from collectors.trial_job import TrialJob, measurement_from_json, measurement_to_json
from tests.autorag.pipeline.corpus import config, queries, workload

IDS = [q.id for q in queries()]
LEXICAL: dict[str, Any] = {"retrieve__mode": "lexical"}

PARENT = """
import sys
from pathlib import Path
from collectors.counters import METRICS
from collectors.measurer import ProcessMeasurer
from tests.autorag.pipeline.corpus import config, queries, workload
measurer = ProcessMeasurer(workload(), Path(sys.argv[1]), 0, 10**9)
ids = [q.id for q in queries()] * 50_000
measurer.measure(config(), ids, progress=lambda *row: print(row, flush=True))
"""


@pytest.fixture(autouse=True)
def lease_of_this_test(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A lease that no other measurement on this host holds."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture(scope="module")
def measurer(tmp_path_factory: pytest.TempPathFactory) -> ProcessMeasurer:
    return ProcessMeasurer(workload(), tmp_path_factory.mktemp("home"), 0, 10**9)


def children() -> set[int]:
    """Measuring processes below this one."""
    return {p for p in descendants(os.getpid()) if b"collectors.trial_process" in command(p)}


def descendants(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found += [int(entry.parent.name), *descendants(int(entry.parent.name))]
    return found


def command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return False


def test_a_measurement_has_its_metrics(measurer: ProcessMeasurer) -> None:
    measured = measurer.measure(config(), IDS)
    assert measured.metrics["ndcg_at_10"] > 0.9
    assert measured.metrics["ann_recall_at_10"] == 1.0
    assert 0 < measured.metrics["latency_p50_ms"] <= measured.metrics["latency_p95_ms"]
    assert measured.metrics["memory_mb"] > 20
    assert measured.metrics["rss_peak_mb"] > measured.metrics["memory_mb"]
    assert measured.metrics["build_s"] == pytest.approx(sum(measured.build_s.values()))
    assert set(measured.stages) == {"embed", "retrieve"}
    assert [q.query for q in measured.queries] == IDS
    assert measured.conditions["chunks"] == 40
    assert measured.conditions["passes"] in (1, 2, 3)


def test_a_measurement_has_the_counters_of_its_pass(measurer: ProcessMeasurer) -> None:
    measured = measurer.measure(config(), IDS * 20)
    counters = measured.conditions["counters"]
    assert tuple(counters) == METRICS
    per_query_s = sum(sum(q.stage_ms.values()) for q in measured.queries) / 1e3
    assert per_query_s <= counters["wall_s"] < 10 * per_query_s
    assert 0.3 * per_query_s < counters["cpu_user_s"] + counters["cpu_system_s"]
    assert 0 < counters["rss_mb"] <= counters["rss_peak_mb"] + 1
    assert counters["rss_peak_mb"] <= measured.metrics["rss_peak_mb"] + 1
    pressure = counters["psi_cpu_some_us"] / (counters["wall_s"] * 1e6)
    assert measured.conditions["cpu_pressure"] == pytest.approx(min(1, pressure))


def test_what_is_built_is_reused_by_the_next(measurer: ProcessMeasurer) -> None:
    measurer.measure(config(chunk__tokens=128), IDS[:1])
    again = measurer.measure(config(chunk__tokens=128, retrieve__k=5), IDS[:1])
    assert list(again.build_s) in ([], ["parse"])
    assert {"chunk", "embed", "index"} <= set(again.reused)


def test_queries_are_asked_in_the_order_given(measurer: ProcessMeasurer) -> None:
    some = [IDS[7], IDS[2], IDS[5]]
    assert [q.query for q in measurer.measure(config(**LEXICAL), some).queries] == some


def test_a_measurement_survives_json(measurer: ProcessMeasurer) -> None:
    measured = measurer.measure(config(**LEXICAL), IDS[:3])
    assert measurement_from_json(measurement_to_json(measured)) == measured


def test_progress_is_passed_on(measurer: ProcessMeasurer) -> None:
    told: list[tuple[str, int, int]] = []
    measurer.measure(config(**LEXICAL), IDS, progress=lambda *row: told.append(row))
    assert ("chunk", 0, 40) in told
    assert ("query", 0, 10) in told


@pytest.mark.parametrize("threads", [1, 2])
def test_the_child_has_the_threads_of_the_config(measurer: ProcessMeasurer, threads: int) -> None:
    seen: list[dict[str, str]] = []

    def look(stage: str, done: int, total: int) -> None:
        for child in children():
            rows = Path(f"/proc/{child}/environ").read_bytes().decode().split("\0")
            seen.append(dict(row.split("=", 1) for row in rows if "=" in row))

    chosen = config(**LEXICAL, threads__retrieve=threads)
    measurer.measure(chosen, IDS * 100, progress=look)
    assert seen
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        assert seen[0][name] == str(threads)
    assert seen[0]["HF_HUB_OFFLINE"] == "1"


def test_past_the_deadline_the_child_is_gone(measurer: ProcessMeasurer) -> None:
    started = time.monotonic()
    with pytest.raises(MeasurementCancelled, match="deadline"):
        measurer.measure(config(**LEXICAL), IDS * 50_000, deadline=started + 2.5)
    assert 2.4 < time.monotonic() - started < 6
    assert not children()


def test_a_deadline_in_the_past_starts_nothing_that_lasts(measurer: ProcessMeasurer) -> None:
    with pytest.raises(MeasurementCancelled):
        measurer.measure(config(**LEXICAL), IDS, deadline=time.monotonic() - 1)
    assert not children()


def test_a_cancelled_measurement_kills_the_child(tmp_path: Path) -> None:
    asked: list[str] = []
    enough = False

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal enough
        asked.append(stage)
        enough = stage == "query"

    cancelled = ProcessMeasurer(workload(), tmp_path, 0, 10**9, cancelled=lambda: enough)
    with pytest.raises(WorkCancelled):
        cancelled.measure(config(**LEXICAL), IDS * 50_000, progress=progress)
    assert asked[-1] == "query"
    assert not children()


def test_what_is_cancelled_already_starts_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    cancelled = ProcessMeasurer(workload(), tmp_path, 0, 10**9, cancelled=lambda: True)
    with pytest.raises(WorkCancelled):
        cancelled.measure(config(), IDS, progress=lambda stage, *_: told.append(stage))
    assert told == []


def test_an_interrupted_parent_kills_the_child(measurer: ProcessMeasurer) -> None:
    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 2.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            measurer.measure(config(**LEXICAL), IDS * 50_000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not children()


def test_the_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        (child,) = children()
    finally:
        parent.kill()
        parent.communicate()
    assert eventually(lambda: b"collectors.trial_process" not in command(child))


def test_the_error_of_a_config_is_told(measurer: ProcessMeasurer) -> None:
    too_many_cells = config(index__kind="ivf_flat", index__nlist=4.0)
    with pytest.raises(
        MeasurementError, match=r"^index\.kind = ivf_flat: needs .* distinct chunks"
    ):
        measurer.measure(too_many_cells, IDS)


def test_a_crash_tells_the_end_of_its_standard_error(measurer: ProcessMeasurer) -> None:
    with pytest.raises(MeasurementError, match=r"(?s)ended with 1.*KeyError: 'no such query'"):
        measurer.measure(config(**LEXICAL), ["no such query"])


def test_a_killed_child_is_an_error_and_the_next_one_works(measurer: ProcessMeasurer) -> None:
    def kill(stage: str, done: int, total: int) -> None:
        for child in children():
            os.kill(child, signal.SIGKILL)

    with pytest.raises(MeasurementError, match="ended with -9"):
        measurer.measure(config(**LEXICAL), IDS * 100, progress=kill)
    assert measurer.measure(config(**LEXICAL), IDS).metrics["ndcg_at_10"] > 0.8


def aged(path: Path, days: float) -> Path:
    """A path that was last written so long ago."""
    past = time.time() - days * 86_400
    os.utime(path, (past, past))
    return path


def test_what_nobody_used_for_long_is_deleted_when_a_measurer_starts(tmp_path: Path) -> None:
    workloads, temporary = tmp_path / "workloads", tmp_path / "tmp"
    for folder in (workloads, temporary):
        folder.mkdir()
        for name in ("old", "new"):
            (folder / f"{name}.json").touch()
            (folder / name).mkdir()
            (folder / name / "job.json").touch()
    mine = workloads / f"{workload().hash_hex}.json"
    ProcessMeasurer(workload(), tmp_path, 0, 10**9)
    for name in ("old.json", "old", mine.name):
        aged(workloads / name, 2.1)
    for name in ("old.json", "old"):
        aged(temporary / name, 1.1)
    ProcessMeasurer(workload(), tmp_path, 0, 10**9)
    assert {p.name for p in workloads.iterdir()} == {"new", "new.json", mine.name}
    assert {p.name for p in temporary.iterdir()} == {"new", "new.json"}


def test_a_workload_in_use_is_kept_and_one_that_was_deleted_comes_back(tmp_path: Path) -> None:
    measurer = ProcessMeasurer(workload(), tmp_path, 0, 10**9)
    (snapshot,) = (tmp_path / "workloads").iterdir()
    aged(snapshot, 3)
    measurer.measure(config(**LEXICAL), IDS[:1])
    ProcessMeasurer(workload(), tmp_path, 0, 10**9)
    assert snapshot.exists()
    snapshot.unlink()
    assert measurer.measure(config(**LEXICAL), IDS[:1]).metrics


def test_the_files_of_a_trial_are_under_the_home(tmp_path: Path) -> None:
    seen: list[str] = []

    def look(stage: str, done: int, total: int) -> None:
        seen.extend(p.name for p in (tmp_path / "tmp").glob("*/job.json"))

    measurer = ProcessMeasurer(workload(), tmp_path, 0, 10**9)
    measurer.measure(config(**LEXICAL), IDS, progress=look)
    assert "job.json" in seen
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    chosen = config(index__kind="hnsw", retrieve__mode="hybrid")
    job = TrialJob("w.json", chosen.to_json(), IDS, "artifacts", 10**9, "models", 3, False, True)
    (tmp_path / "job.json").write_text(json.dumps(job.to_json()))
    read = TrialJob.read(tmp_path / "job.json")
    assert read == job
    assert isinstance(read.to_config(), Config)
    assert read.to_config() == chosen


def test_a_race_that_is_lost_is_told_with_what_was_seen(measurer: ProcessMeasurer) -> None:
    many = IDS * 20
    race = Race("ndcg_at_10", {}, 1e-6)
    found = measurer.measure(config(**LEXICAL), many, race=race)
    assert "1e-06 ms" in found.conditions[LOST]
    assert found.conditions[SEEN] == len(found.queries) / len(many) < 1
    assert 0 <= found.metrics["ndcg_at_10"] <= 1
    assert LOST not in measurer.measure(config(**LEXICAL), IDS, race=race).conditions
