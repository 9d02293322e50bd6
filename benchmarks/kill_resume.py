"""Kill ``autorag tune`` at random moments and run it again: is anything lost, twice or different?

Protocol, for each strategy: one undisturbed study in a home of its own gives the truth, and the
quickest study that no kill met a duration T. Then studies of the same seed run in fresh homes;
each start is killed with SIGKILL after a moment drawn uniformly from (0, T), and the command is
started again until the study ends, home after home, until there were as many kills as asked for.
Every study must end with the same trials (configs, states and deterministic metrics, on both
sides of the split) and the same recommended config as the undisturbed one, no trial twice, one
study in the database, a sound artifact store, and after every kill no process left. The objective
bounds no latency, so that no decision hangs on the noise of timing. Exit code 1 on any difference.

    python benchmarks/kill_resume.py --docs FOLDER --kills 20 --trials 4
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(sys.executable).with_name("autorag")
OBJECTIVE = "max ndcg_at_10 subject to context_tokens <= 2000"
DETERMINISTIC = (
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "ndcg_at_10",
    "mrr_at_10",
    "ann_recall_at_10",
    "context_tokens",
    "memory_mb",
)
GONE_WITHIN_S = 5.0
MOST_S = 1800.0

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Tuning:
    """What is run: the same command again and again."""

    docs: Path
    strategy: str
    trials: int
    seed: int
    max_queries: int

    def command(self, report: Path) -> list[str]:
        named = {
            "--docs": self.docs,
            "--strategy": self.strategy,
            "--trials": self.trials,
            "--seed": self.seed,
            "--max-queries": self.max_queries,
            "--objective": OBJECTIVE,
            "--budget": "none",
            "--report": report,
        }
        options = [str(part) for pair in named.items() for part in pair]
        return [str(SCRIPT), "tune", "--json", *options]


@dataclass(frozen=True)
class Home:
    """A home with a measuring lease of its own, and what a study left in it."""

    path: Path

    @classmethod
    def make(cls, path: Path, models: Path) -> Home:
        """An empty home with the models, and the hardware profile in ``hardware/`` there, of
        another."""
        (path / "tmp").mkdir(parents=True)
        (path / "models").symlink_to(models, target_is_directory=True)
        (models / "hardware").mkdir(exist_ok=True)
        (path / "hardware").symlink_to(models / "hardware", target_is_directory=True)
        return cls(path)

    def start(self, tuning: Tuning) -> subprocess.Popen[bytes]:
        """Start the study; its result goes to a file."""
        place = {"AUTORAG_HOME": str(self.path), "TMPDIR": str(self.path / "tmp")}
        with (self.path / "out").open("wb") as out, (self.path / "err").open("ab") as err:
            return subprocess.Popen(
                tuning.command(self.path / "report.html"),
                stdout=out,
                stderr=err,
                env={**os.environ, **place},
            )

    def run(self, tuning: Tuning, kill_after: float = MOST_S) -> bool:
        """Run the study; whether it ended by itself before it was killed."""
        with self.start(tuning) as process:
            try:
                code = process.wait(timeout=kill_after)
            except subprocess.TimeoutExpired:
                process.kill()
                return False
        if code:
            raise RuntimeError(f"exit code {code}: {(self.path / 'err').read_text()[-2000:]}")
        return True

    def recommended(self) -> dict[str, Any]:
        """The config that the study recommended."""
        found: dict[str, Any] = json.loads((self.path / "out").read_text())
        return dict(found["recommended"]["config"])

    def trials(self) -> list[Row]:
        """(study, split, number, state, config, deterministic metrics) of every trial."""
        columns = "study_id, split, number, state, config, metrics"
        rows = self._select(f"SELECT {columns} FROM trials ORDER BY study_id, split, number")
        return [(*row[:4], row[4], _deterministic(json.loads(row[5]))) for row in rows]

    def running(self) -> list[Row]:
        """(split, number, when it was started) of a trial that runs or was killed."""
        return self._select("SELECT split, number, started_at FROM trials WHERE state = 'running'")

    def hit(self, before: Sequence[Row]) -> str:
        """What a kill interrupted; ``before`` is what the kill before it left running."""
        running, trials = self.running(), len(self.trials())
        drafts = len(list((self.path / "artifacts").rglob(".*.draft")))
        if not trials or (running and running == before):
            what = "starting"
        elif running:
            what = "measuring {} {}".format(*running[0])
        else:
            what = "between trials or at the end"
        ended = f"{trials - len(running)} trials ended"
        return f"{what}, {ended}" + (f", {drafts} drafts left" if drafts else "")

    def corrupt(self) -> int:
        """Artifacts that do not read."""
        from autorag.pipeline.artifacts import ArtifactStore

        return ArtifactStore(self.path / "artifacts").check()["corrupt"]

    def processes(self) -> list[int]:
        """Processes whose environment names this home."""
        mark = f"AUTORAG_HOME={self.path}".encode()
        return [p for p, environment in _environments() if mark in environment.split(b"\0")]

    def left_behind(self, within_s: float = GONE_WITHIN_S) -> list[int]:
        """Processes still there so long after a kill."""
        until = time.monotonic() + within_s
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.05)
        return left

    def _select(self, query: str) -> list[Row]:
        path = self.path / "autorag.db"
        if not path.is_file():
            return []
        with closing(sqlite3.connect(path)) as connection:
            try:
                return connection.execute(query).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise


def _deterministic(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in DETERMINISTIC if name in metrics}


def _environments() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            yield int(entry.parent.name), entry.read_bytes()
        except OSError:
            continue


def differences(truth: Home, home: Home) -> list[str]:
    """What is not as in the undisturbed home; one line each."""
    wanted, found = truth.trials(), home.trials()
    lines = [f"missing or different: {row}" for row in wanted if row not in found]
    lines += [f"not in the undisturbed study: {row}" for row in found if row not in wanted]
    searched = [row[4] for row in found if row[1] == "search"]
    lines += ["a config twice"] * (len(set(searched)) < len(searched))
    lines += ["another recommended config"] * (home.recommended() != truth.recommended())
    corrupt = home.corrupt()
    return lines + [f"{corrupt} corrupt artifacts"] * (corrupt > 0)


@dataclass
class Verdict:
    """One strategy's row of the table."""

    strategy: str
    seconds: float
    trials: int
    kills: int = 0
    homes: int = 0
    wrong: int = 0
    left: int = 0

    def row(self) -> str:
        verdict = "ok" if self.wrong + self.left == 0 else "DIFFERENT"
        counts = f"{self.kills:>7}{self.homes:>9}{self.trials:>8}{self.wrong:>13}{self.left:>11}"
        return f"{self.strategy:<10}{self.seconds:>7.1f}{counts}  {verdict}"


