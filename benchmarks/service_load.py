"""How the service answers under load: settings polls and recommends, ingest until it refuses, and
memory over time.

Protocol. The service is a process of its own with an empty database; the generator is this process;
both share the machine. Latencies are from the moment at which a request was due, not sent (an open
loop: a service that stalls is charged for everybody who waits), at ``--rate`` requests a second in
Poisson arrivals for ``--seconds``, over kept-alive connections, in ``--repeats`` rounds:

* ``ceiling``: the same framework and server with a route that returns a constant, alone;
* ``poll``: ``GET …/settings`` of one of 20 apps, half of them with the current ETag (304);
* ``recommend``: ``POST /v1/recommend`` for an app with ``--trials`` measured trials;
* ``predict``: the same for a workload that is only described: features near those of a workload of
  the measured table, other ones in every request, and the profile of a machine;
* ``asked again``: as ``predict``, with the same 20 questions again and again;
* ``mixed``: polls and recommends, half and half; and the same while a worker does a tune
  (``--tune DOCS``).

``ingest``: ``--senders`` closed loops post OTLP requests, more than the service takes at once, and
send again what was answered with 503 (after ``Retry-After``) or not at all; at the end every span
of every request must be stored once. ``memory``: with ``--minutes`` 30, polls, recommends,
acknowledgements and observations at ``--rate``, resident memory every 10 s.

    python benchmarks/service_load.py [--rate 100] [--seconds 30] [--repeats 3] [--minutes 0]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

from autorag.table.files import read_machines, read_table, row_features, row_profile

SCRIPT = Path(sys.executable).with_name("autorag")
KEY = "benchmark-key-of-24-characters"
APPS = 20
CONNECTIONS = 32
SPANS = 512
CEILING = """
import sys
import uvicorn
from fastapi import FastAPI, Response

app = FastAPI()

