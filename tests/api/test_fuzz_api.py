"""The service against what nobody sensible sends: Schemathesis by the service's own description
(`benchmarks/api_fuzz.py` tells how, and does it at length), and what that does not reach."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from benchmarks.api_fuzz import KEY, fuzz, operations_of, prepare, serving, summary
from collectors.otlp.body import JSON, PROTOBUF
from tests.api.routes.conftest import refused

SEED = 1
EXAMPLES = {"operator": 4, "app": 4, "nobody": 2}
PHASES = {"operator": ("examples", "coverage", "fuzzing", "stateful"), "app": ("fuzzing",)}
NOTHING_YET = {
    "GET /v1/apps/{app}/restarts/{restart}",
    "POST /v1/apps/{app}/restarts/{restart}/approve",
    "POST /v1/apps/{app}/restarts/{restart}/cancel",
    "POST /v1/apps/{app}/restarts/{restart}/acks",
    "POST /admin/v1/models/{version}/promote",
    "POST /admin/v1/models/{version}/rollback",
}
"""Operations on what is not made yet."""

BODIES = [
    ("POST", "/v1/apps", {"name": "support"}),
    ("PATCH", "/v1/apps/support", {}),
    ("PUT", "/v1/apps/support/workload", {}),
    ("PUT", "/v1/apps/support/hardware", {}),
    ("PUT", "/v1/apps/support/documents", {"documents": {}}),
    ("POST", "/v1/apps/support/acks", {"instance": "i", "revision": 1, "state": "applied"}),
    ("POST", "/v1/apps/support/revisions", {"settings": {}}),
    ("POST", "/v1/apps/support/revisions/1/rollback", {}),
    ("POST", "/v1/apps/support/freeze", {"frozen": False}),
    ("POST", "/v1/apps/support/restarts", {}),
    ("POST", "/v1/apps/support/restarts/1/acks", {}),
    ("POST", "/v1/apps/support/observations", {"observations": []}),
    ("POST", "/v1/apps/support/suggestions", {"client": "c"}),
    ("POST", "/v1/apps/support/trials/1/result", {}),
    ("POST", "/v1/recommend", {}),
    ("POST", "/admin/v1/jobs", {"kind": "prune"}),
    ("POST", "/admin/v1/schedules", {"kind": "prune"}),
    ("PATCH", "/admin/v1/schedules/1", {}),
    ("POST", "/admin/v1/keys", {}),
]
HOSTILE = {
    "deep": b"[" * 100_000,
    "deep but whole": b'{"x":' * 5_000 + b"1" + b"}" * 5_000,
    "a huge integer": b'{"x": ' + b"9" * 100_000 + b"}",
    "an integer of 65 bits": b'{"x": 18446744073709551616}',
    "a huge float": b'{"x": 1e400}',
    "not a number": b'{"x": NaN}',
    "NUL in a text": rb'{"x": "\u0000"}',
    "NUL in a name": rb'{"\u0000": 1}',
    "a raw NUL": b'{"x": "\0"}',
    "half a character": rb'{"x": "\ud83d"}',
    "half a character in a name": rb'{"\udc00": 1}',
    "not UTF-8": b'{"x": "\xff\xfe"}',
    "UTF-16": '{"x": 1}'.encode("utf-16"),
    "compressed": gzip.compress(b"{}"),
    "a text": b'"x"',
    "a list": b"[]",
    "a space": b" ",
    "cut": b'{"x": ',
    "two": b"{}{}",
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("fuzzed")) as url:
        yield url


@pytest.fixture(scope="module")
def keys(url: str) -> dict[str, str]:
    return prepare(url)


@pytest.fixture(scope="module")
def client(url: str, keys: dict[str, str]) -> Iterator[httpx2.Client]:
    """The operator's, with an app that the operator of before may have deleted."""
    headers = {"Authorization": f"Bearer {keys['operator']}"}
    with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
        assert client.post("/v1/apps", json={"name": "support"}).status_code in (201, 409)
        yield client


