"""Fuzzing the service: Schemathesis against a real process on loopback, by its own OpenAPI.

Protocol: a service with empty databases and no workers, in which apps, keys, jobs, schedules,
revisions and suggestions are made first. Three callers, one after the other: an operator (the
environment's admin key, which cannot be deleted), an app (its own key, which only operators can
delete) and nobody (no key). For each, all phases of Schemathesis: examples, coverage, fuzzing,
stateful (links of the document and inferred ones), in both modes (what the schema allows and what
it does not), ``--examples`` for each operation in the fuzzing phase and as many stateful scenarios,
from ``--seed``. All checks but ``positive_data_acceptance``: what is acceptable depends on an app's
space and state, which no schema says. Excluded besides: ``use_after_free`` of ``DELETE`` of a job,
which cancels it; its record tells so afterwards. Bodies in protobuf, which OpenAPI cannot describe,
are made here: random bytes, and requests that are whole, cut or changed.

An operation without parameters has a handful of requests that differ; those below the number are
named under the table. The bar is 0 failures: 0 server errors, 0 undocumented statuses.

    python benchmarks/api_fuzz.py [--examples 1000] [--seed 1] [--callers operator app nobody]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import schemathesis
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from schemathesis import Case, HookContext

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = Path(sys.executable).parent
KEY = "fuzzing-key-of-24-characters"
PROTOBUF = "application/x-protobuf"
CALLERS = ("operator", "app", "nobody")
PHASES = ("examples", "coverage", "fuzzing", "stateful")
APPS = ("support", "search", "frozen", "mine", "0", "doomed")
"""``mine`` is the app that fuzzes, ``0`` the simplest of all names, which is tried often."""

IDS = ("job", "schedule", "trial", "restart", "number")
EXCLUDED = {"use_after_free": ("cancel_job", "get_job")}


@dataclass
class Found:
    """What one caller's run found.

    Attributes:
        statuses: operation → status → requests.
        negative: operation → requests that the schema does not allow.
        failures: one line each.
        output: what Schemathesis said.
    """

    caller: str
    seconds: float = 0.0
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    negative: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    code: int = 0
    output: str = ""

    @property
    def requests(self) -> int:
        return sum(c.total() for c in self.statuses.values())


def main() -> None:
    arguments = _arguments()
    found = []
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as url:
        keys = prepare(url)
        operations = operations_of(url)
        for caller in arguments.callers:
            found.append(
                fuzz(url, caller, keys[caller], Path(folder), arguments.examples, arguments.seed)
            )
            print(summary(found[-1]), flush=True)
    print(table(found, operations, arguments.examples))
    if any(f.code for f in found):
        raise SystemExit(1)


# -- the service ----------------------------------------------------------------------------


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A service on a free port, with nothing in it; its log is ``service.log`` in the folder."""
    home, data = folder / "home", folder / "data"
    (data / "support").mkdir(parents=True)
    (data / "support" / "docs").mkdir()
    (data / "support" / "queries.jsonl").touch()
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AUTORAG_")}
    mine = {
        "AUTORAG_HOME": str(home),
        "AUTORAG_ADMIN_KEY": KEY,
        "AUTORAG_DATA_DIR": str(data),
        "AUTORAG_ALLOWED_NETWORKS": "0.0.0.0/8,127.0.0.0/8",
        "AUTORAG_RATE_PER_S": "0",
        "AUTORAG_LOG_LEVEL": "WARNING",
    }
    command = [str(SCRIPTS / "autorag"), "serve", "--port", "0", "--workers", "0"]
    log = folder / "service.log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, stderr=said, env={**kept, **mine})
    try:
        while (listens := re.search(r"listens on (\S+)\n", log.read_text())) is None:
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        yield listens[1]
    finally:
        process.terminate()
        process.wait()


