"""Is what the table says what measuring says? Some of its configs are measured again.

    python -m benchmarks.replay_reality --table benchmarks/table --suite benchmarks/suite.toml \\
        --workload xquad_en --configs 10

Configs are drawn by seed from the timed rows of one workload and part. Each is measured by the
measurer that ``autorag tune`` has, in a process of its own and in an empty home, on the documents
and queries that the table has: all queries for its quality, the timed ones for its times. The same
config is then asked of the replay of the table.

Ranking metrics, ANN recall, context tokens and memory must be the same as float32. Times are
printed as measured over recorded, and beside them the noise floor of the table (how much two
repeats differ) where it has repeats; nothing is demanded of them. Exit code 1 when a figure that is
deterministic differs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from api.bench.suite import SuiteWorkload, read_suite
from api.bench.workload import BenchWorkload
from api.settings import Settings
from api.wiring import make_parts, make_space
from autorag.errors import InputError
from autorag.space import Config
from autorag.table.files import read_table
from autorag.table.noise import noise_floor
from autorag.table.replay import Answers, Replay, ReplayClock, View
from autorag.table.schema import RANKING_METRICS
from benchmarks.kill_resume import prepared
from collectors.measurer import ProcessMeasurer

JUDGED = (*RANKING_METRICS, "ann_recall_at_10", "context_tokens")
TIMES = ("latency_p50_ms", "latency_p95_ms")


@dataclass(frozen=True)
class Compared:
    """One config: what differs of what must not, and measured over recorded times."""

    config: Config
    different: Sequence[str]
    ratios: Mapping[str, float]


class Reality:
    """Measures the configs of one workload as the table has it, and asks the table."""

    def __init__(self, workload: BenchWorkload, answers: Answers, home: Path, seed: int) -> None:
        self._queries = [q.id for q in workload.real.queries]
        self._timed = workload.timed
        self._answers = answers
        self._measurer = ProcessMeasurer(workload.real, home, seed, limit_bytes=20 * 10**9)

    def compare(self, config: Config) -> Compared:
        """Measure a config and look it up."""
        replay = Replay(self._answers, ReplayClock())
        recorded = replay.measure(config, self._queries).metrics
        judged = self._measurer.measure(config, self._queries).metrics
        timed = self._measurer.measure(config, self._timed).metrics
        measured = {name: judged.get(name) for name in JUDGED}
        measured["memory_mb"] = timed["memory_mb"]
        different = [
            f"{name}: recorded {recorded.get(name)}, measured {value}"
            for name, value in measured.items()
            if _float32(recorded.get(name)) != _float32(value)
        ]
        return Compared(config, different, {t: timed[t] / recorded[t] for t in TIMES})


def _float32(value: float | None) -> float | None:
    return None if value is None else float(np.float32(value))


def drawn(answers: Answers, count: int, seed: int) -> list[Config]:
    """So many configs of the table, in its order."""
    measured = answers.measured
    chosen = np.random.default_rng(seed).permutation(len(measured))[:count]
    return [measured[i] for i in sorted(chosen.tolist())]


def checked(workload: BenchWorkload, frame: pl.DataFrame) -> None:
    """
    Raises:
        InputError: the table is of other documents or queries.
    """
    recorded = frame.filter(workload=workload.name)["workload_hash"].unique().to_list()
    if recorded != [workload.real.hash_hex]:
        raise InputError(
            f"{workload.name}: the table is of {recorded}, the suite's workload is "
            f"{workload.real.hash_hex}",
            key="workload",
            value=workload.name,
        )


def show(compared: Compared, number: int) -> None:
    changed = make_space().default().changed(compared.config)
    knobs = ", ".join(f"{k}={compared.config[k]}" for k in changed if k in compared.config)
    times = ", ".join(f"{name} x{ratio:.2f}" for name, ratio in compared.ratios.items())
    verdict = "DIFFERENT" if compared.different else "same"
    print(f"{number:>3} {verdict:<10}{times}  {knobs or 'the default'}", flush=True)
    for line in compared.different:
        print(f"      {line}", flush=True)


def summarise(found: Sequence[Compared], frame: pl.DataFrame) -> None:
    """Counts, and the times beside the noise floor."""
    different = sum(bool(c.different) for c in found)
    print(f"\nconfigs {len(found)}, different {different}")
    floor = noise_floor(frame, TIMES)
    for name in TIMES:
        ratios = [c.ratios[name] for c in found]
        line = f"{name}: measured / recorded {median(ratios):.3f} in the median"
        line += f" ({min(ratios):.3f} to {max(ratios):.3f})"
        if name in floor:
            noise = floor[name]
            within = sum(_distance(r) <= noise.p90 for r in ratios)
            line += f"; noise floor {noise.median:.1%}, p90 {noise.p90:.1%}: {within} within"
        print(line)


def _distance(ratio: float) -> float:
    """Of two values with this ratio, over their mean, as the noise floor has it."""
    return 2 * abs(ratio - 1) / (ratio + 1)


def main() -> int:
    arguments = parse_arguments()
    frame = read_table(arguments.table)
    answers = Answers.of(frame, arguments.workload, View(), arguments.part)
    given = of_suite(arguments.suite, arguments.workload)
    print(f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if arguments.models is not None:
            (home / "models").symlink_to(arguments.models.absolute())
        prepared(home / "models")
        parts = make_parts(Settings.from_environment({"AUTORAG_HOME": folder}), arguments.seed)
        workload = BenchWorkload(given, parts, repeats=0)
        checked(workload, frame)
        reality = Reality(workload, answers, home, arguments.seed)
        found = []
        for config in drawn(answers, arguments.configs, arguments.draw):
            found.append(reality.compare(config))
            show(found[-1], len(found))
    summarise(found, frame.filter(workload=arguments.workload, part=arguments.part))
    return int(any(c.different for c in found))


def of_suite(path: Path, name: str) -> SuiteWorkload:
    """
    Raises:
        InputError: it is not in the suite.
    """
    for workload in read_suite(path):
        if workload.name == name:
            return workload
    raise InputError(f"--workload {name}: not in {path}", key="workload", value=name)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, default=Path("benchmarks/table"))
    parser.add_argument("--suite", type=Path, default=Path("benchmarks/suite.toml"))
    parser.add_argument("--workload", default="xquad_en")
    parser.add_argument("--part", choices=("quality", "index"), default="quality")
    parser.add_argument("--configs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="the one the table was collected with")
    parser.add_argument("--draw", type=int, default=0, help="seed of which configs are drawn")
    parser.add_argument("--models", type=Path, help="prepared models, to save making them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