@pytest.mark.parametrize("caller", EXAMPLES)
def test_nothing_that_is_sent_is_answered_otherwise_than_described(
    url: str, keys: dict[str, str], tmp_path: Path, caller: str
) -> None:
    phases = PHASES.get(caller, ("fuzzing",))
    found = fuzz(url, caller, keys[caller], tmp_path, EXAMPLES[caller], SEED, phases)
    assert found.code == 0, summary(found)
    assert found.failures == []
    operations = set(operations_of(url))
    assert operations <= set(found.statuses)
    succeeded = {o for o, statuses in found.statuses.items() if any(s < 400 for s in statuses)}
    if caller == "operator":
        assert len(operations - succeeded - NOTHING_YET) <= 3, "most of it was never reached"


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_body_is_refused(client: httpx2.Client, what: str) -> None:
    headers = {"Content-Type": "application/json"}
    for method, path, body in BODIES:
        content = HOSTILE[what]
        if content.startswith(b'{"x": ') and content.endswith(b"}"):
            # Beside what is expected, so that it is not refused for what it lacks.
            content = json.dumps(body).encode()[:-1] + (b", " if body else b"") + content[1:]
        answer = client.request(method, path, content=content, headers=headers)
        assert answer.status_code in (400, 422), f"{method} {path}: {answer.text}"
        refused(answer, answer.status_code)


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_telemetry_is_taken_or_refused(client: httpx2.Client, what: str) -> None:
    for type_, signal in itertools.product((JSON, PROTOBUF), ("traces", "logs", "metrics")):
        headers = {"Content-Type": type_}
        answer = client.post(f"/v1/{signal}", content=HOSTILE[what], headers=headers)
        assert answer.status_code in (200, 400), f"{signal}: {answer.text}"
        assert answer.headers["content-type"] == type_


@pytest.mark.parametrize(
    "tag",
    [
        b"*",
        b'"1.1"',
        b'W/"1.1", "x"',
        b",,,",
        b'"',
        b"",
        b'"\xff\xfe"',
        "½".encode(),
        b'"' + b"x" * 10_000 + b'"',
    ],
)
def test_a_strange_tag_is_known_or_not(client: httpx2.Client, tag: bytes) -> None:
    answer = client.get("/v1/apps/support/settings", headers=[(b"If-None-Match", tag)])
    assert answer.status_code in (200, 304, 422), answer.text
    assert answer.status_code == 422 or answer.headers["etag"]


@pytest.mark.parametrize(
    "key", [b"", b"a b", b"a\tb", b"\xff", "½".encode(), b"x" * 256, b"x" * 20_000]
)
def test_a_strange_idempotency_key_is_refused(client: httpx2.Client, key: bytes) -> None:
    headers = [(b"Idempotency-Key", key)]
    answer = client.post("/v1/apps/support/revisions", json={"settings": {}}, headers=headers)
    refused(answer, 422)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/apps/%00",
        "/v1/apps/support%00/settings",
        "/v1/apps/support/settings?instance=%00",
        "/v1/apps/..%2f..%2fetc%2fpasswd",
        "/v1/apps/' OR 1=1 --",
        "/v1/apps/" + "a" * 5_000,
        "/v1/apps/%ff%fe",
        "/v1/apps/SUPPORT",
        "/v1/apps/support/settings?wait=1e9",
        "/v1/apps/support/settings?wait=" + "9" * 5_000,
        "/v1/apps/support/settings?instance=%ed%a0%80",
        "/v1/apps/support/revisions?before=-1",
        "/v1/apps/support/revisions?limit=0",
        "/v1/apps/support/restarts/" + "9" * 5_000,
        "/admin/v1/jobs/0",
        "/admin/v1/jobs/-1",
        "/admin/v1/jobs/9007199254740992",
        "/admin/v1/jobs/1.5",
        "/admin/v1/jobs/%F0%9D%9F%8E",
        "/admin/v1/jobs?state=gone",
        "/v1/apps/support/nothing",
        "//v1/apps",
    ],
)
def test_a_strange_address_is_refused(client: httpx2.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (400, 404, 422), answer.text
    refused(answer, answer.status_code)


@pytest.mark.parametrize(
    "type_", ["text/plain", "multipart/form-data", "application/json; charset=utf-16", "/", "½"]
)
def test_what_is_said_not_to_be_json_is_refused(client: httpx2.Client, type_: str) -> None:
    headers = [(b"Content-Type", type_.encode())]
    content = b"settings" if type_ != "application/json; charset=utf-16" else b"\xff\xfe{\0}\0"
    answer = client.post("/v1/apps/support/revisions", content=content, headers=headers)
    assert answer.status_code in (400, 415, 422), answer.text
    refused(answer, answer.status_code)


@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "Digest", "bearer bearer", "?"])
@pytest.mark.parametrize("key", [b"", b"\xff\xfe", b"=", b"x" * 20_000, KEY[:-1].encode()])
def test_a_strange_key_opens_nothing(url: str, scheme: str, key: bytes) -> None:
    headers = [(b"Authorization", (scheme.encode() + b" " + key).strip())]
    for path in ("/v1/apps", "/admin/v1/keys", "/"):
        assert httpx2.get(url + path, headers=headers).status_code == 401


def test_other_methods_are_told_which_there_are(client: httpx2.Client) -> None:
    for path, methods in (
        ("/v1/apps/support", "DELETE, GET, PATCH"),
        ("/admin/v1/keys", "GET, POST"),
    ):
        answer = client.request("TRACE", path)
        refused(answer, 405)
        assert answer.headers["allow"] == methods
