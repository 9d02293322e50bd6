"""How many exact searches it takes to know an index's recall to ±1 point at 95 %.

    python benchmarks/recall_probe.py [--workload NAME] [--repeats N]

The vectors are the sentences of a workload (a folder under ``AUTORAG_WORKLOADS``, else the demo),
embedded by the static embedder; the indexes are real: IVF over √n cells at several nprobe, HNSW16
at several ef_search. Recall at 10 of every query of the workload is computed once, which gives the
true mean. Traffic is drawn from these queries with replacement, and the probe runs on it as it does
live, ``--repeats`` times with other seeds.

Compared are, per index: the probe; *without replacement*, when the queries are all there is; what
must be fixed beforehand with Hoeffding's bound, with Clopper-Pearson (each query a hit or a miss at
random, the mean known beforehand) and with a normal approximation whose deviation is known
beforehand; and the normal approximation looked at after every query, which is what one would write
first, and whose coverage is the reason not to. *Exhaustive* is searching for every query.
Coverage is the share of repeats whose interval holds the true mean; 95 % is claimed.

Then, how many searches decide whether recall is at least a target, and how often that was wrong.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from api.settings import Settings
from api.wiring import load_workload, make_parts
from autorag.pipeline.embedders import Static, static_folder
from autorag.pipeline.index import VectorSearch, build_index, exact_top
from autorag.sentences import sentences
from autorag.workload import Workload
from collectors.prepare import prepare_models
from collectors.recall_probe import HALF_WIDTH, K, probe_recall, recall_at

SEED = 0
LEVEL = 0.95
Z = 1.959964
LEAST_PEEK = 30
BUDGET = 100_000
TARGETS = (0.8, 0.9, 0.95)
BUILDS = (
    ({"index.kind": "ivf_flat", "index.nlist": 1.0}, "retrieve.nprobe", (1, 4, 16, 32)),
    (
        {"index.kind": "hnsw", "index.hnsw_m": 16, "index.ef_construction": 80},
        "retrieve.ef_search",
        (8, 32, 64, 256),
    ),
)
ARTIFACTS_GB = 1


@dataclass(frozen=True)
class Index:
    """An index at one setting: per query the ids it finds and those it should, ``(n, 10)``."""

    name: str
    found: np.ndarray
    wanted: np.ndarray

    @property
    def recalls(self) -> np.ndarray:
        pairs = zip(self.found, self.wanted, strict=True)
        return np.array([recall_at(K, found, wanted) for found, wanted in pairs])


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        workload = chosen_workload(arguments.workload, Path(scratch))
        vectors, queries = embedded(workload, Path(scratch))
    print(
        f"{workload.name}: {len(vectors)} sentence vectors, {len(queries)} queries; recall at {K} "
        f"to ±{HALF_WIDTH} at {LEVEL:.0%}; {arguments.repeats} repeats, seed {SEED}; exact "
        "searches, median / 95 % quantile"
    )
    indexes = list(built(vectors, queries))
    show_estimates(indexes, arguments.repeats)
    show_decisions(indexes, arguments.repeats)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", default="wiki_large")
    parser.add_argument("--repeats", type=int, default=500)
    return parser.parse_args()


def chosen_workload(name: str, scratch: Path) -> Workload:
    root = os.environ.get("AUTORAG_WORKLOADS")
    parts = make_parts(Settings(home=scratch, artifacts_gb=ARTIFACTS_GB), SEED)
    return load_workload(Path(root) / name if root else None, None, parts)


def embedded(workload: Workload, scratch: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the distinct sentences, and of the queries."""
    prepare_models(scratch / "models")
    model = Static(static_folder(scratch / "models"))
    texts = [d.text[s:e] for d in workload.documents for s, e in sentences(d.text)]
    distinct = list(dict.fromkeys(texts))
    questions = list(dict.fromkeys(q.question for q in workload.queries))
    return model.encode_documents(distinct, 1), model.encode_documents(questions, 1)


def built(vectors: np.ndarray, queries: np.ndarray) -> Iterator[Index]:
    wanted = exact_top(vectors, queries, K)
    for build, knob, settings in BUILDS:
        index = build_index(vectors, build, SEED)
        for setting in settings:
            search = VectorSearch(index, {knob: setting}, 1, None)
            found = np.full((len(queries), K), -1, dtype=np.int64)
            for i, query in enumerate(queries):
                rows = search.search(query, K)[0]
                found[i, : len(rows)] = rows
            yield Index(f"{build['index.kind']} {knob.split('.')[1]} {setting}", found, wanted)