@app.get("/constant")
async def constant() -> Response:
    return Response(b'{"settings":{}}', media_type="application/json")

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="error")
"""

Request = tuple[str, str, dict[str, str], bytes]
"""Method, path, headers, body."""


@dataclass
class Load:
    """What was asked and answered."""

    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def quantile(self, q: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def main() -> None:
    arguments = _arguments()
    rng = random.Random(arguments.seed)
    print(
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}; {arguments.rate:g} "
        f"requests/s for {arguments.seconds:g} s, {arguments.repeats} repeats, {CONNECTIONS} "
        f"connections, seed {arguments.seed}"
    )
    print(f"{'':24}{'p50 ms':>16}{'p99 ms':>20}{'errors':>10}{'CPU ms/request':>18}")
    with ceiling() as (port, process):
        rounds(arguments, "ceiling", port, process, lambda: ("GET", "/constant", {}, b""), rng)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (port, process):
        apps = [register(port, f"app-{n}") for n in range(APPS)]
        measure_trials(port, arguments.trials)
        polls, asks = poller(apps, rng), asker(apps, rng)
        rounds(arguments, "poll", port, process, polls, rng)
        rounds(arguments, "recommend", port, process, asks, rng)
        predicts = predictor(arguments.table, rng)
        began = time.perf_counter()
        call(port, "POST", "/v1/recommend", json.loads(predicts()[3]))
        print(f"  the first prediction took {time.perf_counter() - began:.1f} s")
        rounds(arguments, "predict", port, process, predicts, rng)
        same = [predicts() for _ in range(APPS)]
        rounds(arguments, "asked again", port, process, lambda: rng.choice(same), rng)
        mixed = _either(polls, asks, rng)
        rounds(arguments, "mixed", port, process, mixed, rng)
        ingest(arguments, port, Path(folder))
        if arguments.minutes:
            memory(arguments, port, process, apps, rng)
    if arguments.tune is not None:
        data = {"AUTORAG_DATA_DIR": str(arguments.tune.resolve().parent)}
        more = {**data, "AUTORAG_WORKERS": "1"}
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(Path(folder), more) as (port, process),
        ):
            apps = [register(port, f"app-{n}") for n in range(APPS)]
            measure_trials(port, arguments.trials)
            mixed = _either(poller(apps, rng), asker(apps, rng), rng)
            rounds(arguments, "mixed, no tune", port, process, mixed, rng)
            job = begin_tune(port, arguments.tune.name)
            rounds(arguments, "mixed, tune going on", port, process, mixed, rng)
            state = call(port, "GET", f"/admin/v1/jobs/{job}")
            print(f"  the tune meanwhile: {state['state']}, {state['progress']}")


def rounds(
    arguments: argparse.Namespace,
    name: str,
    port: int,
    process: psutil.Process,
    make: Callable[[], Request],
    rng: random.Random,
) -> None:
    """Measure one kind of load several times, and print medians with the range."""
    loads, cpu = [], []
    for _ in range(arguments.repeats):
        before = _cpu_s(process)
        load = asyncio.run(open_loop(port, make, arguments.rate, arguments.seconds, rng))
        cpu.append((_cpu_s(process) - before) * 1e3 / len(load.latencies_ms))
        loads.append(load)
    errors = sum(n for load in loads for code, n in load.statuses.items() if code >= 400)
    figures = [_ranged([load.quantile(q) for load in loads]) for q in (0.5, 0.99)]
    statuses = dict(sum((load.statuses for load in loads), Counter()))
    print(
        f"{name:24}{figures[0]:>16}{figures[1]:>20}{errors:>10}{_ranged(cpu):>18}  {statuses}",
        flush=True,
    )


async def open_loop(
    port: int, make: Callable[[], Request], rate: float, seconds: float, rng: random.Random
) -> Load:
    """Send requests when they are due, whatever became of the others."""
    load, pool = Load(), Pool(port)
    loop = asyncio.get_running_loop()
    began = loop.time()
    due, tasks = began, set()

    async def one(due: float, request: Request) -> None:
        status, _ = await pool.ask(request)
        load.latencies_ms.append((loop.time() - due) * 1e3)
        load.statuses[status] += 1

    while due < began + seconds:
        await asyncio.sleep(max(0.0, due - loop.time()))
        task = loop.create_task(one(due, make()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += rng.expovariate(rate)
    await asyncio.gather(*tasks)
    pool.close()
    return load


class Pool:
    """Kept-alive connections, a request on each at a time; HTTP/1.1 by hand, because a client
    library costs more than the service does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._places = asyncio.Semaphore(CONNECTIONS)

    async def ask(self, request: Request) -> tuple[int, bytes]:
        """Status and body; 599 when the connection broke. One that was kept and that the service
        closed meanwhile, as servers do, is replaced."""
        async with self._places:
            while True:
                kept = bool(self._free)
                try:
                    connection = self._free.pop() if kept else await self._connect()
                    answer = await self._ask(connection, request)
                except (OSError, asyncio.IncompleteReadError):
                    if kept:
                        continue
                    return 599, b""
                self._free.append(connection)
                return answer

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def _ask(
        self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: Request
    ) -> tuple[int, bytes]:
        reader, writer = connection
        method, path, headers, body = request
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        status = int(head.split(" ", 2)[1])
        length = next(
            (int(line[15:]) for line in head.splitlines() if line.startswith("content-length:")), 0
        )
        return status, await reader.readexactly(length) if length else b""


def poller(apps: Sequence[tuple[str, str]], rng: random.Random) -> Callable[[], Request]:
    """Polls of settings, half of them by instances that have them already."""
    tags = {name: f'"{number + 1}.1"' for number, (name, _) in enumerate(apps)}

    def make() -> Request:
        name, key = rng.choice(apps)
        headers = {"Authorization": f"Bearer {key}"}
        if rng.random() < 0.5:
            headers["If-None-Match"] = tags[name]
        return "GET", f"/v1/apps/{name}/settings?instance=web-1", headers, b""

    return make


def asker(apps: Sequence[tuple[str, str]], rng: random.Random) -> Callable[[], Request]:
    """Recommends for the app that has measurements."""
    name, key = apps[0]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = json.dumps({"app": name}).encode()
    return lambda: ("POST", "/v1/recommend", headers, body)


