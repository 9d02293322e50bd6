"""``autorag train``: a set of models from a measured table."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from autorag.table.files import read_machines, read_table, table_hash
from models.calibration import ADDED
from models.examples import table_examples
from models.files import check_writable, write_models
from models.training import ModelSet, train


def run_train(table: Path, out: Path, seed: int, as_json: bool) -> None:
    """Train on a measured table and write the set of models."""
    check_writable(out)
    frame = read_table(table)
    started = time.perf_counter()
    examples = table_examples(frame, read_machines(table))
    models = train(examples, seed=seed)
    newest = datetime.fromtimestamp(max(frame["measured_at"].drop_nulls().to_list()), UTC)
    about = {
        "version": version("autorag-service"),
        "table": table_hash(frame),
        "measured_until": newest.date().isoformat(),
        "workloads": len(examples),
        "corpora": len({e.corpus for e in examples}),
        "rows": sum(len(t.configs) for e in examples for t in e.timed),
        "seed": seed,
        "left_out_error": left_out_error(models),
    }
    row: dict[str, Any] = {**about, "file": str(out), "sha256": write_models(models, about, out)}
    row |= {"bytes": out.stat().st_size, "seconds": round(time.perf_counter() - started, 1)}
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(row), indent=None)
    else:
        for name, value in row.items():
            Console().print(f"{name}: {escape(str(value))}", highlight=False)


def left_out_error(models: ModelSet) -> dict[str, float]:
    """Median error on left-out corpora: of quality absolute, of the others relative."""
    found = {}
    for metric, column in zip(models.residuals.metrics, models.residuals.values.T, strict=True):
        known = column[np.isfinite(column)]
        error = np.abs(known) if metric in ADDED else np.abs(np.expm1(-known))
        found[metric] = round(float(np.median(error)), 4)
    return found
