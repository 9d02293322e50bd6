"""How many spans a second the service takes in, from HTTP to committed rows, on one core.

Protocol: the real service in a process of its own, bound to one core; this process, on the other
cores, posts bodies of ``--spans`` spans over ``--connections`` kept-alive connections, each body
with trace and span ids of its own, made before the clock starts. The clock runs from the first
request to the last answer, and an answer means committed; settling goes on meanwhile, and what is
left of it is timed apart. Told beside spans a second: CPU seconds of the service for a million
spans, which neighbours on the machine disturb less than its wall time, and where they go, measured
stage by stage in this process.

Spans are those of a typical trace in OpenInference's words (9 spans: retrieve 4 documents with
their content, rerank, prompt, generate, chains), or those of a captured request (``--payload``,
protobuf).

    python benchmarks/otlp_ingest.py [--requests 200] [--spans 512] [--repeats 3] [--payload FILE]
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from autorag.ports import SystemClock
from autorag.telemetry import Source
from collectors.otlp import json_format, protobuf
from collectors.otlp.normalise import normalise
from collectors.otlp.receive import receive_traces
from collectors.otlp.settle import settle
from store.engine import open_telemetry, sqlite_url
from store.telemetry import TelemetryStore
from store.writer import BatchWriter

KEY = "benchmark-key-of-24-characters"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
SENTENCE = "Retrieval finds the documents that an answer stands on, before it is written. "
START_NS = 1_790_000_000_000_000_000


@dataclass(frozen=True)
class Run:
    """One repeat."""

    spans: int
    seconds: float
    cpu_s: float
    settle_s: float

    @property
    def rate(self) -> float:
        return self.spans / self.seconds


def main() -> None:
    arguments = _arguments()
    made = captured(arguments.payload) if arguments.payload else typical()
    core = max(os.sched_getaffinity(0))
    spans = max(1, arguments.spans // len(made)) * len(made)
    size = sum(len(s.SerializeToString()) for s in made) / len(made)
    print(
        f"service on core {core} of {os.cpu_count()}, load average {os.getloadavg()[0]:.2f}; "
        f"{arguments.connections} connections, {spans} spans a request, "
        f"{size:.0f} bytes a span in protobuf; {arguments.repeats} repeats of "
        f"{arguments.requests} requests"
    )
    for type_ in (PROTOBUF, JSON):
        bodies = [body(made, spans, type_) for _ in range(arguments.requests)]
        runs = [
            measure(bodies, spans, type_, core, arguments.connections)
            for _ in range(arguments.repeats)
        ]
        report(type_, runs)
        stages(bodies[:20], spans, type_)


def measure(bodies: Sequence[bytes], spans: int, type_: str, core: int, connections: int) -> Run:
    """Start a service with an empty database, send everything, look at the rows."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), core) as (url, process):
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": type_}
        with httpx2.Client(base_url=url, headers=headers, timeout=60) as client:
            cpu, started = _cpu_s(process), time.perf_counter()
            with ThreadPoolExecutor(connections) as pool:
                for status in pool.map(lambda b: _post(client, b), bodies):
                    if status != 200:
                        raise SystemExit(f"the service answered {status}")
            seconds = time.perf_counter() - started
            cpu = _cpu_s(process) - cpu
        database = Path(folder) / "autorag-telemetry.db"
        stored = _scalar(database, "SELECT count(*) FROM spans")
        if stored != len(bodies) * spans:
            raise SystemExit(f"{stored} rows of {len(bodies) * spans} spans")
        while _scalar(database, "SELECT count(*) FROM traces WHERE settled < version"):
            time.sleep(0.05)
        settle_s = time.perf_counter() - started - seconds
    return Run(len(bodies) * spans, seconds, cpu, settle_s)


def report(type_: str, runs: Sequence[Run]) -> None:
    rates = [r.rate for r in runs]
    cpu = statistics.median(r.cpu_s / r.spans * 1e6 for r in runs)
    settle_s = statistics.median(r.settle_s for r in runs)
    print(
        f"\n{type_}: {statistics.median(rates):,.0f} spans/s "
        f"({min(rates):,.0f} … {max(rates):,.0f}), {cpu:.1f} CPU µs a span with the settling that "
        f"went on; settled {settle_s:.1f} s after the last answer"
    )


def stages(bodies: Sequence[bytes], spans: int, type_: str) -> None:
    """Where the time goes, stage by stage in this process: CPU microseconds a span."""
    read = protobuf.spans if type_ == PROTOBUF else json_format.spans
    total = len(bodies) * spans
    me = Source("benchmark")

    def decode() -> None:
        for b in bodies:
            for group in read(b):
                for _ in group.records:
                    pass

    raw = [r for b in bodies for group in read(b) for r in group.records]
    batches = [receive_traces(b, None, type_, lambda _: me).batch for b in bodies]
    made = [normalise(r) for r in raw]
    by_trace: dict[bytes, list] = {}
    for span in made:
        by_trace.setdefault(span.trace_id, []).append(span)

    def store(folder: str) -> Callable[[], None]:
        engine = open_telemetry(sqlite_url(Path(folder) / "b.db"))

        def insert() -> None:
            with BatchWriter(engine) as writer:
                telemetry = TelemetryStore(engine, writer, SystemClock())
                for added in [telemetry.add(b) for b in batches]:
                    added.result()
            engine.dispose()

        return insert

    with tempfile.TemporaryDirectory() as folder:
        rows = {
            "decode and pick attributes": decode,
            "normalise": lambda: [normalise(r) for r in raw],
            "insert and commit": store(folder),
            "settle, without its rows": lambda: [
                settle(t, s, cut=False) for t, s in by_trace.items()
            ],
        }
        for name, run in rows.items():
            started = time.process_time()
            run()
            print(f"  {name:<28}{(time.process_time() - started) / total * 1e6:>6.1f} µs a span")


