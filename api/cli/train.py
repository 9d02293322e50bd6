"""``autorag train``: a set of models from a measured table."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from api.cli.console import LiveProgress, progress_console
from api.training import make, of_table
from models.files import check_writable, write_models


def run_train(table: Path, out: Path, seed: int, as_json: bool) -> None:
    """Train on a measured table and write the set of models."""
    check_writable(out)
    material = of_table(table)
    started = time.perf_counter()
    with LiveProgress(progress_console(quiet=as_json)) as progress:
        made = make(material, seed, progress.progress)
    row: dict[str, Any] = {
        **made.about,
        "file": str(out),
        "sha256": write_models(made.models, made.about, out),
        "bytes": out.stat().st_size,
        "seconds": round(time.perf_counter() - started, 1),
    }
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(row), indent=None)
        return
    mean = {what: round(made.accuracy.mean(what), 4) for what in made.accuracy.errors}
    for name, value in {**row, "accuracy": mean}.items():
        Console().print(f"{name}: {escape(str(value))}", highlight=False)
