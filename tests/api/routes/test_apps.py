"""Registering apps, and what they are."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.api.routes.conftest import App, Register, ok, refused
from tests.api.serving import Serving


def test_a_registered_app_runs_with_its_settings_as_revision_1(register: Register) -> None:
    app = register(settings={"retrieve.k": 7, "chunk.tokens": 128})
    delivered = app.settings()
    assert delivered["revision"] == 1
    assert delivered["settings"]["retrieve.k"] == 7
    assert delivered["settings"]["chunk.tokens"] == 128
    assert delivered["pending"] == {}


def test_an_app_is_shown_as_it_was_registered(admin: httpx2.Client, register: Register) -> None:
    app = register(
        objective="min latency_p95_ms subject to ndcg_at_10 >= 0.5",
        restarts="approve",
        space={"reference": ["retrieve.k"]},
    )
    shown = ok(admin.get(app.url()))
    assert shown["objective"] == "min latency_p95_ms subject to ndcg_at_10 >= 0.5"
    assert shown["restarts"] == "approve"
    assert shown["settings"] == {"retrieve.k": 10}
    assert app.name in [a["name"] for a in ok(admin.get("/v1/apps"))["apps"]]


def test_a_name_is_taken_once(admin: httpx2.Client, app: App) -> None:
    problem = refused(admin.post("/v1/apps", json={"name": app.name}), 409)
    assert (problem["key"], problem["value"]) == ("name", app.name)


@pytest.mark.parametrize(
    ("registration", "key"),
    [
        ({"settings": {"retrieve.k": 1000}}, "retrieve.k"),
        ({"settings": {"retrieve.kk": 10}}, "retrieve.kk"),
        ({"objective": "max nothing"}, None),
        ({"objective": "faster please"}, "objective"),
        ({"space": {"knobs": [{"name": "x"}]}}, None),
        ({"webhook": "http://127.0.0.1:9/hook"}, "webhook"),
        ({"webhook": "http://169.254.169.254/latest"}, "webhook"),
        ({"webhook": "file:///etc/passwd"}, "webhook"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_registered(
    admin: httpx2.Client, registration: dict[str, Any], key: str | None
) -> None:
    problem = refused(admin.post("/v1/apps", json={"name": "never", **registration}), 400)
    assert key is None or problem["key"] == key
    refused(admin.get("/v1/apps/never"), 404)


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "_unassigned", "a" * 64, "ä", "a/b"])
def test_a_name_is_one_that_fits_into_an_address(admin: httpx2.Client, name: str) -> None:
    refused(admin.post("/v1/apps", json={"name": name}), 422)


def test_an_app_is_changed_where_it_is_said(admin: httpx2.Client, app: App) -> None:
    before = ok(admin.get(app.url()))
    changed = ok(admin.patch(app.url(), json={"objective": "max mrr_at_10"}))
    assert changed["objective"] == "max mrr_at_10"
    same = ("restarts", "settings", "revision", "space")
    assert [changed[name] for name in same] == [before[name] for name in same]


LIMIT = {"name": "search.limit", "type": "int", "low": 1, "high": 100, "default": 10}
BEAM = {"name": "search.beam", "type": "int", "low": 1, "high": 64, "default": 8}


def test_a_space_that_does_not_hold_the_settings_is_refused(
    admin: httpx2.Client, register: Register
) -> None:
    app = register(space={"knobs": [LIMIT]}, settings={"search.limit": 90})
    before = ok(admin.get(app.url()))
    narrow = {"knobs": [{**LIMIT, "high": 50}]}
    problem = refused(admin.patch(app.url(), json={"space": narrow}), 400)
    assert (problem["key"], problem["value"]) == ("search.limit", 90)
    assert ok(admin.get(app.url())) == before


def test_knobs_come_and_go_and_the_others_keep_their_values(
    admin: httpx2.Client, register: Register
) -> None:
    app = register(space={"knobs": [LIMIT]}, settings={"search.limit": 90})
    more = ok(admin.patch(app.url(), json={"space": {"knobs": [LIMIT, BEAM]}}))
    assert more["settings"] == {"search.limit": 90, "search.beam": 8}
    assert (more["revision"], more["pending"]) == (2, {})
    app.propose(search__beam=16)
    fewer = ok(admin.patch(app.url(), json={"space": {"knobs": [BEAM]}}))
    assert fewer["settings"] == {"search.beam": 16}
    whole = ok(admin.patch(app.url(), json={"space": None}))
    assert whole["settings"]["retrieve.k"] == 10


def test_a_deleted_app_is_gone_with_its_key(admin: httpx2.Client, register: Register) -> None:
    app = register()
    assert admin.delete(app.url()).status_code == 204
    refused(admin.get(app.url()), 404)
    refused(app.client.get(app.url("/settings")), 401)
    refused(admin.delete(app.url()), 404)


def test_a_name_can_be_used_again_after_deleting(admin: httpx2.Client, register: Register) -> None:
    first = register(settings={"retrieve.k": 3})
    tag = first.client.get(first.url("/settings")).headers["etag"]
    assert admin.delete(first.url()).status_code == 204
    second = register(name=first.name)
    assert second.settings()["settings"]["retrieve.k"] == 10
    assert second.client.get(second.url("/settings")).headers["etag"] != tag


def test_documents_lie_under_the_data_folder(service: Serving, app: App) -> None:
    data = service.home.parent / "data"
    (data / app.name / "docs").mkdir(parents=True)
    (data / app.name / "docs" / "a.txt").write_text("Some text.", encoding="utf-8")
    docs = f"{app.name}/docs"
    shown = ok(app.client.put(app.url("/workload"), json={"docs": docs}))
    assert shown["workload"]["docs"] == docs


def test_an_app_cannot_name_the_documents_of_another(
    service: Serving, admin: httpx2.Client, register: Register
) -> None:
    one, two = register(), register()
    (service.home.parent / "data" / two.name).mkdir()
    problem = refused(one.client.put(one.url("/workload"), json={"docs": two.name}), 403)
    assert "docs" in problem["detail"]
    ok(admin.put(one.url("/workload"), json={"docs": two.name}))


@pytest.mark.parametrize(
    "path", ["../outside", "/etc", "mine/../../outside", "linked", "missing", "a\0b", "~"]
)
def test_no_path_leads_out_of_the_data_folder(service: Serving, app: App, path: str) -> None:
    root = service.home.parent
    (root / "outside").mkdir(exist_ok=True)
    (root / "outside" / "secret.txt").write_text("secret", encoding="utf-8")
    link = root / "data" / "linked"
    if not link.is_symlink():
        link.symlink_to(root / "outside")
    answer = app.client.put(app.url("/workload"), json={"docs": path})
    assert answer.status_code in (400, 422), answer.text
    assert str(root) not in answer.text


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8400",
        "http://localhost:8400",
        "http://2130706433/",
        "http://[::1]/",
        "http://10.0.0.1/",
        "ftp://example.org/",
    ],
)
def test_an_evaluator_inside_is_refused(app: App, url: str) -> None:
    body = {"docs": "mine", "evaluator": url}
    problem = refused(app.client.put(app.url("/workload"), json=body), 400)
    assert problem["key"] == "evaluator"


def test_features_that_are_none_are_named(app: App) -> None:
    body = {"features": {"documents": "many"}}
    problem = refused(app.client.put(app.url("/workload"), json=body), 422)
    assert problem["key"].startswith("body.features")


def test_the_machine_of_an_app_is_remembered(app: App) -> None:
    from tests.autorag.machines import profile

    made = profile()
    shown = ok(app.client.put(app.url("/hardware"), json=made.to_json()))
    assert shown["hardware"] == made.fingerprint
    refused(app.client.put(app.url("/hardware"), json={"identity": 3}), 422)


def test_registering_again_under_an_idempotency_key_gives_the_same_key(
    admin: httpx2.Client, service: Serving
) -> None:
    body, key = {"name": "once"}, {"Idempotency-Key": "register-once"}
    first = admin.post("/v1/apps", json=body, headers=key)
    again = admin.post("/v1/apps", json=body, headers=key)
    assert ok(first, 201) == ok(again, 201)
    assert again.headers["location"] == "/v1/apps/once"
    other = admin.post("/v1/apps", json={"name": "twice"}, headers=key)
    assert refused(other, 422)["key"] == "Idempotency-Key"
    refused(admin.get("/v1/apps/twice"), 404)
    with service.client(Authorization=f"Bearer {again.json()['key']}") as client:
        ok(client.get("/v1/apps/once/settings"))
    stored = (service.home / "autorag.db").read_bytes()
    stored += (service.home / "autorag.db-wal").read_bytes()
    assert first.json()["key"].encode() not in stored
    assert b"(shown once)" in stored


def test_an_app_with_knobs_of_its_own_is_not_held_to_context_tokens(register: Register) -> None:
    knob = {"name": "search.limit", "type": "int", "low": 1, "high": 9, "default": 3}
    app = register(space={"knobs": [knob]})
    shown = ok(app.client.get(app.url()))
    assert shown["objective"] == "max ndcg_at_10 subject to latency_p95_ms <= 100"
    other = register()
    assert "context_tokens" in ok(other.client.get(other.url()))["objective"]
