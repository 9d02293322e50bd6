"""Workload features: the table of all workloads, and how far those of a tenth stray.

    python benchmarks/feature_stability.py [--workloads NAME ...] [--repeats N]

Workloads are the folders of ``AUTORAG_WORKLOADS`` and the demo. The full features of a workload are
compared with those of a tenth, drawn anew in every repeat, in two ways:

* *read*: the collector is given everything, and cuts a tenth of the characters into words and looks
  at a tenth of them closely. It knows how much there is. This is what sampling costs.
* *alone*: a tenth of the documents and, drawn independently, a tenth of the queries (at least 50)
  are a workload of their own. No feature looks for a query's gold document, so that it need not
  be among the documents; words in common with the best passage miss it nine times in ten. This is
  what the size of a corpus does to a feature.

A deviation is ``|ln(1 + x') - ln(1 + x)|`` for features on a log scale (about the relative change),
``|x' - x|`` for the others. Printed are the median and the worst over workloads and repeats, and
the median over the spread of the feature between workloads (half the distance of its 10 % and 90 %
quantiles): well below 1, a sample tells workloads apart. Seconds are those of one call, embedder
loaded, on the machine as it is.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from api.settings import Settings
from api.wiring import load_workload, make_parts
from autorag.features import FEATURES, Feature, Value
from autorag.workload import Workload
from collectors.features.models import FeatureModels, installed_models
from collectors.features.sample import CLOSE_CHARACTERS, READ_CHARACTERS
from collectors.features.workload import workload_features
from collectors.prepare import prepare_models

SEED = 0
SHARE = 0.1
LEAST_QUERIES = 50
ARTIFACTS_GB = 1

Item = TypeVar("Item")
Values = Mapping[str, Value]


def main() -> None:
    arguments = parse_arguments()
    print(f"seed {SEED}, {arguments.repeats} repeats, load average {os.getloadavg()[0]:.2f}")
    full: dict[str, Values] = {}
    read: dict[str, list[Values]] = {}
    alone: dict[str, list[Values]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        prepare_models(Path(scratch) / "models")
        models = installed_models(Path(scratch) / "models")
        warm(models)
        print("\n| workload | documents | MB | seconds | a tenth read |")
        print("|---|---|---|---|---|")
        for workload in workloads(arguments.workloads, Path(scratch)):
            name = workload.name
            seconds, full[name] = timed(workload, models, np.random.default_rng(SEED))
            tenth_seconds, read[name] = tenths_read(workload, models, arguments.repeats)
            alone[name] = tenths_alone(workload, models, arguments.repeats)
            size = sum(len(d.text) for d in workload.documents)
            print(
                f"| {name} | {len(workload.documents)} | {size / 1e6:.1f} | {seconds:.2f} "
                f"| {tenth_seconds:.2f} |",
                flush=True,
            )
    show_features(full)
    show_stability(full, read, alone)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", nargs="+", help="names; all by default")
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def workloads(names: Sequence[str] | None, scratch: Path) -> Iterator[Workload]:
    """The named workloads, or all and the demo."""
    root = os.environ.get("AUTORAG_WORKLOADS")
    folders = sorted(p.parent for p in Path(root).glob("*/corpus.jsonl")) if root else []
    parts = make_parts(Settings(home=scratch, artifacts_gb=ARTIFACTS_GB), SEED)
    for folder in [*folders, None]:
        if names is None or (folder.name if folder else "demo") in names:
            yield load_workload(folder, None, parts)


def warm(models: FeatureModels) -> None:
    """Load what is loaded on first use."""
    for use in (models.count_tokens, models.encode):
        if use is not None:
            use(["warm"])


def timed(
    workload: Workload, models: FeatureModels, rng: np.random.Generator, **bounds: int
) -> tuple[float, Values]:
    """Seconds and features."""
    started = time.perf_counter()
    found = workload_features(workload, models, rng, **bounds)
    return time.perf_counter() - started, found.values()


def tenths_read(
    workload: Workload, models: FeatureModels, repeats: int
) -> tuple[float, list[Values]]:
    """Median seconds, and the features from a tenth of the characters."""
    characters = SHARE * sum(len(d.text) for d in workload.documents)
    bounds = {
        "read_characters": int(min(characters, READ_CHARACTERS)),
        "close_characters": int(min(characters, CLOSE_CHARACTERS)),
    }
    streams = (np.random.default_rng([SEED, 1 + r]) for r in range(repeats))
    runs = [timed(workload, models, stream, **bounds) for stream in streams]
    return statistics.median(s for s, _ in runs), [v for _, v in runs]


def tenths_alone(workload: Workload, models: FeatureModels, repeats: int) -> list[Values]:
    """The features of a tenth of the documents and a tenth of the queries."""
    found: list[Values] = []
    for repeat in range(repeats):
        rng = np.random.default_rng([SEED, 1 + repeat])
        part = replace(
            workload,
            documents=drawn(workload.documents, 1, rng),
            queries=drawn(workload.queries, LEAST_QUERIES, rng),
        )
        found.append(workload_features(part, models, rng).values())
    return found


def drawn(items: Sequence[Item], least: int, rng: np.random.Generator) -> tuple[Item, ...]:
    """A tenth of them, in their order."""
    size = min(len(items), max(least, round(SHARE * len(items))))
    return tuple(items[i] for i in sorted(rng.choice(len(items), size, replace=False)))


def show_features(full: Mapping[str, Values]) -> None:
    """One row a feature, one column a workload."""
    print(f"\n| feature | unit | {' | '.join(full)} |\n|---|---|{'---|' * len(full)}")
    for feature in FEATURES:
        cells = (figure(values[feature.name]) for values in full.values())
        print(f"| `{feature.name}` | {feature.unit} | {' | '.join(cells)} |")


def show_stability(
    full: Mapping[str, Values],
    read: Mapping[str, Sequence[Values]],
    alone: Mapping[str, Sequence[Values]],
) -> None:
    """One row a feature: deviations of a tenth read, and of a tenth alone."""
    head = "median | worst (in) | median / spread | unknown"
    print(f"\n| feature | scale | read: {head} | alone: {head} |\n|---|---|{'---|' * 8}")
    for feature in FEATURES:
        known = [v for values in full.values() if (v := values[feature.name]) is not None]
        if known:
            spread = between(feature, known)
            cells = [deviation_cells(feature, full, part, spread) for part in (read, alone)]
            print(f"| `{feature.name}` | {feature.scale} | {' | '.join(cells)} |")


def deviation_cells(
    feature: Feature,
    full: Mapping[str, Values],
    parts: Mapping[str, Sequence[Values]],
    spread: float,
) -> str:
    found, unknown = [], 0
    for name, runs in parts.items():
        whole = full[name][feature.name]
        for run in runs:
            part = run[feature.name]
            if whole is None or part is None:
                unknown += whole is not None
            else:
                found.append((abs(scaled(feature, part) - scaled(feature, whole)), name))
    if not found:
        return f"- | - | - | {unknown}"
    middle = statistics.median(d for d, _ in found)
    worst, where = max(found)
    ratio = f"{middle / spread:.2f}" if spread > 0 else "-"
    return f"{middle:.3g} | {worst:.3g} ({where}) | {ratio} | {unknown or ''}"


def between(feature: Feature, values: Sequence[float]) -> float:
    """Half the distance between the outer tenths of the workloads."""
    low, high = np.quantile([scaled(feature, v) for v in values], [0.1, 0.9])
    return float(high - low) / 2


def scaled(feature: Feature, value: float) -> float:
    return math.log1p(value) if feature.scale == "log" else value


def figure(value: Value) -> str:
    return "-" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()
