"""What models are worth on a frozen slice of the measured table, as it was recorded.

    python -m tests.models.gate

records it anew, for a change that is meant to alter predictions; what differs is to be read.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from api.training import Material
from autorag.table.files import read_machines, read_table
from models.accuracy import Accuracy
from models.examples import Example, table_examples, table_searches
from models.training import train

TABLE = Path(__file__).parents[2] / "benchmarks/table"
RECORDED = Path(__file__).with_name("recorded.json")

MACHINES = {
    **dict.fromkeys(("clapnq_dev", "cosqa_code", "stdlib-docs"), "487a9124411a357f"),
    **dict.fromkeys(("tldr_commands", "xquad_en"), "487a9124411a357f"),
    "covidqa_long": "4648f7326ecefaec",
}
"""Workload → the machine whose times are taken."""

SEARCHED = (*MACHINES, "wiki_sentences", "go_code-sentences", "song_poetry-sentences")


def frozen() -> Material:
    """Six workloads in their first repeat, one of them on another machine, and searches in
    approximate indexes: what is added to the table later is not among it."""
    table = read_table(TABLE).filter(pl.col("workload").is_in(SEARCHED))
    examples = {e.workload: e for e in table_examples(table, read_machines(TABLE))}
    chosen = tuple(_first(examples[name], machine) for name, machine in MACHINES.items())
    return Material(chosen, tuple(table_searches(table)), None)


def measured(material: Material) -> dict[str, Any]:
    """What models that are trained on it are worth, each corpus left out in turn."""
    trained = train(material.examples, material.searched, seed=0)
    return {"digest": material.digest, **Accuracy.of(trained.held, trained.recall).to_json()}


def _first(example: Example, machine: str) -> Example:
    timed = next(t for t in example.timed if t.machine == machine)
    return replace(example, timed=(timed,))


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(measured(frozen()), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{RECORDED}\n")
