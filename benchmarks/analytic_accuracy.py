"""How good the physics alone is: the analytic models against measurements.

    python -m benchmarks.analytic_accuracy [--table FOLDER [--out docs]]

Without a table, configs are measured on made-up corpora now (``analytic_made_up``; some twenty
minutes on one core), and predicted from this machine's hardware profile. With a table, its rows
are judged, each predicted from the workload features and the profile's figures that stand in it;
no constant of the models was fitted to them.

Predictions are made twice: from features alone, and with the number of chunks and their mean length
known, as they are once a chunking was made. Times are compared with medians over queries (p50);
the time to the first token is compared with its p95, the only one that a table has. Noise is the
median distance of two passes, or two repeats on one machine, over one config, relative to their
mean: what no model can be better than. The profile is of a calm machine, so stages are shown twice:
in all conditions, and where a task waited for a CPU in less than a tenth of the time.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import polars

from api.settings import Settings
from api.wiring import hardware_profile, make_parts
from autorag.hardware import HardwareProfile
from autorag.table.files import read_machines, read_table, row_features, row_profile
from autorag.table.noise import noise_floor
from autorag.table.schema import BUILDS
from benchmarks.analytic_report import Point, compared
from benchmarks.lessons.page import PAGE, fill
from models.analytic.knobs import Knobs
from models.analytic.shape import WorkloadShape
from models.analytic.stages import STAGES, AnalyticModel

CALM = 0.1
STAGES_TITLE = "Stages and total, chunks known (ms)"
PARTS_TITLE = "Stages by what runs, chunks known (ms)"
MEMORY_TITLE = "Memory (MB)"
WORK_TITLE = "Work counts, chunks known"
CHUNKS_TITLE = "Chunks, from features alone"
ON_THE_PAGE = (STAGES_TITLE, PARTS_TITLE, MEMORY_TITLE, WORK_TITLE, CHUNKS_TITLE)
LEAST_BUILD_S = 0.2
"""Builds that took less say more about starting than about work."""

Row = Mapping[str, Any]


def main() -> None:
    arguments = parse_arguments()
    if arguments.table is None:
        os.environ["OMP_NUM_THREADS"] = "1"
        judge_made_up()
        return
    found = judge_table(arguments.table)
    if arguments.out is not None:
        some = [f"**{title}**\n\n{found[title]}" for title in ON_THE_PAGE]
        fill(arguments.out / PAGE, {"physics": "\n\n".join(some)})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, help="judge the rows of this measured table")
    parser.add_argument("--out", type=Path, help="folder of the page that is filled in")
    arguments = parser.parse_args()
    if arguments.out is not None and arguments.table is None:
        parser.error("--out needs --table: what is measured now is not on the page")
    return arguments


def judge_made_up() -> None:
    """Measure and judge now."""
    from benchmarks.analytic_made_up import CASES, SEED, measured_cases
    from collectors.prepare import prepare_models

    settings = Settings.from_environment()
    parts = make_parts(settings, SEED)
    prepare_models(settings.models)
    profile = hardware_profile(parts)
    rows = []
    for found in measured_cases(settings):
        calm = found.passes[0]
        row: dict[str, Any] = {
            "workload": found.corpus,
            "part": "made up",
            "config": found.config.to_json(),
            "features": found.features,
            "chunks": found.chunks,
            "chunk_tokens": found.chunk_tokens,
            "latency_p50_ms": calm.latency_ms,
            "memory_mb": found.memory_mb,
            "cpu_pressure": calm.pressure,
            "noise": abs(float(np.log(found.passes[1].latency_ms / calm.latency_ms))),
        }
        row |= {f"{stage}_p50_ms": ms for stage, ms in calm.stage_ms.items()}
        row |= {f"build.{build}_s": s for build, s in found.build_s.items()}
        rows.append(row)
    print(
        f"made-up corpora, seed {SEED}, {len(CASES)} corpora, {len(rows)} configs; "
        f"pressure {fmean(r['cpu_pressure'] for r in rows):.2f} on average; "
        f"noise between passes {median(r['noise'] for r in rows):.1%}"
    )
    judge(rows, lambda _: profile)


def judge_table(folder: Path) -> dict[str, str]:
    """Judge the rows of a measured table that have times."""
    table, machines = read_table(folder), read_machines(folder)
    rows = [
        {**row, "config": json.loads(row["config"]), "features": row_features(row)}
        for row in table.to_dicts()
        if row["latency_p50_ms"] is not None
    ]
    workloads = {r["workload"] for r in rows}
    print(f"{folder.name}: {len(rows)} rows with times, {len(workloads)} workloads")
    print(f"{_pressure(rows)}; {_noise(table)}")
    return judge(rows, lambda row: row_profile(row, machines))


def judge(rows: list[dict[str, Any]], profile: Callable[[Row], HardwareProfile]) -> dict[str, str]:
    """Print every comparison; returns title → table."""
    for row in rows:
        shape = WorkloadShape.from_features(row["features"])
        known = replace(shape, chunks=float(row["chunks"]), chunk_tokens=row["chunk_tokens"])
        model = AnalyticModel(profile(row), generate=row["part"] == "generation")
        knobs = Knobs.of([row["config"]])
        row["blind"], row["seeing"] = (model.predict(knobs, s) for s in (shape, known))
        row["built"] = model.build_s(knobs, known)
    calm = [row for row in rows if _calm(row)]
    found: dict[str, Iterable[Point]] = {
        STAGES_TITLE: points_of_stages(rows, "seeing"),
        f"The same, calm: {len(calm)} of {len(rows)} rows": points_of_stages(calm, "seeing"),
        "Total, from features alone (ms)": points_of_totals(rows, "blind"),
        PARTS_TITLE: points_of_parts(rows),
        "The same, calm": points_of_parts(calm),
        "Total by workload, chunks known (ms)": points_by_workload(rows),
        MEMORY_TITLE: points_of_memory(rows),
        "Builds, chunks known (s)": points_of_builds(rows),
        WORK_TITLE: points_of_work(rows),
        CHUNKS_TITLE: points_of_chunks(rows),
    }
    tables = {}
    for title, points in found.items():
        tables[title] = compared(points)
        print(f"\n## {title}\n\n{tables[title]}", flush=True)
    return tables


def _calm(row: Row) -> bool:
    return (row.get("cpu_pressure") or 0.0) < CALM and not row.get("slow_share")


def points_of_stages(rows: Iterable[Row], how: str) -> Iterator[Point]:
    for row in rows:
        for stage in STAGES:
            measured = row.get(f"{stage}_p50_ms")
            if measured is not None:
                yield Point(stage, measured, row[how].stage_ms[stage].item())
        predicted = row[how].ttft_ms.item()
        if row.get("ttft_p95_ms") is not None and not np.isnan(predicted):
            yield Point("first token (p95)", row["ttft_p95_ms"], predicted)
    yield from points_of_totals(rows, how)


def points_of_totals(rows: Iterable[Row], how: str) -> Iterator[Point]:
    for row in rows:
        if row["latency_p50_ms"] is not None:
            predicted = row[how].latency_ms.item()
            yield Point(f"total, {row['part']}", row["latency_p50_ms"], predicted)


def points_by_workload(rows: Iterable[Row]) -> Iterator[Point]:
    for row in rows:
        if row["latency_p50_ms"] is not None:
            yield Point(row["workload"], row["latency_p50_ms"], row["seeing"].latency_ms.item())


def points_of_parts(rows: Iterable[Row]) -> Iterator[Point]:
    """Stages, apart for what does the work; after a transformer the caches are cold."""
    for row in rows:
        config = row["config"]
        embedder, mode = config.get("embed.model", ""), config["retrieve.mode"]
        cold = config["rerank.model"] == "maxsim" or embedder.startswith(("minilm", "e5"))
        kind = config["index.kind"] if mode == "dense" else mode
        names = {
            "embed": embedder,
            "retrieve": f"{kind}, {'cold' if cold else 'warm'}",
            "rerank": config["rerank.model"],
        }
        for stage, name in names.items():
            measured = row.get(f"{stage}_p50_ms")
            if measured is not None:
                predicted = row["seeing"].stage_ms[stage].item()
                yield Point(f"{stage}: {name}", measured, predicted)


def points_of_memory(rows: Iterable[Row]) -> Iterator[Point]:
    for row in rows:
        if row["memory_mb"] is None:
            continue
        mode = row["config"]["retrieve.mode"]
        for how, told in (("blind", "features alone"), ("seeing", "chunks known")):
            predicted = row[how].memory_mb.item()
            yield Point(f"all, {told}", row["memory_mb"], predicted)
            yield Point(f"{mode}, {told}", row["memory_mb"], predicted)
            if mode == "dense" and row["config"].get("embed.model") != "lsa":
                yield Point(f"dense without LSA, {told}", row["memory_mb"], predicted)


def points_of_builds(rows: Iterable[Row]) -> Iterator[Point]:
    """Every artifact once."""
    seen = set()
    for row in rows:
        config = row["config"]
        names = {"embed": config.get("embed.model"), "index": config.get("index.kind")}
        for build in BUILDS:
            measured = row.get(f"build.{build}_s")
            if measured is None or measured < LEAST_BUILD_S:
                continue
            what = names.get(build, "")
            key = (row["workload"], build, what, measured)
            if key not in seen:
                seen.add(key)
                predicted = row["built"][build].item()
                yield Point(f"{build} {what}".strip(), measured, predicted)


def points_of_work(rows: Iterable[Row]) -> Iterator[Point]:
    for row in rows:
        kind = row["config"].get("index.kind", "")
        if row.get("work.distances") and kind != "flat":
            group = "HNSW distances" if kind.startswith("hnsw") else "IVF codes"
            yield Point(group, row["work.distances"], row["seeing"].distances.item())
        if row.get("work.postings"):
            yield Point("postings", row["work.postings"], row["seeing"].postings.item())


def points_of_chunks(rows: Iterable[Row]) -> Iterator[Point]:
    """Every chunking once."""
    seen = set()
    for row in rows:
        cut = {k: v for k, v in row["config"].items() if k.startswith("chunk.")}
        key = (row["workload"], *cut.values())
        if key not in seen:
            seen.add(key)
            found, splitter = row["blind"], cut["chunk.splitter"]
            yield Point(f"chunks, {splitter}", row["chunks"], found.chunks.item())
            tokens = found.chunk_tokens.item()
            yield Point(f"tokens of one, {splitter}", row["chunk_tokens"], tokens)


def _pressure(rows: Iterable[Row]) -> str:
    known = [r["cpu_pressure"] for r in rows if r["cpu_pressure"] is not None]
    return f"pressure {fmean(known):.2f} on average" if known else "pressure unknown"


def _noise(table: polars.DataFrame) -> str:
    floor = noise_floor(table, ("latency_p50_ms",))
    if not floor:
        return "one repeat, so noise is unknown"
    return f"noise between repeats {floor['latency_p50_ms'].median:.1%}"


if __name__ == "__main__":
    main()
