"""Observations by REST and telemetry by OTLP end up with the app."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest

from tests.api.exports import a_trace, request
from tests.api.routes.conftest import App, Register, ok, refused
from tests.api.serving import Serving

ONE = {"stage": "retrieve", "metric": "duration_ms", "value": 12.5, "unit": "ms"}


def stored(service: Serving, app: App) -> list[Any]:
    """(stage, metric, value, revision, instance) of the app's observations."""
    return service.telemetry(
        "SELECT o.stage, o.metric, o.value, s.revision, s.instance FROM observations o "
        "JOIN telemetry_sources s ON s.id = o.source_id WHERE s.app = ? ORDER BY o.value",
        app.name,
    )


def export(client: httpx2.Client, service_name: str, trace: str) -> httpx2.Response:
    """Send a trace."""
    body = request(a_trace(trace), service__name=service_name).SerializeToString()
    kind = {"Content-Type": "application/x-protobuf"}
    return client.post("/v1/traces", content=body, headers=kind)


def test_what_was_answered_is_stored(service: Serving, app: App) -> None:
    rows = [ONE, {**ONE, "stage": "request", "metric": "quality.helpful", "value": 1, "unit": "1"}]
    body = {"instance": "web-1", "revision": 1, "observations": rows}
    assert ok(app.client.post(app.url("/observations"), json=body)) == {
        "accepted": 2,
        "duplicate": False,
    }
    assert stored(service, app) == [
        ("request", "quality.helpful", 1.0, "1", "web-1"),
        ("retrieve", "duration_ms", 12.5, "1", "web-1"),
    ]


def test_a_batch_counts_once_however_often_it_is_sent(service: Serving, app: App) -> None:
    body = {"batch": "b-1", "observations": [ONE]}
    answers = [ok(app.client.post(app.url("/observations"), json=body)) for _ in range(3)]
    assert [a["duplicate"] for a in answers] == [False, True, True]
    assert len(stored(service, app)) == 1


def test_an_idempotency_key_names_a_batch(service: Serving, app: App) -> None:
    body, key = {"observations": [ONE]}, {"Idempotency-Key": "k-1"}
    url = app.url("/observations")
    answers = [ok(app.client.post(url, json=body, headers=key)) for _ in range(2)]
    assert [a["duplicate"] for a in answers] == [False, True]
    assert len(stored(service, app)) == 1


def test_batches_of_different_apps_do_not_meet(service: Serving, register: Register) -> None:
    one, two = register(), register()
    for app in (one, two):
        ok(app.client.post(app.url("/observations"), json={"batch": "b", "observations": [ONE]}))
    assert len(stored(service, one)) == len(stored(service, two)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"value": "12"},
        {"value": None},
        {"stage": "lunch"},
        {"metric": "with space"},
        {"unit": ""},
        {"at": -1},
        {"weight": 0},
        {"unknown": 1},
    ],
)
def test_an_observation_that_is_none_is_refused_and_nothing_is_stored(
    service: Serving, app: App, change: dict[str, Any]
) -> None:
    body = {"observations": [ONE, {**ONE, **change}]}
    problem = refused(app.client.post(app.url("/observations"), json=body), 422)
    assert "observations" in problem["key"]
    assert stored(service, app) == []


def test_a_number_that_is_none_is_refused(app: App) -> None:
    text = '{"observations": [{"stage": "retrieve", "metric": "m", "value": NaN}]}'
    kind = {"Content-Type": "application/json"}
    answer = app.client.post(app.url("/observations"), content=text, headers=kind)
    assert answer.status_code in (400, 422)


def test_without_a_revision_it_is_that_which_the_instance_applied(
    service: Serving, app: App
) -> None:
    app.propose(retrieve__k=20)
    ack = {"instance": "web-1", "revision": 2, "state": "applied"}
    ok(app.client.post(app.url("/acks"), json=ack))
    until = time.monotonic() + 20
    body = {"instance": "web-1", "observations": [ONE]}
    while "2" not in [row[3] for row in stored(service, app)]:
        assert time.monotonic() < until, "the acknowledgement was not used"
        ok(app.client.post(app.url("/observations"), json=body))
        time.sleep(0.2)


def test_spans_that_come_with_an_apps_key_are_the_apps(service: Serving, app: App) -> None:
    answer = export(app.client, "whatever", "spans of an app")
    assert answer.status_code == 200
    service.wait_until_settled()
    assert "retrieve" in [row[0] for row in stored(service, app)]


def test_with_an_admin_key_the_service_name_finds_the_app(
    service: Serving, admin: httpx2.Client, app: App
) -> None:
    until = time.monotonic() + 20
    while not stored(service, app):
        assert time.monotonic() < until, "the app was not found by its name"
        assert export(admin, app.name, f"by name {time.monotonic()}").status_code == 200
        service.wait_until_settled()
        time.sleep(0.2)


def test_a_deleted_apps_telemetry_is_nobodys(
    service: Serving, admin: httpx2.Client, register: Register
) -> None:
    app = register()
    batch = {"batch": "b-1", "observations": [ONE]}
    ok(app.client.post(app.url("/observations"), json=batch))
    assert admin.delete(app.url()).status_code == 204
    assert stored(service, app) == []
    again = register(name=app.name)
    assert not ok(again.client.post(again.url("/observations"), json=batch))["duplicate"]
    assert len(stored(service, again)) == 1
