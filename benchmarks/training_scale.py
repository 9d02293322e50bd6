"""What training takes as more is measured: seconds, memory, size of the set.

    python -m benchmarks.training_scale [--table benchmarks/table] [--rows 10000 100000 1000000]

Rows are those of the measured table, of as many corpora as it takes: copies of its corpora with
times of their own (each a factor of its own near 1), 394 rows a corpus. Every size is trained in a
process of its own, on one thread, as ``autorag train`` does it, and read back. Gathering is timed
apart: it is of the table's own rows, whose physics and encoding the copies share. So is an answer
of the set that came out, the first and a later one. ``models.bounds`` says what is taken.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from api.training import Material, make, of_table
from api.wiring import make_space
from autorag.hardware import HardwareProfile
from autorag.objective import DEFAULT_OBJECTIVE
from autorag.table.files import read_machines, read_table, row_profile
from benchmarks.lessons.page import table
from models.candidates import Candidates
from models.examples import Example
from models.files import pack_models, unpack_models
from models.predictor import Predictor, Task
from models.recommendation import recommend

SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, default=Path("benchmarks/table"))
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    found = []
    for rows in arguments.rows:
        with context.Pool(1) as pool:
            found.append(pool.apply(measured, (arguments.table, rows)))
        print(json.dumps(found[-1]), flush=True)
    sizes = ("rows", "corpora", "gather s", "train s", "peak MB", "of it rows MB", "set MB")
    headings = (*sizes, "first answer ms", "answer ms")
    print(table(headings, [tuple(str(v) for v in row.values()) for row in found]))


def measured(folder: Path, rows: int) -> dict[str, Any]:
    """Train on so many rows."""
    started = time.perf_counter()
    known = of_table(folder)
    frame, machines = read_table(folder), read_machines(folder)
    timed = frame.filter(part="index").drop_nulls("hardware").row(0, named=True)
    profile = row_profile(timed, machines)
    examples = tuple(_copies([e for e in known.examples if e.timed], rows))
    material = Material(examples, known.searched, None)
    gathered = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = make(material, SEED)
    content = pack_models(made.models, made.about)
    trained = time.perf_counter()
    models, _ = unpack_models(content, "the set")
    predictor = Predictor(models, Candidates.of(make_space(), seed=SEED))
    return {
        "rows": sum(len(t.configs) for e in examples for t in e.timed),
        "corpora": len({e.corpus for e in examples}),
        "gather_s": round(gathered - started, 1),
        "train_s": round(trained - gathered, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows_mb": before // 1024,
        "set_mb": round(len(content) / 1e6, 1),
        "first_ms": round(_answer_ms(predictor, examples[0], profile), 1),
        "answer_ms": round(_answer_ms(predictor, examples[0], profile), 1),
    }


def _answer_ms(predictor: Predictor, asked: Example, profile: HardwareProfile) -> float:
    """Milliseconds of a recommendation."""
    started = time.perf_counter()
    task = Task(asked.features, profile)
    recommend(predictor.on(task), DEFAULT_OBJECTIVE, 5)
    return (time.perf_counter() - started) * 1e3


def _copies(examples: list[Example], rows: int) -> Iterator[Example]:
    rng = np.random.default_rng(SEED)
    taken = 0
    for copy in count():
        for example in examples:
            made = _varied(example, copy, rng)
            yield made
            taken += sum(len(t.configs) for t in made.timed)
            if taken >= rows:
                return


def _varied(example: Example, copy: int, rng: np.random.Generator) -> Example:
    """One of another corpus, whose times are a few percent others."""
    factor = float(np.exp(0.1 * rng.standard_normal()))
    first, *_ = example.timed
    measured = {m: v * factor if m.endswith("_ms") else v for m, v in first.measured.items()}
    timed = replace(first, measured=measured, measured_at=first.measured_at + copy)
    names = {"workload": f"{example.workload}-{copy}", "corpus": f"{example.corpus}-{copy}"}
    return replace(example, timed=(timed,), **names)


if __name__ == "__main__":
    main()
