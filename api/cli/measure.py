"""``autorag measure``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.cli.console import progress_console
from api.cli.progress import LiveProgress
from api.settings import Settings
from api.wiring import (
    SEED_SAMPLE,
    bind,
    cross_encoder_paths,
    load_workload,
    make_parts,
    make_space,
)
from autorag.metrics import METRICS
from autorag.queries import subsample
from collectors.measurer import ProcessMeasurer
from collectors.prepare import needs_preparation, prepare_models


def run_measure(
    docs: Path | None,
    queries: Path | None,
    base: Mapping[str, Any],
    values: Mapping[str, Any],
    generate: bool,
    max_queries: int,
    seed: int,
    as_json: bool,
) -> None:
    """Measure one config and print what was measured."""
    settings = Settings.from_environment()
    parts = make_parts(settings, seed)
    space = make_space(cross_encoder_paths([base, values]))
    wanted = space.config({**values}, base=space.config(base))
    console = progress_console(quiet=as_json)
    workload = load_workload(docs, queries, parts)
    config = bind(space, workload).config(wanted)
    asked = subsample(workload.queries, max_queries, parts.rng(SEED_SAMPLE))
    with LiveProgress(console) as progress:
        if config.get("embed.model") == "static" and needs_preparation(settings.models):
            progress.preparing("the static embedder (once per machine)")
            prepare_models(settings.models)
        measurer = ProcessMeasurer(workload, settings.home, seed, settings.artifacts_bytes)
        started = parts.clock.monotonic()
        measured = measurer.measure(
            config, [q.id for q in asked], generate=generate, progress=progress.progress
        )
        seconds = parts.clock.monotonic() - started
    result = {
        "config": config.to_json(),
        "measured": dict(measured.metrics),
        "stages": measured.stages,
        "reused": list(measured.reused),
        "build_s": dict(measured.build_s),
        "conditions": dict(measured.conditions),
        "seconds": round(seconds, 3),
        "workload": {**workload.summary(), "queries_asked": len(asked)},
    }
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(result), indent=None)
    else:
        _print(result, Console())


def _print(result: Mapping[str, Any], console: Console) -> None:
    workload = result["workload"]
    queries = f"{workload['queries_asked']} {workload['query_source']} queries"
    table = Table(title=f"{escape(workload['name'])}: {queries}")
    for heading in ("metric", "measured", "unit"):
        table.add_column(heading, justify="right" if heading == "measured" else "left")
    for name in (m for m in METRICS if m in result["measured"]):
        table.add_row(name, f"{result['measured'][name]:.4g}", METRICS[name].unit)
    for stage, times in result["stages"].items():
        table.add_row(f"{stage} p50 / p95", f"{times['p50_ms']:.3g} / {times['p95_ms']:.3g}", "ms")
    console.print(table)
    console.print(f"reused: {', '.join(result['reused']) or 'nothing'}", highlight=False)
    if result["conditions"].get("busy"):
        console.print("[yellow]the machine was busy: latencies are unreliable[/]")
