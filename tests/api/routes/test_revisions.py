"""Revisions: proposing, going back, freezing, and what waits for a change of documents."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.api.routes.conftest import App, Register, ok, refused


def states(app: App) -> dict[int, str]:
    found = ok(app.client.get(app.url("/revisions")))["revisions"]
    return {r["number"]: r["state"] for r in found}


def manifest(app: App, documents: dict[str, str]) -> dict[str, Any]:
    return ok(app.client.put(app.url("/documents"), json={"documents": documents}))


def test_a_proposed_revision_becomes_the_active_one(app: App) -> None:
    proposed = app.propose(retrieve__k=20)
    assert (proposed["number"], proposed["state"], proposed["origin"]) == (2, "active", "app")
    assert states(app) == {2: "active", 1: "superseded"}
    assert app.settings()["settings"]["retrieve.k"] == 20


def test_what_a_proposal_leaves_out_stays(app: App) -> None:
    app.propose(retrieve__k=20)
    app.propose(generate__contexts=3)
    assert app.settings()["settings"]["retrieve.k"] == 20


def test_a_proposal_that_is_not_in_the_space_is_named(app: App) -> None:
    body = {"settings": {"retrieve.nprobe": 4}}
    problem = refused(app.client.post(app.url("/revisions"), json=body), 400)
    assert (problem["key"], problem["value"]) == ("retrieve.nprobe", 4)
    assert states(app) == {1: "active"}


def test_going_back_makes_a_new_revision(app: App) -> None:
    app.propose(retrieve__k=20)
    app.propose(retrieve__k=50)
    back = ok(app.client.post(app.url("/revisions/1/rollback"), json={"reason": "worse"}), 201)
    assert (back["number"], back["origin"], back["reason"]) == (4, "rollback", "worse")
    assert app.settings()["settings"]["retrieve.k"] == 10
    assert states(app)[4] == "active"


def test_one_cannot_go_back_to_what_is_active_or_never_was(app: App) -> None:
    refused(app.client.post(app.url("/revisions/1/rollback")), 409)
    refused(app.client.post(app.url("/revisions/9/rollback")), 404)


def test_a_frozen_app_changes_nothing_until_it_is_thawed(app: App) -> None:
    tag = app.client.get(app.url("/settings")).headers["etag"]
    ok(app.client.post(app.url("/freeze")))
    assert app.propose(retrieve__k=20)["state"] == "proposed"
    app.propose(retrieve__k=30)
    assert app.settings()["settings"]["retrieve.k"] == 10
    assert app.settings()["frozen"]
    assert app.client.get(app.url("/settings")).headers["etag"] != tag
    refused(app.client.post(app.url("/revisions/1/rollback")), 409)
    ok(app.client.post(app.url("/freeze"), json={"frozen": False}))
    assert app.settings()["settings"]["retrieve.k"] == 30
    assert states(app) == {3: "active", 2: "superseded", 1: "superseded"}


def test_revisions_come_in_pages(app: App) -> None:
    for k in (20, 30, 40):
        app.propose(retrieve__k=k)
    page = ok(app.client.get(app.url("/revisions"), params={"limit": 3}))
    assert [r["number"] for r in page["revisions"]] == [4, 3, 2]
    rest = ok(app.client.get(app.url("/revisions"), params={"limit": 3, "before": page["next"]}))
    assert ([r["number"] for r in rest["revisions"]], rest["next"]) == ([1], None)


def test_a_rebuild_waits_for_documents_and_rides_on_their_change(app: App) -> None:
    manifest(app, {"a": "1"})
    app.propose(retrieve__k=20, chunk__tokens=128)
    waiting = app.settings()
    assert waiting["settings"]["retrieve.k"] == 20
    assert waiting["settings"]["chunk.tokens"] == 256
    assert waiting["pending"] == {"chunk.tokens": {"value": 128, "apply": "rebuild:chunk"}}
    assert manifest(app, {"a": "1"})["changed"] is False
    assert app.settings()["pending"] == waiting["pending"]
    assert manifest(app, {"a": "2"})["changed"] is True
    delivered = app.settings()
    assert delivered["settings"]["chunk.tokens"] == 128
    assert (delivered["pending"], delivered["revision"]) == ({}, 3)
    released, before = ok(app.client.get(app.url("/revisions")))["revisions"][:2]
    assert (released["origin"], released["reason"]) == ("release", "documents changed")
    assert released["delivered"] == released["config"] == before["config"]
    assert before["delivered"]["chunk.tokens"] == 256


def test_with_approval_it_waits_for_an_order(admin: httpx2.Client, register: Register) -> None:
    app = register(restarts="approve")
    manifest(app, {"a": "1"})
    app.propose(chunk__tokens=128)
    manifest(app, {"a": "2"})
    assert app.settings()["pending"]
    dry = ok(admin.post(app.url("/restarts"), json={"dry_run": True}))
    assert dry["delivered"]["chunk.tokens"]["value"] == 128
    assert app.settings()["pending"]
    ok(admin.post(app.url("/restarts")))
    assert app.settings()["settings"]["chunk.tokens"] == 128
    refused(app.client.post(app.url("/restarts")), 403)


def test_an_app_that_is_never_restarted_gets_hot_settings_only(
    admin: httpx2.Client, register: Register
) -> None:
    app = register(restarts="off")
    manifest(app, {"a": "1"})
    app.propose(retrieve__k=20, chunk__tokens=128)
    manifest(app, {"a": "2"})
    assert app.settings()["settings"]["retrieve.k"] == 20
    assert app.settings()["settings"]["chunk.tokens"] == 256
    refused(admin.post(app.url("/restarts")), 409)


def test_there_are_no_restart_plans(admin: httpx2.Client, app: App) -> None:
    assert ok(app.client.get(app.url("/restarts"), params={"state": "done"})) == {"restarts": []}
    refused(app.client.get(app.url("/restarts/1")), 404)
    refused(admin.post(app.url("/restarts/1/approve")), 404)
    refused(admin.post(app.url("/restarts/1/cancel")), 404)


@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"]])
def test_an_equal_manifest_is_no_change_whatever_the_order(
    register: Register, order: list[str]
) -> None:
    app = register()
    first = manifest(app, {"a": "1", "b": "2"})
    assert first["changed"]
    hashes = {"a": "1", "b": "2"}
    again = manifest(app, {name: hashes[name] for name in order})
    assert (again["changed"], again["plan"], again["version"]) == (False, None, 1)
    assert again["root"] == first["root"]


def test_a_delta_is_as_good_as_the_whole(register: Register) -> None:
    app, other = register(), register()
    base = manifest(app, {"a": "1", "b": "2", "c": "3", "d": "4"})["root"]
    delta = {"base": base, "changed": {"b": "5", "e": "6"}, "removed": ["c"]}
    by_delta = ok(app.client.put(app.url("/documents"), json=delta))
    whole = manifest(other, {"a": "1", "b": "5", "d": "4", "e": "6"})
    assert by_delta["root"] == whole["root"]
    counts = {"added": 1, "modified": 1, "deleted": 1, "renamed": 0}
    assert by_delta["difference"] == counts
    problem = refused(app.client.put(app.url("/documents"), json=delta), 409)
    assert problem["key"] == "base"


def test_a_renamed_document_is_known_as_that(app: App) -> None:
    manifest(app, {"a": "1", "b": "2"})
    moved = manifest(app, {"a": "1", "c": "2"})
    assert moved["difference"] == {"added": 0, "modified": 0, "deleted": 0, "renamed": 1}
    assert manifest(app, {"a": "1", "c": "2"})["changed"] is False


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"documents": {"a": "1"}, "base": "x"},
        {"documents": {"a": "1"}, "removed": ["a"]},
        {"documents": {"a": 1}},
        {"documents": []},
    ],
)
def test_a_manifest_that_says_nothing_clear_is_refused(app: App, body: object) -> None:
    refused(app.client.put(app.url("/documents"), json=body), 422)


@pytest.mark.parametrize("documents", [{"": "1"}, {"a": ""}, {"a": "x" * 129}, {"x" * 513: "1"}])
def test_a_manifest_with_an_impossible_entry_is_refused(
    app: App, documents: dict[str, str]
) -> None:
    refused(app.client.put(app.url("/documents"), json={"documents": documents}), 400)
