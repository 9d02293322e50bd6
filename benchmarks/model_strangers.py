"""Whether models say so when a workload is unlike all that they learned from.

    python -m benchmarks.model_strangers [FOLDER ...] [--table benchmarks/table]

Every corpus of the measured table is asked about by models that have not seen it; then documents of
one word each, and every folder of documents that is named, by the models that ship. The strangeness
is the distance to the nearest known corpus over the largest such distance among the known: above 1
the workload is said to be unlike them. Each answer is for the default objective on a machine that
was learned from, so that nothing else is in doubt but the chance.

Then the labels of the table are exchanged within every workload: what becomes of the intervals, and
whether a set that learned from them may take over from the one that ships.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from api.model_registry import Registry
from api.settings import Settings
from api.train_job import judge
from api.training import Material, make, of_table
from api.wiring import Parts, load_workload, make_parts, make_space, workload_features
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.objective import DEFAULT_OBJECTIVE
from autorag.ports import SystemClock
from autorag.table.files import read_machines, read_table, row_profile
from benchmarks.lessons.page import table
from models.candidates import Candidates
from models.examples import Example
from models.files import SHIPPED, read_models
from models.predictor import Predictor, Task
from models.quality import QualityModel
from models.recommendation import recommend
from models.training import PREDICTED, ModelSet
from store.database import Database
from store.engine import open_database, sqlite_url

WORDS = 600
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--table", type=Path, default=Path("benchmarks/table"))
    arguments = parser.parse_args()
    models, _ = read_models(SHIPPED)
    profile = _learned_machine(arguments.table, models)
    pool = Candidates.of(make_space(), seed=SEED)
    rows = [
        _asked(name, left_out, features, pool, profile)
        for name, left_out, features in [
            *_left_out(arguments.table, models),
            *((name, models, features) for name, features in _others(arguments.folders)),
        ]
    ]
    print(table(("workload", "strangeness", "unlike", "sure", "chance"), rows))
    print(f"\n{_about_shuffled(arguments.table, models)}")


def _about_shuffled(folder: Path, models: ModelSet) -> str:
    """What comes of labels that were exchanged within every workload."""
    material, rng = of_table(folder), np.random.default_rng(SEED)
    spoiled = tuple(exchanged(e, rng) for e in material.examples)
    material = Material(spoiled, material.searched, None)
    made = make(material, SEED)
    rows = []
    for metric in PREDICTED:
        ends = (m.residuals.interval(metric) for m in (models, made.models))
        rows.append((metric, *(f"{low:.3f} … {high:.3f}" for low, high in ends)))
    with tempfile.TemporaryDirectory() as scratch:
        engine = open_database(sqlite_url(Path(scratch) / "none.db"))
        registry = Registry(Database(engine, SystemClock()))
        verdict = judge(made, material, None, registry, SEED)
        engine.dispose()
    refused = "promoted" if verdict.better else f"refused: {'; '.join(verdict.reasons)}"
    return f"Labels exchanged within every workload, {refused}\n\n" + table(
        ("80 % interval", "as measured", "labels exchanged"), rows
    )


def exchanged(example: Example, rng: np.random.Generator) -> Example:
    """A workload whose configs have each other's labels."""
    timed = []
    for t in example.timed:
        order = rng.permutation(len(t.configs))
        timed.append(replace(t, measured={m: v[order] for m, v in t.measured.items()}))
    return replace(example, quality=rng.permutation(example.quality), timed=tuple(timed))


def _asked(
    name: str,
    models: ModelSet,
    features: WorkloadFeatures,
    pool: Candidates,
    profile: HardwareProfile,
) -> tuple[str, ...]:
    answer = recommend(Predictor(models, pool).on(Task(features, profile)), DEFAULT_OBJECTIVE, 1)
    said = "unlike all" in answer.reason
    chance = answer.recommended[0].chance
    yes = {True: "yes", False: ""}
    return name, f"{answer.strangeness:.2f}", yes[said], yes[answer.sure], f"{chance:.2f}"


def _left_out(folder: Path, models: ModelSet) -> Iterator[tuple[str, ModelSet, WorkloadFeatures]]:
    """Workloads of the table, with models whose landscapes are those of other corpora."""
    for example in of_table(folder).examples:
        others = [x for x in models.quality.landscapes if x.corpus != example.corpus]
        known = replace(models, quality=QualityModel(tuple(others)))
        yield f"{example.workload} (left out)", known, example.features


def _others(folders: list[Path]) -> Iterator[tuple[str, WorkloadFeatures]]:
    parts = make_parts(Settings.from_environment(), SEED)
    with tempfile.TemporaryDirectory() as scratch:
        words = Path(scratch) / "documents of one word"
        _write_words(words, parts)
        for folder in (words, *folders):
            yield folder.name, workload_features(load_workload(folder, None, parts), parts)


def _write_words(folder: Path, parts: Parts) -> None:
    """Words of the demo's documents; every query asks for one."""
    texts = (d.text for d in load_workload(None, None, parts).documents)
    words = dict.fromkeys(w for text in texts for w in re.findall(r"[a-z]{4,}", text))
    chosen = list(words)[:WORDS]
    folder.mkdir()
    _write(folder / "corpus.jsonl", ({"id": w, "text": w} for w in chosen))
    asked = ({"id": f"q{w}", "question": w, "relevant": [w]} for w in chosen[::3])
    _write(folder / "queries.jsonl", asked)


def _write(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _learned_machine(folder: Path, models: ModelSet) -> HardwareProfile:
    """The profile of a machine that the models learned from."""
    machines = read_machines(folder)
    for row in read_table(folder).iter_rows(named=True):
        if row["hardware"] in models.ratios.machines:
            return row_profile(row, machines)
    raise SystemExit(f"{folder}: no row of a machine that the models learned from")


if __name__ == "__main__":
    main()
