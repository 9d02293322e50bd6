"""Kill ``autorag bench collect`` at random moments and run it again: what is lost or different?

Protocol: one undisturbed collection of one subsampled workload in a home of its own gives the
truth, the number of groups and the mean length of one. In a fresh home the same collection is
started again and again. For each start a number of groups is drawn uniformly (drawn beforehand, in
ascending order) and a moment of the mean length of a group: when so many groups are there, and this
moment later, it is killed with SIGKILL. The last start runs to its end; if one before does, the
kills that are left are made in another home. Violations are

* rows of a group that are gone, changed or written again after a kill;
* a table that does not read after a kill, or has a row twice;
* a process that is left after a kill;
* in the end: rows, quality, work counts or memory that are not those of the truth; a group too
  many or too few; a corrupt artifact.

Prints kills, groups, rows and violations; exit code 1 on any violation.

    python -m benchmarks.collect_kill [--workload xquad_en] [--documents 60] [--kills 20]
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from autorag.table.files import KEY, one_row_each, read_table
from autorag.table.schema import QUALITY
from benchmarks.kill_resume import SCRIPT, Home, prepared

POLL_S = 0.02
CONDITIONS = ("workload_hash", "documents", "timed_queries", "memory_mb", "index_mb")
DETERMINISTIC = (*sorted(c for c in QUALITY if not c.startswith("build.")), *CONDITIONS)

Files = Mapping[str, tuple[int, bytes]]
"""Name → when it was written, and what is in it."""


@dataclass
class Collector:
    """A home in which the suite is collected, killed so often."""

    home: Home
    suite: Path
    repeats: int
    kills: int = 0

    def start(self) -> subprocess.Popen[bytes]:
        """Start the collection; what it says goes to a file."""
        place = {"AUTORAG_HOME": str(self.home.path), "TMPDIR": str(self.home.path / "tmp")}
        table = self.home.path / "table"
        named = ("--suite", self.suite, "--table", table, "--repeats", self.repeats)
        with (self.home.path / "err").open("ab") as err:
            return subprocess.Popen(
                [str(SCRIPT), "bench", "collect", "--json", *map(str, named)],
                stdout=subprocess.DEVNULL,
                stderr=err,
                env={**os.environ, **place},
            )

    def run(self, after: int = 0, moment: float | None = None) -> bool:
        """Run the collection to its end, or kill it at a moment after so many groups are there;
        whether it ended."""
        with self.start() as process:
            while len(self.rows()) < after and process.poll() is None:
                time.sleep(POLL_S)
            try:
                code = process.wait(timeout=moment)
            except subprocess.TimeoutExpired:
                process.kill()
                self.kills += 1
                return False
        if code:
            raise RuntimeError(f"exit code {code}: {(self.home.path / 'err').read_text()[-2000:]}")
        return True

    def rows(self) -> list[Path]:
        """The files of rows, one a group."""
        return sorted((self.home.path / "bench" / "rows").rglob("*.json"))

    def group_s(self) -> float:
        """Mean seconds from one group to the next."""
        written = [p.stat().st_mtime for p in self.rows()]
        return (max(written) - min(written)) / max(1, len(written) - 1)

    def files(self) -> Files:
        return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in self.rows()}

    def frame(self) -> pl.DataFrame:
        return read_table(self.home.path / "table")


def after_a_kill(collector: Collector, before: Files) -> Iterator[str]:
    """What a kill did that it must not; ``before`` is what was there at the one before."""
    for left in collector.home.left_behind():
        yield f"process {left} is left"
    yield from lost(before, collector.files())
    tables = any(collector.home.path.glob("table/*.parquet"))
    if tables and not one_row_each(collector.frame()):
        yield "a row stands twice in the table"


def lost(before: Files, after: Files) -> Iterator[str]:
    """Groups that were there and are not as they were."""
    for name, (written, content) in before.items():
        if name not in after:
            yield f"{name} is gone"
        elif after[name][1] != content:
            yield f"{name} is changed"
        elif after[name][0] != written:
            yield f"{name} was written again"


def in_the_end(truth: Collector, collector: Collector) -> Iterator[str]:
    """What is not as in the undisturbed collection."""
    wanted, found = truth.files(), collector.files()
    yield from (f"{name} is missing or too many" for name in wanted.keys() ^ found.keys())
    if not one_row_each(collector.frame()):
        yield "a row stands twice in the table"
    columns = [*KEY, *DETERMINISTIC]
    right, mine = (c.frame().select(columns) for c in (truth, collector))
    if not right.select(KEY).equals(mine.select(KEY)):
        yield f"{len(mine)} rows, not the {len(right)} of the truth"
        return
    yield from (f"{c} differs" for c in columns if not right[c].equals(mine[c]))
    if Home(collector.home.path / "bench").corrupt():
        yield "artifacts are corrupt"


def disturbed(collector: Collector, truth: Collector, draw: random.Random, kills: int) -> list[str]:
    """Kill a collection so often, then let it end; returns the violations."""
    groups, found = len(truth.rows()), []
    before: Files = {}
    for target in sorted(draw.randrange(groups) for _ in range(kills)):
        moment = draw.uniform(0, truth.group_s())
        if collector.run(target, moment):
            break
        print(f"  killed {moment:5.1f} s after group {target} of {groups}", flush=True)
        found += told(after_a_kill(collector, before))
        before = collector.files()
    collector.run()
    return found + told(lost(before, collector.files())) + told(in_the_end(truth, collector))


def told(violations: Iterable[str]) -> list[str]:
    found = [f"  VIOLATION {line}\n" for line in violations]
    print(*found, sep="", end="", flush=True)
    return found


def main() -> int:
    arguments = parse_arguments()
    print(f"{suite_of(arguments)}load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        suite = root / "suite.toml"
        suite.write_text(suite_of(arguments))
        models = prepared(arguments.models or root / "models")
        truth = Collector(Home.make(root / "undisturbed", models), suite, arguments.repeats)
        truth.run()
        groups, rows = len(truth.rows()), len(truth.frame())
        print(f"undisturbed: {groups} groups, {truth.group_s():.1f} s each", flush=True)
        draw, kills, found = random.Random(arguments.seed), 0, []
        while kills < arguments.kills:
            home = Home.make(root / f"after {kills} kills", models)
            collector = Collector(home, suite, arguments.repeats)
            found += disturbed(collector, truth, draw, arguments.kills - kills)
            kills += collector.kills
    print(f"kills {kills}, groups {groups}, rows {rows}, violations {len(found)}")
    return int(bool(found))


def suite_of(a: argparse.Namespace) -> str:
    kept = f'family = "any", documents = {a.documents}, queries = 40, parts = ["{a.part}"]'
    return f'[workloads]\n{a.workload} = {{ docs = "$AUTORAG_WORKLOADS/{a.workload}", {kept} }}\n'


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workload", default="xquad_en", help="a folder of AUTORAG_WORKLOADS")
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--part", default="quality")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, help="prepared models, to save making them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
