"""Who may do what: keys, scopes, and the ways around them."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.api.routes.conftest import App, Register, ok, refused
from tests.api.serving import Serving

ROUTES = [
    ("GET", "", None, None),
    ("PATCH", "", None, "admin"),
    ("DELETE", "", None, "admin"),
    ("PUT", "/workload", {}, "documents"),
    ("PUT", "/hardware", {}, "documents"),
    ("GET", "/settings", None, "settings"),
    ("GET", "/acks", None, "settings"),
    ("POST", "/acks", {"instance": "i", "revision": 1, "state": "applied"}, "ack"),
    ("GET", "/revisions", None, "settings"),
    ("POST", "/revisions", {"settings": {}}, "settings"),
    ("POST", "/revisions/1/rollback", None, "settings"),
    ("POST", "/freeze", None, "settings"),
    ("PUT", "/documents", {"documents": {}}, "documents"),
    ("GET", "/restarts", None, "settings"),
    ("POST", "/restarts", None, "admin"),
    ("POST", "/restarts/1/approve", None, "admin"),
    ("POST", "/observations", {"observations": []}, "ingest"),
    ("POST", "/suggestions", {"client": "c"}, "suggest"),
    ("POST", "/trials/1/result", {"failed": "x"}, "suggest"),
]
ADMIN_ROUTES = [
    ("GET", "/v1/apps"),
    ("POST", "/v1/apps"),
    ("GET", "/admin/v1/jobs"),
    ("POST", "/admin/v1/jobs"),
    ("DELETE", "/admin/v1/jobs/1"),
    ("GET", "/admin/v1/keys"),
    ("POST", "/admin/v1/keys"),
    ("DELETE", "/admin/v1/keys/1"),
    ("GET", "/admin/v1/models"),
    ("GET", "/admin/v1/schedules"),
    ("POST", "/admin/v1/schedules"),
]


@pytest.mark.parametrize(("method", "path", "body", "scope"), ROUTES)
def test_nobody_gets_in_without_a_key(
    service: Serving, app: App, method: str, path: str, body: Any, scope: str | None
) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}):
        answer = httpx2.request(method, service.url + app.url(path), json=body, headers=headers)
        refused(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "body", "scope"), ROUTES)
def test_another_apps_key_opens_nothing(
    app: App, register: Register, method: str, path: str, body: Any, scope: str | None
) -> None:
    other = register()
    refused(other.client.request(method, app.url(path), json=body), 403)


@pytest.mark.parametrize(("method", "path", "body", "scope"), ROUTES)
def test_a_key_opens_what_its_scopes_say(
    admin: httpx2.Client,
    service: Serving,
    app: App,
    method: str,
    path: str,
    body: Any,
    scope: str | None,
) -> None:
    if scope in (None, "admin"):
        return
    others = [s for s in ("ingest", "settings", "ack", "documents", "suggest") if s != scope]
    made = ok(admin.post("/admin/v1/keys", json={"app": app.name, "scopes": others}), 201)
    with service.client(Authorization=f"Bearer {made['key']}") as client:
        problem = refused(client.request(method, app.url(path), json=body), 403)
    assert scope in problem["detail"]


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
def test_an_apps_key_does_not_operate_the_service(app: App, method: str, path: str) -> None:
    refused(app.client.request(method, path, json={}), 403)


def test_an_app_that_is_not_there_is_no_secret_to_tell(app: App) -> None:
    """A key that does not open an app is told the same whether the app is there."""
    problem = refused(app.client.get("/v1/apps/nowhere/settings"), 403)
    assert "nowhere" in problem["detail"]


def test_keys_are_rotated_by_having_two(admin: httpx2.Client, service: Serving, app: App) -> None:
    second = ok(admin.post("/admin/v1/keys", json={"app": app.name}), 201)
    refused(admin.post("/admin/v1/keys", json={"app": app.name}), 409)
    with service.client(Authorization=f"Bearer {second['key']}") as client:
        ok(client.get(app.url("/settings")))
        (first,) = [
            k
            for k in ok(admin.get("/admin/v1/keys"))["keys"]
            if k["app"] == app.name and k["id"] != second["id"]
        ]
        assert admin.delete(f"/admin/v1/keys/{first['id']}").status_code == 204
        ok(client.get(app.url("/settings")))
    refused(app.client.get(app.url("/settings")), 401)
    ok(admin.post("/admin/v1/keys", json={"app": app.name}), 201)


def test_the_environments_key_cannot_be_deleted(admin: httpx2.Client) -> None:
    keys = ok(admin.get("/admin/v1/keys"))["keys"]
    (mine,) = [k for k in keys if k["origin"] == "environment"]
    refused(admin.delete(f"/admin/v1/keys/{mine['id']}"), 409)
    ok(admin.get("/v1/apps"))


def test_another_admin_key_opens_everything_until_it_is_deleted(
    admin: httpx2.Client, service: Serving, app: App
) -> None:
    made = ok(admin.post("/admin/v1/keys", json={"label": "ci"}), 201)
    with service.client(Authorization=f"Bearer {made['key']}") as client:
        ok(client.get(app.url("/settings")))
        assert admin.delete(f"/admin/v1/keys/{made['id']}").status_code == 204
        refused(client.get(app.url("/settings")), 401)


def test_no_list_shows_a_secret(admin: httpx2.Client, app: App) -> None:
    text = admin.get("/admin/v1/keys").text + admin.get("/v1/apps").text
    assert app.key not in text
    assert "hash" not in text


def test_otlp_needs_a_key_that_may_send(admin: httpx2.Client, service: Serving, app: App) -> None:
    made = ok(admin.post("/admin/v1/keys", json={"app": app.name, "scopes": ["ack"]}), 201)
    kind = {"Content-Type": "application/json"}
    with service.client(Authorization=f"Bearer {made['key']}") as client:
        assert client.post("/v1/traces", content="{}", headers=kind).status_code == 403
    assert app.client.post("/v1/traces", content="{}", headers=kind).status_code == 200