def body(made: Sequence[Span], spans: int, type_: str) -> bytes:
    """A request of whole traces, so many spans, with ids of their own."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "benchmark"
    group.resource.attributes.add(key="service.instance.id").value.string_value = "one"
    scope = group.scope_spans.add()
    while len(scope.spans) < spans:
        ids = {b"": b""} | {s.span_id: secrets.token_bytes(8) for s in made}
        traces = {s.trace_id: secrets.token_bytes(16) for s in made}
        for span in made:
            copy = scope.spans.add()
            copy.CopyFrom(span)
            copy.trace_id, copy.span_id = traces[span.trace_id], ids[span.span_id]
            copy.parent_span_id = ids.get(span.parent_span_id, b"")
    return request.SerializeToString() if type_ == PROTOBUF else _as_json(request)


def typical() -> list[Span]:
    """One trace of a retrieve, rerank, generate chain."""
    question, text = "what does retrieval find?", SENTENCE * 6
    documents = {
        f"{i}.document.{name}": value
        for i in range(4)
        for name, value in (("id", f"doc-{i}"), ("content", text), ("score", 0.9 - i / 10))
    }
    retrieved = {f"retrieval.documents.{k}": v for k, v in documents.items()}
    reranked = {f"reranker.output_documents.{k}": v for k, v in documents.items()}
    asked = {"input.value": question, "output.value": text}
    message = {"llm.input_messages.0.message.content": text * 4, "llm.model_name": "m"}
    counts = {"llm.token_count.prompt": 400, "llm.token_count.completion": 60}
    plan = [
        ("Retriever", 3, "RETRIEVER", retrieved | asked),
        ("Reranker", 3, "RERANKER", reranked | asked),
        ("RunnableSequence", 2, "CHAIN", asked),
        ("RunnablePassthrough", 2, "CHAIN", asked),
        ("RunnableParallel", 1, "CHAIN", asked),
        ("ChatPromptTemplate", 1, "PROMPT", asked),
        ("ChatModel", 1, "LLM", asked | message | counts),
        ("StrOutputParser", 1, "CHAIN", asked),
        ("Pipeline", 0, "CHAIN", asked),
    ]
    return [_span(i, *row) for i, row in enumerate(plan)]


def captured(path: Path) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(path.read_bytes())
    return [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]


@contextmanager
def serving(home: Path, core: int) -> Iterator[tuple[str, psutil.Process]]:
    """The service on a free port, bound to a core."""
    command = [str(Path(sys.executable).with_name("autorag")), "serve", "--port", "0"]
    environment = {**os.environ, "AUTORAG_HOME": str(home), "AUTORAG_ADMIN_KEY": KEY}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        os.sched_setaffinity(process.pid, {core})
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        others = os.sched_getaffinity(0) - {core}
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, others or mine)
        try:
            while httpx2.get(f"{url}/readyz", timeout=60).status_code != 200:
                time.sleep(0.1)
            yield url, psutil.Process(process.pid)
        finally:
            os.sched_setaffinity(0, mine)
            process.terminate()
            process.communicate()


def _post(client: httpx2.Client, content: bytes) -> int:
    """Send a body; again when the service says that it is busy, as exporters do."""
    while (status := client.post("/v1/traces", content=content).status_code) == 503:
        time.sleep(0.1)
    return status


def _span(number: int, name: str, parent: int, kind: str, attributes: dict[str, object]) -> Span:
    """Span ``number``; its parent is a place from the end, 0 for none."""
    span = Span(trace_id=b"t" * 16, span_id=bytes([number + 1]) * 8, name=name)
    if parent:
        span.parent_span_id = bytes([{3: 3, 2: 5, 1: 9}[parent]]) * 8
    span.start_time_unix_nano = START_NS + number * 1_000_000
    span.end_time_unix_nano = span.start_time_unix_nano + 5_000_000
    for key, value in {"openinference.span.kind": kind, **attributes}.items():
        field = {str: "string_value", int: "int_value", float: "double_value"}[type(value)]
        setattr(span.attributes.add(key=key).value, field, value)
    return span


def _as_json(request: ExportTraceServiceRequest) -> bytes:
    row = MessageToDict(request, use_integers_for_enums=True)
    for group in row["resourceSpans"]:
        for span in (s for scope in group["scopeSpans"] for s in scope["spans"]):
            for key in ("traceId", "spanId", "parentSpanId"):
                if key in span:
                    span[key] = base64.b64decode(span[key]).hex()
    return json.dumps(row).encode()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _scalar(database: Path, query: str) -> int:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return int(connection.execute(query).fetchone()[0])
    finally:
        connection.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--spans", type=int, default=512)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--payload", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