def predictor(table: Path, rng: random.Random) -> Callable[[], Request]:
    """Recommends for workloads that are only described."""
    machines = read_machines(table)
    rows = read_table(table).filter(part="quality", repeat=0).unique("workload").to_dicts()
    known = [(row_features(r).values(), row_profile(r, machines)) for r in rows if r["hardware"]]
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}

    def make() -> Request:
        features, profile = rng.choice(known)
        near = {k: v and v * rng.uniform(0.9, 1.1) for k, v in features.items()}
        body = {"features": {"schema": 1, "values": near}, "hardware": profile.to_json()}
        return "POST", "/v1/recommend", headers, json.dumps(body).encode()

    return make


def _either(
    one: Callable[[], Request], other: Callable[[], Request], rng: random.Random
) -> Callable[[], Request]:
    return lambda: one() if rng.random() < 0.5 else other()


def ingest(arguments: argparse.Namespace, port: int, folder: Path) -> None:
    """More senders than the service takes in at once, who try again."""
    bodies = [spans_body() for _ in range(arguments.requests)]
    began = time.perf_counter()
    statuses, resent = asyncio.run(send_all(port, bodies, arguments.senders))
    seconds = time.perf_counter() - began
    database = sqlite3.connect((folder / "autorag-telemetry.db").as_uri() + "?mode=ro", uri=True)
    (stored,) = database.execute("SELECT count(*) FROM spans").fetchone()
    wanted = SPANS * len(bodies)
    print(
        f"{'ingest':24}{arguments.senders} senders, {len(bodies)} requests of {SPANS} spans: "
        f"{dict(statuses)}, {resent} sent again; {stored} of {wanted} spans stored "
        f"({wanted / seconds:,.0f} spans/s)"
    )
    if stored != wanted:
        raise SystemExit("spans were lost or stored twice")


async def send_all(port: int, bodies: Sequence[bytes], senders: int) -> tuple[Counter[int], int]:
    statuses: Counter[int] = Counter()
    waiting = list(bodies)
    resent = 0
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-protobuf"}

    async def sender() -> None:
        nonlocal resent
        pool = Pool(port)
        while waiting:
            body = waiting.pop()
            while True:
                status, _ = await pool.ask(("POST", "/v1/traces", headers, body))
                statuses[status] += 1
                if status == 200:
                    break
                resent += 1
                await asyncio.sleep(1.0)
        pool.close()

    await asyncio.gather(*(sender() for _ in range(senders)))
    return statuses, resent


