"""``autorag bench``: collect the measured table, and tell what is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from api.bench.collect import Collection, collect
from api.bench.suite import SuiteWorkload, read_suite
from api.cli.console import progress_console
from api.cli.progress import LiveProgress
from api.settings import Settings
from api.wiring import hardware_profile, make_parts
from autorag.errors import InputError
from autorag.table.files import read_table
from autorag.table.summary import summary
from collectors.prepare import needs_preparation, prepare_models


def run_collect(
    suite: Path, names: Sequence[str], table: Path, repeats: int, seed: int, as_json: bool
) -> None:
    """Collect what is missing, then tell what is there."""
    chosen = _chosen(read_suite(suite), names)
    settings = Settings.from_environment()
    parts = make_parts(settings, seed)
    with LiveProgress(progress_console(quiet=as_json)) as progress:
        if needs_preparation(settings.models):
            progress.preparing("the static embedder (once per machine)")
            prepare_models(settings.models)
        profile = hardware_profile(parts, progress.progress, whole=repeats > 0)
        collect(chosen, Collection(parts, profile, table, repeats, progress.progress, progress.say))
    run_show(table, as_json)


def run_show(table: Path, as_json: bool) -> None:
    """What is in the table: sizes, hash, noise floor."""
    found = summary(read_table(table))
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(found), indent=None)
    else:
        _print(found, Console())


def _chosen(workloads: Sequence[SuiteWorkload], names: Sequence[str]) -> list[SuiteWorkload]:
    known = {w.name: w for w in workloads}
    for name in names:
        if name not in known:
            raise InputError(
                f"--workload {name}: not in the suite, which has {', '.join(known)}",
                key="workload",
                value=name,
            )
    return [known[n] for n in names] if names else list(workloads)


def _print(found: dict[str, Any], console: Console) -> None:
    sizes = ", ".join(f"{found[k]:,} {k}" for k in ("rows", "workloads", "configs"))
    console.print(f"{sizes}, {found['hours']:.1f} hours, hash {found['hash']}", highlight=False)
    table = Table(title="noise floor: one repeat against another")
    for heading in ("metric", "median", "p90", "pairs"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for metric, noise in found["noise"].items():
        table.add_row(metric, f"{noise['median']:.2%}", f"{noise['p90']:.2%}", str(noise["pairs"]))
    console.print(table)
