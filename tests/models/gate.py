"""What models are worth on a frozen slice of the measured table, as it was recorded.

    python -m tests.models.gate

records it anew, for a change that is meant to alter predictions; its difference is for a reviewer.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.training import Material, of_table
from models.accuracy import Accuracy
from models.examples import Example
from models.training import train

TABLE = Path(__file__).parents[2] / "benchmarks/table"
RECORDED = Path(__file__).with_name("recorded.json")

WORKLOADS = ("clapnq_dev", "cosqa_code", "stdlib-docs", "tldr_commands", "xquad_en")
MACHINE = "487a9124411a357f"


def frozen() -> Material:
    """Five workloads in their first repeat on one machine: what is added to the table later is not
    among it."""
    examples = {e.workload: e for e in of_table(TABLE).examples}
    return Material(tuple(_first(examples[name]) for name in WORKLOADS), (), None)


def measured(material: Material) -> dict[str, Any]:
    """What models that are trained on it are worth, each corpus left out in turn."""
    held = train(material.examples, seed=0).held
    return {"digest": material.digest, **Accuracy.of(held).to_json()}


def _first(example: Example) -> Example:
    timed = next(t for t in example.timed if t.machine == MACHINE)
    return replace(example, timed=(timed,))


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(measured(frozen()), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{RECORDED}\n")
