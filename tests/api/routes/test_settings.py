"""Settings reach an app, and it says what it did with them."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.api.loopback import until
from tests.api.routes.conftest import App, Register, ok, refused
from tests.api.serving import Serving


def test_settings_that_are_known_are_not_sent_again(app: App) -> None:
    first = app.client.get(app.url("/settings"))
    again = app.client.get(app.url("/settings"), headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]


def test_a_waiting_instance_is_told_of_a_change(app: App) -> None:
    tag = app.client.get(app.url("/settings")).headers["etag"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            app.client.get,
            app.url("/settings"),
            params={"instance": "web-1", "wait": 30},
            headers={"If-None-Match": tag},
        )
        time.sleep(0.5)
        assert not waiting.done()
        app.propose(retrieve__k=20)
        answer = waiting.result(20)
    assert ok(answer)["settings"]["retrieve.k"] == 20
    assert answer.headers["etag"] != tag


def test_waiting_ends_without_news(app: App) -> None:
    tag = app.client.get(app.url("/settings")).headers["etag"]
    answer = app.client.get(
        app.url("/settings"), params={"wait": 1}, headers={"If-None-Match": tag}
    )
    assert answer.status_code == 304


def test_many_may_wait_at_once(service: Serving, app: App) -> None:
    """More than there are places for requests that work."""
    tag = app.client.get(app.url("/settings")).headers["etag"]
    count = 80
    ready = threading.Barrier(count + 1)

    def wait() -> int:
        with service.client(Authorization=f"Bearer {app.key}") as client:
            ready.wait()
            answer = client.get(
                app.url("/settings"), params={"wait": 25}, headers={"If-None-Match": tag}
            )
            return int(ok(answer)["settings"]["retrieve.k"])

    with ThreadPoolExecutor(count) as pool:
        waiting = [pool.submit(wait) for _ in range(count)]
        ready.wait()
        time.sleep(1.0)
        app.propose(retrieve__k=30)
        assert [w.result(25) for w in waiting] == [30] * count


def test_an_instance_that_leaves_waits_no_longer(service: Serving, app: App) -> None:
    tag = app.client.get(app.url("/settings")).headers["etag"]
    url = app.url("/settings?wait=60")
    head = f"GET {url} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {app.key}\r\n"
    address = urlsplit(service.url)
    for body in ("", "Content-Length: 3\r\n"):
        with socket.create_connection((address.hostname, address.port)) as leaving:
            leaving.sendall(f"{head}If-None-Match: {tag}\r\n{body}\r\n".encode())
            if body:
                leaving.sendall(b"abc")
            until(lambda: waiting(service) == 1)
        until(lambda: waiting(service) == 0)


def waiting(service: Serving) -> float:
    """How many wait for news."""
    (line,) = (
        line
        for line in httpx2.get(f"{service.url}/metrics").text.splitlines()
        if line.startswith("autorag_long_polls ")
    )
    return float(line.split()[1])


def test_deleting_an_app_ends_the_waiting(
    admin: httpx2.Client, register: Register, service: Serving
) -> None:
    app = register()
    tag = admin.get(app.url("/settings")).headers["etag"]
    with ThreadPoolExecutor(1) as pool, service.client() as client:
        waiting = pool.submit(
            client.get, app.url("/settings"), params={"wait": 20}, headers={"If-None-Match": tag}
        )
        time.sleep(0.3)
        assert admin.delete(app.url()).status_code == 204
        refused(waiting.result(15), 404)


@pytest.mark.parametrize("format_", ["langchain", "llamaindex", "haystack"])
def test_settings_come_as_a_snippet_for_a_framework(app: App, format_: str) -> None:
    app.propose(retrieve__k=20)
    answer = app.client.get(app.url("/settings"), params={"format": format_})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/x-python; charset=utf-8"
    compile(answer.text, "snippet", "exec")
    assert "20" in answer.text
    assert app.name in answer.text.splitlines()[0]


@pytest.mark.parametrize(
    "query", [{"wait": -1}, {"wait": 61}, {"wait": "x"}, {"format": "perl"}, {"instance": "a b"}]
)
def test_a_question_that_makes_no_sense_is_refused(app: App, query: dict[str, object]) -> None:
    refused(app.client.get(app.url("/settings"), params=query), 422)


def test_an_instance_says_what_it_did(app: App) -> None:
    number = app.propose(retrieve__k=20)["number"]
    said = {"instance": "web-1", "revision": number}
    ok(app.client.post(app.url("/acks"), json={**said, "state": "received"}))
    applied = {**said, "state": "applied", "values": {"retrieve.k": 20}}
    answer = ok(app.client.post(app.url("/acks"), json=applied))
    assert answer["current"]
    assert answer["ack"]["mismatched"] == {}
    (ack,) = ok(app.client.get(app.url("/acks")))["acks"]
    assert ack["state"] == "applied"
    assert ack["received_at"] <= ack["applied_at"]


def test_what_was_read_back_otherwise_is_told(app: App) -> None:
    number = app.propose(retrieve__k=20)["number"]
    body = {"instance": "i", "revision": number, "state": "applied", "values": {"retrieve.k": 5}}
    ack = ok(app.client.post(app.url("/acks"), json=body))["ack"]
    assert ack["mismatched"] == {"retrieve.k": {"delivered": 20, "read": 5}}


def test_late_news_does_not_take_a_revision_back(app: App) -> None:
    body = {"instance": "i", "revision": 1}
    ok(app.client.post(app.url("/acks"), json={**body, "state": "applied"}))
    late = ok(app.client.post(app.url("/acks"), json={**body, "state": "received"}))
    assert late["ack"]["state"] == "applied"


def test_a_revision_that_is_not_there_cannot_be_acknowledged(app: App) -> None:
    body = {"instance": "i", "revision": 99, "state": "applied"}
    problem = refused(app.client.post(app.url("/acks"), json=body), 404)
    assert (problem["key"], problem["value"]) == ("revision", 99)