def show_estimates(indexes: Sequence[Index], repeats: int) -> None:
    hoeffding = math.ceil(math.log(2 / (1 - LEVEL)) / (2 * HALF_WIDTH**2))
    print(
        f"\nHoeffding: {hoeffding} searches whatever the index; exhaustive: "
        f"{len(indexes[0].wanted)}\n\n"
        "| index | recall | sd | probe | coverage | without replacement | coverage | "
        "Clopper-Pearson | normal, sd known | normal, peeking | coverage |\n" + "|---" * 11 + "|"
    )
    for index in indexes:
        recalls = index.recalls
        mean, deviation = float(recalls.mean()), float(recalls.std())
        live = [probed(index, repeat, replace=True) for repeat in range(repeats)]
        finite = [probed(index, repeat, replace=False) for repeat in range(repeats)]
        peeked = [peek(recalls, repeat) for repeat in range(repeats)]
        cells = [
            f"{mean:.3f}",
            f"{deviation:.3f}",
            *judged(live, mean),
            *judged(finite, mean),
            str(clopper_pearson(mean)),
            str(math.ceil((Z * deviation / HALF_WIDTH) ** 2)),
            *judged(peeked, mean),
        ]
        print(f"| {index.name} | {' | '.join(cells)} |", flush=True)


def judged(runs: Sequence[tuple[int, float, float]], mean: float) -> tuple[str, str]:
    """Searches (median / 95 % quantile) and coverage of (searches, low, high)."""
    counts, lows, highs = np.array(runs).T
    covered = ((lows <= mean + 1e-12) & (mean <= highs + 1e-12)).mean()
    return f"{np.median(counts):.0f} / {np.quantile(counts, 0.95):.0f}", f"{covered:.3f}"


def probed(index: Index, repeat: int, *, replace: bool) -> tuple[int, float, float]:
    """Exact searches and interval of one probe."""
    rng = np.random.default_rng([SEED, repeat])
    size = len(index.wanted)
    traffic = live_traffic(size, rng) if replace else iter(rng.permutation(size))
    probe = probe_recall(
        traffic,
        index.found.__getitem__,
        index.wanted.__getitem__,
        rng,
        budget=BUDGET,
        population=None if replace else size,
    )
    assert probe.recall is not None
    return probe.searches, probe.recall.low, probe.recall.high


def live_traffic(size: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield int(rng.integers(size))


def peek(recalls: np.ndarray, repeat: int) -> tuple[int, float, float]:
    """Stop when the normal interval of what was seen is narrow enough."""
    rng = np.random.default_rng([SEED, repeat])
    drawn = recalls[rng.integers(len(recalls), size=BUDGET)]
    count = np.arange(1, BUDGET + 1)
    mean = np.cumsum(drawn) / count
    variance = (
        np.maximum(0, np.cumsum(drawn**2) / count - mean**2) * count / np.maximum(1, count - 1)
    )
    half = Z * np.sqrt(variance / count)
    end = LEAST_PEEK - 1 + int(np.argmax(half[LEAST_PEEK - 1 :] <= HALF_WIDTH))
    return end + 1, float(mean[end] - half[end]), float(mean[end] + half[end])


def clopper_pearson(mean: float) -> int:
    """Queries needed when each is a hit with chance ``mean``, at the expected number of hits."""
    from scipy.stats import beta

    tail = (1 - LEVEL) / 2

    def wide(n: int) -> bool:
        hits = mean * n
        low = beta.ppf(tail, hits, n - hits + 1)
        high = beta.ppf(1 - tail, hits + 1, n - hits) if hits < n else 1.0
        return bool(high - low > 2 * HALF_WIDTH)

    low, high = 1, 20_000
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if wide(middle) else (low, middle)
    return low


def show_decisions(indexes: Sequence[Index], repeats: int) -> None:
    heads = (f"at least {t}? searches | decided | wrong" for t in TARGETS)
    print(f"\n| index | recall | {' | '.join(heads)} |\n" + "|---" * (2 + 3 * len(TARGETS)) + "|")
    for index in indexes:
        mean = float(index.recalls.mean())
        cells = (decisions(index, mean, target, repeats) for target in TARGETS)
        print(f"| {index.name} | {mean:.3f} | {' | '.join(cells)} |", flush=True)


def decisions(index: Index, mean: float, target: float, repeats: int) -> str:
    runs = []
    for repeat in range(repeats):
        rng = np.random.default_rng([SEED, repeat])
        traffic = islice(live_traffic(len(index.wanted), rng), BUDGET)
        find, want = index.found.__getitem__, index.wanted.__getitem__
        probe = probe_recall(traffic, find, want, rng, target=target, budget=BUDGET)
        runs.append((probe.searches, probe.meets_target))
    counts = [n for n, _ in runs]
    told = [answer for _, answer in runs if answer is not None]
    wrong = sum(answer != (mean >= target) for answer in told)
    return (
        f"{np.median(counts):.0f} / {np.quantile(counts, 0.95):.0f} | {len(told) / repeats:.3f} "
        f"| {wrong / repeats:.3f}"
    )


if __name__ == "__main__":
    main()
