"""What is let in at once, and what is refused how."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from api.auth import NO_KEY
from api.http.bodies import BODY_BYTES, MANIFEST_BYTES, Bodies, check_json, most_bytes
from api.http.callers import Callers
from api.http.limits import Limits, waiting
from api.http.metrics import Metrics
from api.http.middleware import Observed, guarded
from api.http.rates import Rates
from api.problems import Refusal, add_problem_handlers
from api.problems import problem as make_problem
from api.settings import Settings
from autorag.errors import (
    AutoragError,
    BusyError,
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    PayloadError,
    ReusedKeyError,
    StoreError,
    TooManyError,
    UnauthenticatedError,
)
from tests.api.known import Ring, callers
from tests.api.loopback import Loopback, rest, served, until
from tests.fakes import ManualClock

KEY = {"Authorization": "Bearer one"}
POST = b"POST /raw HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer one\r\n"


def make_app() -> FastAPI:
    """Routes that echo, work and wait. ``held`` lets those go that hold on."""
    app = FastAPI()
    add_problem_handlers(app)
    app.state.held = threading.Event()
    app.state.working = 0

    @app.api_route("/v1/apps/{name}/documents", methods=["PUT"])
    @app.api_route("/v1/traces", methods=["POST"])
    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @app.post("/echo")
    async def echo(body: dict[str, Any]) -> dict[str, Any]:
        return body

    @app.get("/hold")
    async def hold() -> str:
        app.state.working += 1
        while not app.state.held.is_set():
            await asyncio.sleep(0.01)
        app.state.working -= 1
        return "held"

    @app.get("/poll/{topic}")
    async def poll(topic: str) -> str:
        async with waiting(topic):
            while not app.state.held.is_set():
                await asyncio.sleep(0.01)
        return "news"

    @app.get("/healthz")
    @app.get("/{name}")
    async def get(name: str = "") -> str:
        return name

    return app


def client(clock: ManualClock | None = None, **settings: Any) -> TestClient:
    """The app of this process within its limits."""
    chosen = Settings(**settings)
    known = callers("one", "two", clock=clock, per_s=chosen.rate_per_s)
    app = guarded(make_app(), chosen, Metrics(), known)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def app() -> FastAPI:
    return make_app()


@pytest.fixture
def server(app: FastAPI) -> Iterator[Loopback]:
    """The app on a server, within small limits."""
    metrics = Metrics()
    limits = Limits(
        app,
        metrics,
        callers("one"),
        Bodies(within_s=0.5),
        most_requests=2,
        most_waiting=3,
    )
    with served(Observed(limits, metrics)) as running:
        yield running
        app.state.held.set()


def problem(response: httpx2.Response, status: int) -> Any:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    row = response.json()
    assert row["status"] == status
    assert row["request_id"] == response.headers["x-request-id"]
    return row


def at_once(server: Loopback, path: str, number: int, pool: ThreadPoolExecutor) -> list[Any]:
    """So many requests, in threads."""
    return [
        pool.submit(httpx2.get, server.url + path, timeout=30, trust_env=False)
        for _ in range(number)
    ]


# How often


def test_a_key_may_ask_twice_its_rate_at_once_and_then_at_its_rate() -> None:
    clock = ManualClock()
    asking = client(clock, rate_per_s=5)
    assert [asking.get("/a", headers=KEY).status_code for _ in range(10)] == [200] * 10
    refused = asking.get("/a", headers=KEY)
    assert "key" in problem(refused, 429)["detail"]
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["ratelimit-policy"] == '"key";q=10;w=2'
    assert refused.headers["ratelimit"] == '"key";r=0;t=1'
    clock.advance(0.2)
    assert [asking.get("/a", headers=KEY).status_code for _ in range(2)] == [200, 429]
    clock.advance(3600)
    assert [asking.get("/a", headers=KEY).status_code for _ in range(11)] == [200] * 10 + [429]


def test_keys_do_not_share_and_those_without_one_do() -> None:
    asking = client(rate_per_s=0.5)
    assert asking.get("/a", headers=KEY).status_code == 200
    assert asking.get("/a", headers=KEY).status_code == 429
    assert asking.get("/a", headers={"Authorization": "Bearer two"}).status_code == 200
    assert [asking.get("/a").status_code for _ in range(2)] == [200, 429]


def test_a_key_written_in_many_ways_is_one_key() -> None:
    asking = client(rate_per_s=2)
    spelled = ("Bearer one", "bearer  one", "BEARER one ", "Bearer   one", "bearer one")
    statuses = [asking.get("/a", headers={"Authorization": s}).status_code for s in spelled]
    assert statuses == [200] * 4 + [429]


def test_made_up_keys_are_charged_to_their_sender_and_looked_up_no_more_often() -> None:
    ring = Ring("one")
    known = Callers(ring, Rates(ManualClock(), 2))
    asking = TestClient(guarded(make_app(), Settings(), Metrics(), lambda: known))
    assert asking.get("/a", headers=KEY).status_code == 200
    answers = [asking.get("/a", headers={"Authorization": f"Bearer {n}"}) for n in range(50)]
    assert [a.status_code for a in answers] == [200] * 4 + [429] * 46
    assert "address" in problem(answers[-1], 429)["detail"]
    assert answers[-1].headers["ratelimit-policy"] == '"address";q=4;w=2'
    assert ring.looked_up == 5
    assert [asking.get("/a", headers=KEY).status_code for _ in range(4)] == [200] * 3 + [429]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
def test_one_machine_is_one_address(one: str, other: str, same: bool) -> None:
    known = callers(per_s=0.5)()

    async def charged(host: str) -> None:
        await known.charge({"type": "http", "headers": [], "client": (host, 1)})

    asyncio.run(charged(one))
    with pytest.raises(Refusal) if same else nullcontext():
        asyncio.run(charged(other))


@pytest.mark.parametrize(("method", "path"), [("GET", "/healthz"), ("POST", "/v1/traces")])
def test_health_and_telemetry_are_asked_as_often_as_one_likes(method: str, path: str) -> None:
    asking = client(rate_per_s=0.5)
    assert {asking.request(method, path).status_code for _ in range(5)} == {200}


def test_a_rate_of_nothing_is_no_limit() -> None:
    asking = client(rate_per_s=0)
    assert {asking.get("/a").status_code for _ in range(50)} == {200}


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=20), st.floats(0.5, 50))
def test_no_span_of_time_has_more_than_the_burst_and_the_rate(
    asked: list[tuple[float, int]], per_s: float
) -> None:
    clock = ManualClock()
    rates = Rates(clock, per_s)
    taken = []
    for pause, times in asked:
        clock.advance(pause)
        taken += [clock.now for _ in range(times) if rates.take(b"key") == 0]
    burst = max(1.0, 2 * per_s)
    for i, first in enumerate(taken):
        for n, last in enumerate(taken[i:], 1):
            assert n <= burst + (last - first) * per_s + 0.01


def test_who_waits_as_told_is_let_in() -> None:
    clock = ManualClock()
    rates = Rates(clock, 0.3)
    while not (wait_s := rates.take(b"key")):
        pass
    clock.advance(wait_s)
    assert rates.take(b"key") == 0


def test_the_keys_that_asked_longest_ago_are_forgotten() -> None:
    rates = Rates(ManualClock(), 0.5, most_callers=3)
    for key in (b"a", b"b", b"c", b"a", b"d"):
        rates.take(key)
    assert len(rates) == 3
    assert rates.take(b"a") > 0
    assert rates.take(b"b") == 0


# How large and slow


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(server: Loopback) -> None:
    with server.connect() as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_turns_out_too_large_is_refused(server: Loopback) -> None:
    pieces = (b"x" * 65_536 for _ in range(17))
    response = httpx2.post(f"{server.url}/raw", content=pieces, headers=KEY)
    assert "1048576" in problem(response, 413)["detail"]


def test_a_body_of_the_right_size_arrives_whole(server: Loopback) -> None:
    assert (
        httpx2.post(f"{server.url}/raw", content=b"x" * BODY_BYTES, headers=KEY).json()
        == BODY_BYTES
    )
    pieces = (b"x" * 1000 for _ in range(7))
    assert httpx2.post(f"{server.url}/raw", content=pieces, headers=KEY).json() == 7000
    assert httpx2.post(f"{server.url}/raw").json() == 0


def test_manifests_and_telemetry_may_be_larger(server: Loopback) -> None:
    large = b"x" * (3 * BODY_BYTES)
    assert httpx2.put(
        f"{server.url}/v1/apps/a/documents", content=large, headers=KEY
    ).json() == len(large)
    assert httpx2.post(f"{server.url}/v1/traces", content=large).json() == len(large)
    assert most_bytes("/v1/apps/a/documents") == MANIFEST_BYTES
    assert most_bytes("/v1/apps/a/documents/b") == BODY_BYTES
    assert most_bytes("/v1/apps//documents") == BODY_BYTES


@pytest.mark.parametrize("key", [b"", b"Authorization: Bearer made-up\r\n"])
def test_no_body_is_read_without_a_key(server: Loopback, key: bytes) -> None:
    head = b"POST /raw HTTP/1.1\r\nHost: here\r\n" + key + b"Content-Length: 1000000\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head)
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"www-authenticate: Bearer\r\n" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"] == NO_KEY


@pytest.mark.parametrize("key", [b"one", b"made-up"])
def test_who_waits_to_be_asked_for_a_body_is_asked_or_refused(server: Loopback, key: bytes) -> None:
    head = b"POST /raw HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer " + key
    with server.connect() as connection:
        connection.sendall(head + b"\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        if key == b"one":
            assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"abc")
            answer = connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" not in answer
        else:
            answer = rest(connection)
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"connection: close" in answer


def test_slow_bodies_take_no_place_and_are_given_up(server: Loopback) -> None:
    slow = [server.connect() for _ in range(6)]
    for connection in slow:
        connection.sendall(POST + b"Content-Length: 9\r\n\r\nx")
    assert httpx2.get(f"{server.url}/a").status_code == 200
    for connection in slow:
        with connection:
            answer = rest(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()
    assert httpx2.get(f"{server.url}/a").status_code == 200


def test_a_client_that_leaves_before_its_body_is_here_leaves_nothing_behind(
    server: Loopback,
) -> None:
    for _ in range(5):
        with server.connect() as connection:
            connection.sendall(POST + b"Content-Length: 9\r\n\r\nx")
    until(lambda: not server.server.server_state.tasks)
    assert httpx2.post(f"{server.url}/raw", content=b"abc", headers=KEY).json() == 3


def test_large_bodies_share_what_may_be_held() -> None:
    most = 3 * BODY_BYTES
    bodies = Bodies(lambda path: most, held_bytes=4 * BODY_BYTES)
    chunked = {b"transfer-encoding": b"chunked"}

    def receiving(size: int) -> Receive:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"x" * size}

        return receive

    async def read() -> None:
        first = await bodies.read("/", chunked, receiving(most))
        with pytest.raises(Exception, match="too many large bodies"):
            await bodies.read("/", chunked, receiving(most))
        await bodies.read("/", chunked, receiving(BODY_BYTES))
        with pytest.raises(Exception, match="too many large bodies"):
            await bodies.read("/", chunked, receiving(1))
        first.release()
        assert len((await bodies.read("/", chunked, receiving(most))).content) == most

    asyncio.run(read())


# What JSON may hold

DEEP = b"[" * 100_000
GOOD = [
    b'{"a": [1, -2.5e10, "\\ud83d\\ude00", "\\\\u0000", null, true, 9223372036854775807]}',
    b'{"time": 1700000000000000000, "text": "E1234"}',
    b'{"a": ' + b"[" * 190 + b"]" * 190 + b"}",
]
BAD = [
    DEEP,
    b'{"a": ' + DEEP,
    b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}",
    b'{"a": NaN}',
    b'{"a": -Infinity}',
    b'{"a": 1e999}',
    b'{"a": -1E+999}',
    b'{"a": 9223372036854775808}',
    b'{"a": -9223372036854775809}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"a": "\\ud800"}',
    b'{"a": "\\u0000"}',
    b'{"a": "\\\\\\u0000"}',
    b'{"a\\u0000": 1}',
    b'{"a": "\xff"}',
    b'{"a": "\x00"}',
    '{"a": 1}'.encode("utf-16"),
    b'{"a": 1',
    b"{} {}",
]


def test_large_json_is_checked_too() -> None:
    for body, status in ((b'{"a": "%s"}', 200), (b'{"a": "%s\\u0000"}', 400)):
        content = body % (b"x" * 100_000)
        headers = {**KEY, "Content-Type": "application/json"}
        assert client().post("/echo", content=content, headers=headers).status_code == status


@pytest.mark.parametrize("body", GOOD)
def test_json_that_every_part_can_take_is_let_in(body: bytes) -> None:
    headers = {**KEY, "Content-Type": "application/json; charset=utf-8"}
    response = client().post("/echo", content=body, headers=headers)
    assert (response.status_code, response.json()) == (200, json.loads(body))


@pytest.mark.parametrize("type_", ["application/json", "Application/Ld+JSON ;q=1"])
@pytest.mark.parametrize("body", BAD, ids=lambda b: str(b[:24]))
def test_json_that_some_part_would_trip_over_is_refused(body: bytes, type_: str) -> None:
    response = client().post("/echo", content=body, headers={**KEY, "Content-Type": type_})
    assert "cannot be read as JSON" in problem(response, 400)["detail"]
    assert len(response.content) < 1000


def test_the_type_that_the_route_goes_by_is_the_one_that_is_checked() -> None:
    types = ("application/json", "text/plain")
    headers = [*KEY.items(), *(("Content-Type", type_) for type_ in types)]
    assert client().post("/echo", content=b'{"a": NaN}', headers=headers).status_code == 400


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("abc"), inner),
        max_leaves=20,
    ),
    st.booleans(),
)  # fmt: skip
def test_ordinary_json_is_never_refused(value: Any, ascii_: bool) -> None:
    check_json(json.dumps(value, ensure_ascii=ascii_).encode())


@given(st.binary(max_size=40) | st.text('[]{}",:0123456789eE.-+\\u\x00d8"', max_size=40))
def test_only_what_can_be_written_again_passes(body: bytes | str) -> None:
    wire = body if isinstance(body, bytes) else body.encode()
    try:
        check_json(wire)
    except PayloadError:
        return
    again = json.dumps(json.loads(wire), allow_nan=False, ensure_ascii=False).encode()
    assert b"\\u0000" not in again.replace(b"\\\\", b"")


@pytest.mark.parametrize("address", ["/a%00b", "/a?b=%00"])
def test_an_address_with_a_zero_byte_is_refused(address: str) -> None:
    assert "U+0000" in problem(client().get(address), 400)["detail"]


# How many


def test_what_is_beyond_the_places_is_refused_at_once_but_health_is_told(
    app: FastAPI, server: Loopback
) -> None:
    with ThreadPoolExecutor(8) as pool:
        holding = at_once(server, "/hold", 2, pool)
        until(lambda: app.state.working == 2)
        refused = httpx2.get(f"{server.url}/a")
        problem(refused, 503)
        assert refused.headers["retry-after"] == "1"
        assert httpx2.get(f"{server.url}/healthz").status_code == 200
        assert httpx2.post(f"{server.url}/v1/traces", content=b"x").status_code == 200
        app.state.held.set()
        assert [h.result().status_code for h in holding] == [200, 200]
    assert httpx2.get(f"{server.url}/a").status_code == 200


def test_who_waits_takes_no_place_and_only_so_many_wait(app: FastAPI, server: Loopback) -> None:
    with ThreadPoolExecutor(8) as pool:
        polls = [*at_once(server, "/poll/a", 2, pool), *at_once(server, "/poll/b", 1, pool)]
        until(lambda: len(server.server.server_state.tasks) == 3)
        time.sleep(0.1)
        assert httpx2.get(f"{server.url}/a").status_code == 200
        refused = httpx2.get(f"{server.url}/poll/c")
        assert "wait already" in problem(refused, 429)["detail"]
        assert refused.headers["retry-after"] == "1"
        app.state.held.set()
        assert [p.result().json() for p in polls] == ["news"] * 3


def test_those_who_wait_for_one_thing_leave_room_for_others(app: FastAPI, server: Loopback) -> None:
    with ThreadPoolExecutor(8) as pool:
        polls = at_once(server, "/poll/a", 2, pool)
        until(lambda: len(server.server.server_state.tasks) == 2)
        time.sleep(0.1)
        assert "wait for a already" in problem(httpx2.get(f"{server.url}/poll/a"), 429)["detail"]
        polls += at_once(server, "/poll/b", 1, pool)
        app.state.held.set()
        assert [p.result().json() for p in polls] == ["news"] * 3


def test_a_route_may_wait_where_nothing_is_limited(app: FastAPI) -> None:
    app.state.held.set()
    assert TestClient(app).get("/poll/a").json() == "news"


@dataclass
class Crowd:
    """An app whose requests do what they are told, and the most that worked at once."""

    working: int = 0
    most_working: int = 0
    statuses: list[int] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.enter()
        try:
            for step, turns in scope["steps"]:
                if step == "wait":
                    await self.wait(turns)
                else:
                    await yielding(turns)
                if step == "fail":
                    raise LookupError
        finally:
            self.working -= 1
        await send({"type": "http.response.start", "status": 200})

    async def wait(self, turns: int) -> None:
        self.working -= 1
        try:
            async with waiting("news"):
                await yielding(turns)
        finally:
            self.enter()

    def enter(self) -> None:
        self.working += 1

    def look(self) -> None:
        self.most_working = max(self.most_working, self.working)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])


async def yielding(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["work", "work", "wait", "fail"]), st.integers(0, 4)), max_size=4
)


@given(
    st.lists(st.tuples(STEPS, st.none() | st.integers(1, 8)), min_size=1, max_size=30),
    st.integers(1, 5),
    st.integers(0, 4),
)
def test_never_more_work_at_once_than_places_and_every_place_comes_back(
    requests: list[tuple[Any, int | None]], most_requests: int, most_waiting: int
) -> None:
    crowd = Crowd()
    limits = Limits(
        crowd,
        Metrics(),
        callers(),
        Bodies(),
        most_requests=most_requests,
        most_waiting=most_waiting,
    )

    def request(steps: Any) -> asyncio.Task[None]:
        scope = {"type": "http", "path": "/", "headers": [], "query_string": b"", "steps": steps}
        return asyncio.ensure_future(limits(scope, no_body, crowd.send))

    async def run() -> None:
        running = []
        for steps, cancelled_after in requests:
            task = request(steps)
            running.append(task)
            if cancelled_after is not None:
                await yielding(cancelled_after)
                task.cancel()
            crowd.look()
        while not all(task.done() for task in running):
            crowd.look()
            await asyncio.sleep(0)
        await asyncio.gather(*running, return_exceptions=True)
        crowd.statuses.clear()
        again = [request([("work", 3)]) for _ in range(most_requests + 1)]
        await asyncio.gather(*again)

    asyncio.run(run())
    assert crowd.most_working <= most_requests
    assert sorted(crowd.statuses) == [200] * most_requests + [503]


async def no_body() -> Message:
    raise AssertionError("there is no body")


def test_many_that_are_woken_leave_room_for_others() -> None:
    news = asyncio.Event()

    async def polling(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/poll":
            async with waiting("news"):
                await news.wait()
            await yielding(50)
        await send({"type": "http.response.start", "status": 200})

    crowd = Crowd()
    limits = Limits(polling, Metrics(), callers(), Bodies(), most_requests=4, most_waiting=200)

    async def get(path: str) -> None:
        scope = {"type": "http", "path": path, "headers": [], "query_string": b""}
        await limits(scope, no_body, crowd.send)

    async def run() -> None:
        polls = []
        for _ in range(100):
            polls.append(asyncio.ensure_future(get("/poll")))
            await yielding(2)
        news.set()
        await yielding(10)
        await get("/")
        assert crowd.statuses == [200]
        await asyncio.gather(*polls)

    asyncio.run(run())
    assert crowd.statuses == [200] * 101


# What is answered


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("wrong", key="a", value=1), 400),
        (UnauthenticatedError("who?"), 401),
        (ForbiddenError("not you"), 403),
        (NotFoundError("gone", key="app", value="b"), 404),
        (ConflictError("not now"), 409),
        (ReusedKeyError("another"), 422),
        (TooManyError("slower"), 429),
        (BusyError("later"), 503),
        (StoreError("secret"), 503),
    ],
    ids=lambda e: type(e).__name__,
)
def test_each_kind_of_error_has_its_status(error: AutoragError, status: int) -> None:
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/")
    async def get() -> None:
        raise error

    response = TestClient(guarded(app, Settings(), Metrics(), callers())).get("/")
    row = problem(response, status)
    assert (row["detail"] == str(error)) == (not isinstance(error, StoreError))
    assert ("retry-after" in response.headers) == (status in (429, 503))
    assert ("www-authenticate" in response.headers) == (status == 401)
    if isinstance(error, InputError):
        assert (row["key"], row["value"]) == (error.key, error.value)


@pytest.mark.parametrize("value", [float("nan"), "x" * 10_000, Path("/a"), {"a": ["b"] * 999}])
def test_a_value_that_is_long_or_no_json_is_shown_as_a_short_text(value: Any) -> None:
    response = make_problem(400, "wrong", value=value)
    row = json.loads(bytes(response.body), parse_constant=pytest.fail)
    assert isinstance(row["value"], str)
    assert len(row["value"]) <= 201