def memory(
    arguments: argparse.Namespace,
    port: int,
    process: psutil.Process,
    apps: Sequence[tuple[str, str]],
    rng: random.Random,
) -> None:
    """Resident memory while everything is asked, minute by minute."""
    polls, asks = poller(apps, rng), asker(apps, rng)

    def make() -> Request:
        name, key = rng.choice(apps)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        kind = rng.random()
        if kind < 0.2:
            row = {"stage": "retrieve", "metric": "duration_ms", "value": rng.random() * 50}
            body = json.dumps({"instance": "web-1", "observations": [row] * 10}).encode()
            return "POST", f"/v1/apps/{name}/observations", headers, body
        if kind < 0.25:
            body = json.dumps({"instance": "web-1", "revision": 1, "state": "applied"}).encode()
            return "POST", f"/v1/apps/{name}/acks", headers, body
        return polls() if kind < 0.65 else asks()

    resident: list[float] = []
    statuses: Counter[int] = Counter()
    for minute in range(arguments.minutes):
        load = asyncio.run(open_loop(port, make, arguments.rate, 60, rng))
        statuses += load.statuses
        resident.append(process.memory_info().rss / 1e6)
        if minute in (0, 1, 4) or (minute + 1) % 5 == 0:
            print(
                f"{'memory':24}minute {minute + 1}: {resident[-1]:.1f} MB, p50 "
                f"{load.quantile(0.5):.1f} ms, p99 {load.quantile(0.99):.1f} ms, {dict(statuses)}",
                flush=True,
            )
    late = resident[len(resident) // 2 :]
    slope = statistics.linear_regression(range(len(late)), late).slope if len(late) > 1 else 0.0
    print(f"{'memory':24}growth in the second half: {slope * 60:+.2f} MB an hour")


def spans_body() -> bytes:
    """An OTLP request of whole traces of 8 spans."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    made = ExportTraceServiceRequest()
    group = made.resource_spans.add().scope_spans.add()
    for _ in range(SPANS // 8):
        trace, root = secrets.token_bytes(16), secrets.token_bytes(8)
        for number in range(8):
            span = group.spans.add(trace_id=trace, name="retrieve" if number else "request")
            span.span_id = secrets.token_bytes(8) if number else root
            if number:
                span.parent_span_id = root
            span.start_time_unix_nano = time.time_ns()
            span.end_time_unix_nano = span.start_time_unix_nano + 5_000_000
    return made.SerializeToString()


def register(port: int, name: str) -> tuple[str, str]:
    return name, str(call(port, "POST", "/v1/apps", {"name": name, **APP})["key"])


APP = {
    "space": {"knobs": [{"name": "search.limit", "type": "int", "low": 1, "high": 10_000,
                         "default": 10}]},
    "objective": "max ndcg_at_10 subject to latency_p95_ms <= 100",
}  # fmt: skip


def measure_trials(port: int, count: int) -> None:
    """Report so many trials of the first app."""
    for number in range(count):
        asked = call(port, "POST", "/v1/apps/app-0/suggestions", {"client": "bench"})
        if asked["trial"] is None:
            raise SystemExit(f"nothing left to try after {number} trials")
        metrics = {"ndcg_at_10": random.Random(number).random(), "latency_p95_ms": 5.0}
        path = f"/v1/apps/app-0/trials/{asked['trial']}/result"
        call(port, "POST", path, {"metrics": metrics})


def begin_tune(port: int, docs: str) -> int:
    call(port, "POST", "/v1/apps", {"name": "tuned"})
    call(port, "PUT", "/v1/apps/tuned/workload", {"docs": docs})
    arguments = {"trials": 50, "budget": "30m"}
    body = {"kind": "tune", "app": "tuned", "arguments": arguments}
    return int(call(port, "POST", "/admin/v1/jobs", body)["id"])


def call(port: int, method: str, path: str, body: object = None) -> Any:
    headers = {"Authorization": f"Bearer {KEY}"}
    url = f"http://127.0.0.1:{port}{path}"
    answer = httpx2.request(method, url, json=body, headers=headers, timeout=30)
    if answer.status_code >= 300:
        raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
    return answer.json()


@contextmanager
def serving(
    folder: Path, more: dict[str, str] | None = None
) -> Iterator[tuple[int, psutil.Process]]:
    """A service with an empty database; other folders are those of ``AUTORAG_HOME``."""
    port = _free_port()
    environment = {
        **os.environ,
        "AUTORAG_ADMIN_KEY": KEY,
        "AUTORAG_RATE_PER_S": "0",
        "AUTORAG_WORKERS": "0",
        "AUTORAG_DB": f"sqlite:///{folder / 'autorag.db'}",
        **(more or {}),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(SCRIPT), "serve", "--port", str(port)], env=environment, stderr=log
        )
    began = time.perf_counter()
    try:
        _wait(port, "/readyz")
        print(f"ready after {time.perf_counter() - began:.2f} s")
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def ceiling() -> Iterator[tuple[int, psutil.Process]]:
    """The bare framework."""
    port = _free_port()
    process = subprocess.Popen([sys.executable, "-c", CEILING, str(port)])
    try:
        _wait(port, "/constant")
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait(port: int, path: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}{path}").status_code == 200:
                return
        except httpx2.HTTPError:
            time.sleep(0.02)
    raise SystemExit("the service did not start")


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _ranged(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--senders", type=int, default=96)
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--minutes", type=int, default=0)
    parser.add_argument("--table", type=Path, default=Path("benchmarks/table"))
    parser.add_argument("--tune", type=Path, help="a folder of documents to tune meanwhile")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