HEAD = (
    f"{'strategy':<10}{'T s':>7}{'kills':>7}{'studies':>9}{'trials':>8}{'differences':>13}"
    f"{'left over':>11}  verdict"
)


def benchmark(tuning: Tuning, folder: Path, models: Path, kills: int) -> Verdict:
    """One strategy, killed ``kills`` times."""
    truth = Home.make(folder / "undisturbed", models)
    started = time.monotonic()
    truth.run(tuning)
    verdict = Verdict(tuning.strategy, time.monotonic() - started, len(truth.trials()))
    print(f"\n{tuning.strategy}: undisturbed {verdict.seconds:.1f} s, {verdict.trials} trials")
    moments = random.Random(f"{tuning.seed} {tuning.strategy}")
    while verdict.kills < kills:
        home = Home.make(folder / f"killed{verdict.homes}", models)
        disturb(home, tuning, moments, kills, verdict)
        verdict.homes += 1
        found = differences(truth, home)
        verdict.wrong += len(found)
        print(f"  study {verdict.homes}: {'; '.join(found) or 'as undisturbed'}", flush=True)
    return verdict


def disturb(
    home: Home, tuning: Tuning, moments: random.Random, kills: int, verdict: Verdict
) -> None:
    """Run one study to its end, killing it on the way as long as kills are left."""
    earlier = verdict.kills
    while verdict.kills < kills:
        moment, before = moments.uniform(0, verdict.seconds), home.running()
        started = time.monotonic()
        if home.run(tuning, moment):
            if verdict.kills == earlier:
                verdict.seconds = min(verdict.seconds, time.monotonic() - started)
            return
        verdict.kills += 1
        verdict.left += len(home.left_behind())
        print(f"  kill {verdict.kills:>2} after {moment:6.2f} s: {home.hit(before)}", flush=True)
    home.run(tuning)


def main() -> int:
    arguments = parse_arguments()
    print(f"documents {arguments.docs.name}, seed {arguments.seed}, {arguments.trials} trials")
    print(f"{OBJECTIVE}; {arguments.kills} kills a strategy at uniform moments")
    print(f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        models = prepared(arguments.models or Path(folder) / "models")
        verdicts = [
            benchmark(tuning, Path(folder) / tuning.strategy, models, arguments.kills)
            for tuning in tunings(arguments)
        ]
    print("\n" + "\n".join([HEAD, *(v.row() for v in verdicts)]))
    return int(any(v.wrong + v.left for v in verdicts))


def tunings(arguments: argparse.Namespace) -> Sequence[Tuning]:
    a = arguments
    return [Tuning(a.docs, s, a.trials, a.seed, a.max_queries) for s in a.strategies]


def prepared(models: Path) -> Path:
    """The folder of models, made when they are not there: once, not in every home."""
    from collectors.prepare import needs_preparation, prepare_models

    if needs_preparation(models):
        prepare_models(models)
    return models.absolute()


def parse_arguments() -> argparse.Namespace:
    workloads = os.environ.get("AUTORAG_WORKLOADS")
    default = Path(workloads) / "xquad_en" if workloads else None
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--docs", type=Path, default=default, required=default is None)
    parser.add_argument("--kills", type=int, default=20, help="for each strategy")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-queries", type=int, default=100)
    parser.add_argument("--models", type=Path, help="prepared models, to save making them")
    parser.add_argument("--strategies", nargs="+", default=["bayesian", "greedy", "random"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
