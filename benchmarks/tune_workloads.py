"""``autorag tune`` on workloads of different kinds: what it finds, and what reuse saves.

    python benchmarks/tune_workloads.py [--workloads NAME ...] [--trials N] [--budget 6m] [--cold N]

For every workload (a folder under ``AUTORAG_WORKLOADS``) ``autorag tune`` runs in an empty home, so
that every artifact is built by the study itself; models that are made once a machine are made
before and not counted. Then ``--cold`` of its trials, drawn by seed, are measured again with an
empty artifact store each: what the study would have cost without reuse is estimated as the mean
ratio of cold to reused seconds of those trials, times the seconds of the whole search.

Prints default against recommended on the report queries (with the paired 95 % interval of the
objective), then the seconds. Workloads are measured one after the other; keep the machine idle.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collectors.prepare import prepare_models

WORKLOADS = ("shift_new_wiki", "cosqa_code", "covidqa_long")
SHOWN = ("ndcg_at_10", "latency_p95_ms", "context_tokens", "memory_mb")
SEED = 0
AUTORAG = str(Path(sys.executable).with_name("autorag"))


def main() -> None:
    arguments = parse_arguments()
    folder = Path(os.environ["AUTORAG_WORKLOADS"])
    print(f"tune --trials {arguments.trials} --budget {arguments.budget} --seed {SEED}")
    print(f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        models = made_models(Path(scratch))
        for name in arguments.workloads:
            home = Path(scratch) / name
            shutil.copytree(models, home / "models")
            result = tuned(folder / name, home, arguments)
            show(name, result)
            cold = cold_sample(folder / name, home, models, arguments.cold)
            show_reuse(home, result, cold)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", nargs="+", default=WORKLOADS)
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--budget", default="6m")
    parser.add_argument("--cold", type=int, default=4)
    return parser.parse_args()


def made_models(scratch: Path) -> Path:
    """A folder with the static embedder, distilled once."""
    models = scratch / "models"
    prepare_models(models)
    return models


def tuned(docs: Path, home: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The object that ``tune --json`` prints."""
    command = [AUTORAG, "tune", "--docs", str(docs), "--trials", str(arguments.trials)]
    command += ["--budget", arguments.budget, "--seed", str(SEED), "--json"]
    command += ["--report", str(home / "report.html")]
    return run_json(command, home)


def cold_sample(docs: Path, home: Path, models: Path, count: int) -> list[tuple[float, float]]:
    """(seconds in the study, seconds with an empty store) of some finished trials."""
    with sqlite3.connect(home / "autorag.db") as database:
        rows = database.execute(
            "SELECT config, seconds FROM trials WHERE split = 'search' AND state = 'finished' "
            "AND number > 0 ORDER BY number"
        ).fetchall()
        queries = database.execute(
            "SELECT count(*) FROM trial_queries q JOIN trials t ON t.id = q.trial_id "
            "WHERE t.split = 'search' AND t.number = 0"
        ).fetchone()[0]
    chosen = random.Random(SEED).sample(rows, min(count, len(rows)))
    return [
        (seconds, cold_seconds(docs, home, models, config, queries)) for config, seconds in chosen
    ]


def cold_seconds(docs: Path, home: Path, models: Path, config: str, queries: int) -> float:
    """Seconds of building and serving one config with an empty store."""
    fresh = home / "cold"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(models, fresh / "models")
    file = home / "config.json"
    file.write_text(config)
    command = [AUTORAG, "measure", "--docs", str(docs), "--config", str(file), "--json"]
    measured = run_json([*command, "--max-queries", str(queries)], fresh)
    return float(measured["seconds"])


def run_json(command: Sequence[str], home: Path) -> dict[str, Any]:
    done = subprocess.run(
        command, env={**os.environ, "AUTORAG_HOME": str(home)}, stdout=subprocess.PIPE, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def show(name: str, result: Mapping[str, Any]) -> None:
    """Default against recommended."""
    queries = result["queries"]
    print(f"\n{name}: {result['trials']} trials, report on {queries['report']} queries")
    print(f"  {'':<16}{'default':>10}{'recommended':>13}   difference")
    for metric in SHOWN:
        before = result["default"]["measured"][metric]
        after = result["recommended"]["measured"][metric]
        gap = result["difference"][metric]
        told = "" if gap["distinguishable"] else "  not distinguishable"
        interval = f"{gap['value']:+.4g} ({gap['low']:+.4g} … {gap['high']:+.4g}){told}"
        print(f"  {metric:<16}{before:>10.4g}{after:>13.4g}   {interval}")
    default = result["default"]["config"]
    changed = {k: v for k, v in result["recommended"]["config"].items() if default.get(k) != v}
    print(f"  changed: {changed}", flush=True)


def show_reuse(home: Path, result: Mapping[str, Any], cold: Sequence[tuple[float, float]]) -> None:
    """Seconds with and without artifact reuse."""
    reused, empty = (sum(pair[i] for pair in cold) for i in (0, 1))
    ratio = empty / reused
    total = result["seconds"]
    size = sum(f.stat().st_size for f in (home / "artifacts").rglob("*.npz")) / 1e6
    print(f"  {total:.0f} s with reuse, {size:.0f} MB of artifacts, reused {result['reused']}")
    print(f"  {len(cold)} trials again with an empty store: {empty:.0f} s against {reused:.0f} s")
    print(f"  without reuse about {total * ratio:.0f} s ({ratio:.1f} times)", flush=True)


if __name__ == "__main__":
    main()
