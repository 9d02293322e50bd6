"""The status page, metrics and health."""

from __future__ import annotations

import httpx2

from tests.api.routes.conftest import App, ok
from tests.api.serving import KEY, Serving


def test_the_page_shows_apps_instances_and_what_waits(
    service: Serving, admin: httpx2.Client, app: App
) -> None:
    app.propose(retrieve__k=20, chunk__tokens=128)
    app.settings(instance="web-2")
    ack = {"instance": "web-<1>", "revision": 2, "state": "applied", "values": {"retrieve.k": 5}}
    assert app.client.post(app.url("/acks"), json=ack).status_code == 422
    ok(app.client.post(app.url("/acks"), json={**ack, "instance": "web-1"}))
    page = admin.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    row = next(line for line in page.text.split("<tr>") if app.name in line)
    assert "chunk.tokens → 128 (rebuild:chunk)" in row
    assert "web-1" in row
    assert "applied otherwise" in row
    assert "web-2" in row
    assert "nothing acknowledged" in row


def test_a_browser_gives_the_admin_key_as_a_password(service: Serving, app: App) -> None:
    asked = httpx2.get(service.url)
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    assert httpx2.get(service.url, auth=("operator", KEY)).status_code == 200
    assert httpx2.get(service.url, auth=("operator", app.key)).status_code == 403
    assert httpx2.get(service.url, auth=("operator", "wrong")).status_code == 401


def test_metrics_tell_of_requests_by_route_and_never_of_an_app(service: Serving, app: App) -> None:
    app.settings()
    text = httpx2.get(f"{service.url}/metrics").text
    assert 'route="/v1/apps/{app}/settings"' in text
    assert 'autorag_writes_waiting{database="control"} 0.0' in text
    assert "autorag_jobs{state=" in text
    assert app.name not in text


def test_it_is_alive_and_ready_without_a_key(service: Serving) -> None:
    assert httpx2.get(f"{service.url}/healthz").json() == {"status": "ok"}
    assert httpx2.get(f"{service.url}/readyz").json() == {"status": "ready"}