def prepare(url: str) -> dict[str, str]:
    """Make things of every kind; returns the callers' keys."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
        made = {name: _done(client.post("/v1/apps", json={"name": name})) for name in APPS}
        for name in APPS:
            app = f"/v1/apps/{name}"
            _done(client.post(f"{app}/revisions", json={"settings": {"retrieve.k": 20}}))
            _done(client.post(f"{app}/suggestions", json={"client": "web-1"}))
            _done(client.put(f"{app}/documents", json={"documents": {"faq.md": "9f86d081"}}))
            docs = {"docs": "support/docs", "queries": "support/queries.jsonl"}
            _done(client.put(f"{app}/workload", json=docs))
            _done(client.post("/admin/v1/jobs", json={"kind": "tune", "app": name}))
        _done(client.post("/v1/apps/frozen/freeze"))
        _done(client.post("/admin/v1/jobs", json={"kind": "prune"}))
        for _ in range(5):
            _done(client.post("/admin/v1/schedules", json={"kind": "prune", "cron": "0 3 * * 1"}))
            _done(client.post("/admin/v1/keys", json={"label": "to be deleted"}))
    return {"operator": KEY, "app": made["mine"]["key"], "nobody": ""}


def _done(answer: httpx2.Response) -> Any:
    if not answer.is_success:
        raise SystemExit(f"{answer.request.method} {answer.url}: {answer.text}")
    return answer.json()


def operations_of(url: str) -> list[str]:
    """Every operation that the service describes."""
    paths = _done(httpx2.get(f"{url}/openapi.json"))["paths"]
    return [f"{method.upper()} {path}" for path, item in paths.items() for method in item]


# -- Schemathesis ---------------------------------------------------------------------------


def fuzz(
    url: str,
    caller: str,
    key: str,
    folder: Path,
    examples: int,
    seed: int,
    phases: Sequence[str] = PHASES,
) -> Found:
    """Run Schemathesis as a caller; its files are left in the folder."""
    place = folder / caller
    place.mkdir()
    config, report = place / "schemathesis.toml", place / "report.ndjson"
    config.write_text(_config(caller, key))
    command = [
        *(str(SCRIPTS / "schemathesis"), "--config-file", str(config)),
        *("run", f"{url}/openapi.json", "--max-examples", str(examples), "--seed", str(seed)),
        *("--report", "ndjson", "--report-ndjson-path", str(report), "--no-color"),
        *("--phases", ",".join(phases)),
        *("--generation-database", "none", "--continue-on-failure", "--request-timeout", "30"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    began = time.monotonic()
    ended = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    found = Found(caller, time.monotonic() - began, code=ended.returncode)
    found.output = ended.stdout + ended.stderr
    if report.exists():
        with report.open(encoding="utf-8") as lines:
            for line in lines:
                _count(found, json.loads(line))
        report.unlink()
    return found


def _config(caller: str, key: str) -> str:
    """What is set in Schemathesis' own format."""
    apps = '["mine"]' if caller == "app" else json.dumps(APPS)
    lines = [
        'hooks = "benchmarks.api_fuzz"',
        f'headers = {{ Authorization = "Bearer {key}" }}' if key else "",
        "checks.positive_data_acceptance.enabled = false",
        f"dictionaries.apps.values = {apps}",
        'dictionaries.doomed.values = ["doomed"]',
        f"dictionaries.gone.values = {list(range(10**6, 10**6 + 2000))}",
        "dictionaries.ids.values = [1, 2, 3, 4, 5]",
        "dictionaries.waits.values = [0, 1]",
        'dictionaries.tags.values = ["*", "\\"1.1\\"", "W/\\"2.2\\", \\"1.1\\"", ",,"]',
        "[parameters]",
        '"path.app" = { dictionary = "apps", probability = 0.7 }',
        # A wait of a minute tells nothing more.
        '"query.wait" = { dictionary = "waits", probability = 1.0 }',
        '"header.If-None-Match" = { dictionary = "tags", probability = 0.5 }',
    ]
    lines += [f'"path.{name}" = {{ dictionary = "ids", probability = 0.3 }}' for name in IDS]
    # What is looked at by these names stays; what was made meanwhile is deleted by links.
    for operation, name, others, probability in (
        ("delete_app", "app", "doomed", 0.3),
        ("delete_schedule", "schedule", "gone", 0.9),
    ):
        bound = f'{{ dictionary = "{others}", probability = {probability} }}'
        lines += ["[[operations]]", f'include-operation-id = "{operation}"']
        lines.append(f'parameters."path.{name}" = {bound}')
    # Hypothesis gives up early when the ids that it draws from are deleted meanwhile.
    lines += ["[[operations]]", 'include-method = "DELETE"']
    lines.append("phases.fuzzing.extra-data-sources.responses = false")
    for check, operations in EXCLUDED.items():
        for operation in operations:
            lines += ["[[operations]]", f'include-operation-id = "{operation}"']
            lines.append(f"checks.{check}.enabled = false")
    return "\n".join(lines) + "\n"


