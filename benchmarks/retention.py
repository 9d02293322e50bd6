"""How long a prune keeps others from writing, and how many rows a second it deletes.

Protocol: a SQLite file of telemetry with ``--observations`` observations (of traces of 9 spans and
26 observations, spread evenly over 30 days, 3 apps, 2 revisions each), all of them older than is
kept. One process prunes it. Another goes on adding requests of 18 spans every 20 ms, as the service
does, and notes how long each took, before the prune begins and while it runs. Told are how long
each chunk held the lock (from when its transaction had begun until it had committed), what the
writer noticed, rows deleted a second of wall time, and how small the file became.

On a machine that others keep busy, those times are theirs. ``--cpu`` lets the prune go by its own
CPU time instead of the wall clock, which is near what an idle machine shows: the prune waits for
no disk but at checkpoints, which hold no lock.

    python benchmarks/retention.py [--observations 2000000] [--cpu] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, insert

from autorag.hashing import address
from autorag.ports import Clock, SystemClock
from autorag.telemetry import Observation, Source, Span
from store import bulk, telemetry
from store.deleting import row_pace
from store.engine import open_database, open_telemetry, sqlite_url
from store.retention import prune
from store.stats import database_stats
from store.tables import observations, sources, spans, traces
from store.telemetry import TelemetryStore
from store.writer import BatchWriter

DAY_S = 86_400
SPREAD_DAYS, KEPT_DAYS = 30, 30
STAGES = ("retrieve", "rerank", "generate", "request")
METRICS = ("duration_ms", "self_ms", "calls", "errors", "documents", "prompt_tokens", "ttft_ms")
SPANS, OBSERVED = 9, 26
EVERY_S = 0.02
BEFORE_S = 5.0


def main() -> None:
    arguments = _arguments()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        url = sqlite_url(Path(folder) / "a.db")
        open_database(url).dispose()
        engine = open_telemetry(url)
        fill(engine, arguments.observations)
        path = Path(folder) / "a-telemetry.db"
        print(f"{arguments.observations:,} observations, {path.stat().st_size / 1e6:,.0f} MB")
        run(engine, url, Path(folder), CpuClock() if arguments.cpu else SystemClock())
        stats = database_stats(url)[-1]
        print(
            f"{stats.rows['rollups']:,} histograms; {stats.bytes / 1e6:,.1f} MB, of it free "
            f"{(stats.free_bytes or 0) / 1e6:,.1f}, with {stats.rows['spans']:,} new spans"
        )
        engine.dispose()


class CpuClock(SystemClock):
    """Durations are CPU seconds of this process."""

    def monotonic(self) -> float:
        return time.process_time()


def run(engine: Engine, url: str, folder: Path, clock: Clock) -> None:
    """Prune while another process writes."""
    noted = folder / "noted"
    command = [sys.executable, __file__, "--write", url, "--folder", str(folder)]
    with subprocess.Popen(command) as writer:
        time.sleep(BEFORE_S)
        pace, began = row_pace(clock), time.time()
        done = prune(engine, clock, days=KEPT_DAYS, rollup_days=10_000, pace=pace)
        ended = time.time()
        (folder / "stop").touch()
        writer.wait()
    rows = done.observations + done.spans + done.traces
    print(
        f"{rows:,} rows in {ended - began:.1f} s: {rows / (ended - began):,.0f} rows/s, "
        f"{len(pace.held_s)} chunks"
    )
    _tell("lock held by a chunk", pace.held_s)
    table = np.loadtxt(noted, ndmin=2)
    before = table[:, 0] < began
    _tell("a request of the writer, before", table[before, 1])
    _tell("a request of the writer, meanwhile", table[~before & (table[:, 0] < ended), 1])


def fill(engine: Engine, count: int) -> None:
    """Traces that ended long ago, as they are once they settled."""
    rng = np.random.default_rng(0)
    total = count // OBSERVED
    oldest = int(time.time()) - (SPREAD_DAYS + KEPT_DAYS + 1) * DAY_S
    at = np.sort(rng.integers(0, SPREAD_DAYS * DAY_S, total)) + oldest
    who = rng.integers(1, 7, total)
    values = rng.lognormal(3, 1, (total, OBSERVED))
    with engine.begin() as connection:
        for number in range(6):
            source = Source(f"app{number // 2}", revision=str(number % 2))
            row = {n: getattr(source, n) for n in Source.__dataclass_fields__}
            identity = address([number])
            connection.execute(insert(sources), {**row, "identity": identity, "first_seen_at": 1})
    for start in range(0, total, 5_000):
        some = range(start, min(start + 5_000, total))
        with engine.begin() as connection:
            rows = [_trace(i, int(at[i]), int(who[i])) for i in some]
            columns = ("id", *telemetry._TOUCHED, "start_ns")
            _insert(connection, traces, rows, columns)
            _insert(
                connection,
                spans,
                [row for i in some for row in _spans(i, int(at[i]), int(who[i]))],
                telemetry._SPAN,
            )
            _insert(
                connection,
                observations,
                [row for i in some for row in _observed(i, int(at[i]), int(who[i]), values[i])],
                telemetry._OBSERVATION,
            )


def _insert(connection, table, rows, columns) -> None:  # type: ignore[no-untyped-def]
    bulk.insert_rows(connection, table, rows, columns=columns, conflict=bulk.refuse)


def _trace(number: int, at: int, source: int) -> bulk.Row:
    trace_id = blake2b(str(number).encode(), digest_size=16).digest()
    return (number + 1, trace_id, source, 1, True, at, 1, at * 1_000_000_000)


def _spans(number: int, at: int, source: int) -> Iterator[bulk.Row]:
    facts = b'{"documents":4,"ids":["doc-1","doc-2","doc-3","doc-4"]}'
    for i in range(SPANS):
        id_ = (number * 16 + i).to_bytes(8, "big")
        start = at * 1_000_000_000 + i
        yield (number + 1, id_, None, i == 0, "Retriever", "retrieve", 1.0, start, 5_000_000,
               False, facts, source)  # fmt: skip


def _observed(number: int, at: int, source: int, values: Sequence[float]) -> Iterator[bulk.Row]:
    for i, value in enumerate(values):
        stage, metric = STAGES[i % 4], METRICS[i // 4]
        seen = Observation(at, "query", stage, metric, float(value), "ms")
        yield (number + 1, i, source, *seen)


def write(url: str, folder: Path) -> None:
    """Add requests until told to stop; note when each began and how many seconds it took."""
    engine = open_telemetry(url)
    source, noted = Source("app0", revision="0"), []
    with BatchWriter(engine) as writer:
        store = TelemetryStore(engine, writer, SystemClock())
        while not (folder / "stop").exists():
            batch = [_span(len(noted), i) for i in range(18)]
            began, started = time.time(), time.perf_counter()
            store.add([(source, batch)]).result()
            noted.append((began, time.perf_counter() - started))
            time.sleep(max(0.0, EVERY_S - noted[-1][1]))
    np.savetxt(folder / "noted", np.array(noted))
    engine.dispose()


def _span(request: int, number: int) -> Span:
    trace = blake2b(f"new {request}".encode(), digest_size=16).digest()
    start = time.time_ns()
    id_ = number.to_bytes(8, "big")
    return Span(trace, id_, None, number == 0, "x", "chain", 1.0, start, 5_000_000, False, {})


def _tell(what: str, seconds: Sequence[float]) -> None:
    ms = np.asarray(seconds) * 1e3
    p50, p99 = np.percentile(ms, [50, 99])
    print(f"  {what:<36} p50 {p50:.1f}, p99 {p99:.1f}, max {ms.max():.1f} ms of {len(ms):,}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--observations", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    if given.write:
        write(given.write, given.folder)
    else:
        main()
