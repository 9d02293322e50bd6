"""Which pseudo-queries choose well: kinds, numbers, fewer documents, mixes with a portfolio.

    AUTORAG_WORKLOADS=DIR python -m benchmarks.pseudo_queries [--workloads NAME ...]
        [--models MODEL ...] [--documents N] [--queries N] [--made N] [--chunkings I ...]
        --work DIR [--out FILE.json] [--page FILE.md]

For every labelled workload (the folders of ``AUTORAG_WORKLOADS`` and the demo workload) a grid of
chunkings, embedders and fusion weights is judged on the labelled queries and on pseudo-queries of
many kinds that are made from the corpus alone. Prints what choosing by each kind regrets on the
labelled queries. Nothing is timed. What is measured stays under DIR: a later call goes on, and
measures nothing if everything is there.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from api.settings import Settings
from api.wiring import DEMO, bind, load_workload, make_parts, make_space
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext
from autorag.table.sampling import sampled
from autorag.workload import Workload
from benchmarks.pseudo.judging import grid
from benchmarks.pseudo.measured import Measured, load, measure, save
from benchmarks.pseudo.report import numbers, page

LONG = {"covidqa_long": 0.06, DEMO: 0.2}
"""Workloads with long documents have this share of the number of documents."""

SEED_SAMPLE, SEED_MADE = range(2)


def main() -> None:
    arguments = parse_arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    found = list(measured_workloads(arguments))
    written = page(found)
    print(written)
    if arguments.page is not None:
        arguments.page.write_text(written, encoding="utf-8")
    if arguments.out is not None:
        add(arguments.out, scale(arguments), numbers(found))


def parse_arguments() -> argparse.Namespace:
    folder = Path(os.environ["AUTORAG_WORKLOADS"])
    names = [DEMO, *sorted(p.parent.name for p in folder.glob("*/queries.jsonl"))]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workloads", nargs="+", default=names)
    parser.add_argument("--models", nargs="+", default=["static", "minilm-int8"])
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--made", type=int, default=400)
    parser.add_argument("--chunkings", type=int, nargs="+", default=list(range(7)))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", type=Path)
    return parser.parse_args()


def measured_workloads(arguments: argparse.Namespace) -> Iterator[Measured]:
    """Every workload, from its file where it is there."""
    for name in arguments.workloads:
        path = arguments.work / scale(arguments) / f"{name}.npz"
        if not path.is_file():
            started = time.monotonic()
            save(measured_workload(name, arguments), path)
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        yield load(path)


def scale(arguments: argparse.Namespace) -> str:
    """What is measured of every workload, as a name."""
    sizes = [arguments.documents, arguments.queries, arguments.made]
    return "-".join(map(str, [*arguments.models, *sizes, *arguments.chunkings]))


def add(path: Path, name: str, told: Mapping[str, Any]) -> None:
    """Write figures to a file of several scales, in place of those of the same scale."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**known, name: told}, indent=1) + "\n", encoding="utf-8")


def measured_workload(name: str, arguments: argparse.Namespace) -> Measured:
    workload = sampled_workload(name, arguments)
    space = bind(make_space(), workload)
    configs = grid(space, arguments.models, arguments.chunkings)
    store = ArtifactStore(arguments.work / "artifacts")
    context = BuildContext(store, arguments.work / "models", threads=1)
    rng = np.random.default_rng([0, SEED_MADE])
    return measure(workload, arguments.made, configs, context, rng)


def sampled_workload(name: str, arguments: argparse.Namespace) -> Workload:
    parts = make_parts(Settings(home=arguments.work), 0)
    docs = None if name == DEMO else Path(os.environ["AUTORAG_WORKLOADS"]) / name
    documents = round(arguments.documents * LONG.get(name, 1.0))
    rng = np.random.default_rng([0, SEED_SAMPLE])
    return sampled(load_workload(docs, None, parts), documents, arguments.queries, rng)


if __name__ == "__main__":
    main()