def _count(found: Found, event: Mapping[str, Any]) -> None:
    """Take in one event of the report."""
    scenario = event.get("ScenarioFinished")
    recorder = scenario["recorder"] if scenario else {}
    for case_id, case in recorder.get("cases", {}).items():
        value = case["value"]
        operation = f"{value['method']} {value['path']}"
        answer = recorder["interactions"].get(case_id, {}).get("response")
        if answer is not None:
            found.statuses[operation][answer["status_code"]] += 1
        mode = ((value.get("meta") or {}).get("generation") or {}).get("mode")
        found.negative[operation] += mode == "negative"
        for check in recorder["checks"].get(case_id, ()):
            if check["status"] != "success" and check["status"] != "skip":
                found.failures.append(f"{operation}: {check['name']}")


def summary(found: Found) -> str:
    """A caller's run; with what Schemathesis said when something is wrong."""
    told = (
        f"{found.caller}: {found.requests} requests in {found.seconds:.0f} s, "
        f"{len(set(found.failures))} failures, exit code {found.code}"
    )
    return f"{told}\n{found.output}" if found.code else told


def table(found: Sequence[Found], operations: Sequence[str], examples: int) -> str:
    """Requests of every operation, by caller, and the first caller's statuses."""
    width = max(map(len, operations))
    lines = [f"{'operation':{width}}" + "".join(f"{f.caller:>10}" for f in found) + "  statuses"]
    for operation in operations:
        counts = "".join(f"{f.statuses[operation].total():10}" for f in found)
        statuses = sorted(found[0].statuses[operation].items())
        shown = " ".join(f"{status}:{count}" for status, count in statuses)
        lines.append(f"{operation:{width}}{counts}  {shown}")
    for one in found:
        few = [o for o in operations if one.statuses[o].total() < examples]
        lines.append(f"{one.caller}: fewer than {examples}: {', '.join(few) or 'none'}")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--callers", nargs="+", choices=CALLERS, default=CALLERS)
    return parser.parse_args()


# -- what Schemathesis loads ----------------------------------------------------------------


def _exports() -> st.SearchStrategy[bytes]:
    """Bodies in protobuf: noise, and requests that are whole, cut or changed."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="retrieve")
    span.trace_id, span.span_id = b"t" * 16, b"s" * 8
    span.attributes.add(key="openinference.span.kind").value.string_value = "RETRIEVER"
    whole = request.SerializeToString()
    places = st.integers(0, len(whole) - 1)
    cut = places.map(lambda n: whole[:n])
    changed = st.tuples(places, st.binary(min_size=1, max_size=8)).map(
        lambda change: whole[: change[0]] + change[1] + whole[change[0] + len(change[1]) :]
    )
    return st.one_of(st.just(whole), cut, changed, st.binary(max_size=200))


schemathesis.openapi.media_type(PROTOBUF, _exports())

_numbers = itertools.count()


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Most idempotency keys are used once: one that is used again is only refused. Cases that are
    meant to be refused stay as they are, since checks ask how they were made."""
    number = next(_numbers)
    allowed = case.meta is not None and case.meta.generation.mode.is_positive
    if allowed and number % 4 and case.headers.get("Idempotency-Key"):
        case.headers["Idempotency-Key"] += f"-{number}"


if __name__ == "__main__":
    main()
