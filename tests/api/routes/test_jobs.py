"""Jobs and schedules over HTTP. No worker runs, so that what is queued stays queued."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.api.routes.conftest import App, Register, ok, refused
from tests.api.serving import Serving


@pytest.fixture
def tunable(service: Serving, admin: httpx2.Client, register: Register) -> App:
    """An app with documents."""
    app = register()
    folder = service.home.parent / "data" / app.name
    folder.mkdir()
    (folder / "a.txt").write_text("Tea is made of leaves.", encoding="utf-8")
    ok(admin.put(app.url("/workload"), json={"docs": app.name}))
    return app


@pytest.fixture(autouse=True)
def nothing_live(admin: httpx2.Client) -> Iterator[None]:
    """Each test leaves nothing queued."""
    yield
    for job in ok(admin.get("/admin/v1/jobs", params={"state": "queued"}))["jobs"]:
        ok(admin.delete(f"/admin/v1/jobs/{job['id']}"), 202)


def test_a_job_is_queued_with_all_its_arguments(admin: httpx2.Client, tunable: App) -> None:
    body = {"kind": "tune", "app": tunable.name, "arguments": {"trials": 3, "budget": "5m"}}
    job = ok(admin.post("/admin/v1/jobs", json=body), 202)
    assert (job["state"], job["app"], job["attempts"]) == ("queued", tunable.name, 0)
    assert job["arguments"]["trials"] == 3
    assert job["arguments"]["apply"] is True
    assert ok(admin.get(f"/admin/v1/jobs/{job['id']}")) == job
    assert job in ok(admin.get("/admin/v1/jobs", params={"app": tunable.name}))["jobs"]


def test_one_job_of_a_kind_is_live_for_an_app(admin: httpx2.Client, tunable: App) -> None:
    body = {"kind": "tune", "app": tunable.name}
    first = ok(admin.post("/admin/v1/jobs", json=body), 202)
    assert refused(admin.post("/admin/v1/jobs", json=body), 409)["value"] == first["id"]
    ok(admin.delete(f"/admin/v1/jobs/{first['id']}"), 202)
    ok(admin.post("/admin/v1/jobs", json=body), 202)


def test_queueing_again_under_an_idempotency_key_queues_once(
    admin: httpx2.Client, tunable: App
) -> None:
    body, key = {"kind": "tune", "app": tunable.name}, {"Idempotency-Key": tunable.name}
    answers = [admin.post("/admin/v1/jobs", json=body, headers=key) for _ in range(2)]
    assert ok(answers[0], 202) == ok(answers[1], 202)


def test_a_retune_is_queued_as_a_tune_is(admin: httpx2.Client, tunable: App) -> None:
    body = {"kind": "retune", "app": tunable.name, "arguments": {"trials": 3, "force": True}}
    job = ok(admin.post("/admin/v1/jobs", json=body), 202)
    assert (job["kind"], job["arguments"]["trials"]) == ("retune", 3)
    assert (job["arguments"]["force"], job["arguments"]["apply"]) == (True, True)
    assert job in ok(admin.get("/admin/v1/jobs", params={"kind": "retune"}))["jobs"]


@pytest.mark.parametrize(
    ("change", "status", "key"),
    [
        ({"arguments": {"force": True}}, 400, "arguments.force"),
        ({"kind": "retune", "app": None}, 400, "app"),
        ({"kind": "retune", "arguments": {"force": "yes"}}, 400, "arguments.force"),
        ({"kind": "retune", "arguments": {"trials": 0}}, 400, "arguments.trials"),
        ({"app": None}, 400, "app"),
        ({"app": "nowhere"}, 404, "app"),
        ({"kind": "dance"}, 422, "body.kind"),
        ({"arguments": {"trials": 0}}, 400, "arguments.trials"),
        ({"arguments": {"trails": 3}}, 400, "arguments.trails"),
        ({"arguments": {"budget": "soon"}}, 400, "arguments.budget"),
        ({"arguments": {"objective": "max fun"}}, 400, "arguments.objective"),
    ],
)
def test_a_job_that_cannot_be_done_is_refused_at_once(
    admin: httpx2.Client, tunable: App, change: dict[str, object], status: int, key: str
) -> None:
    body = {"kind": "tune", "app": tunable.name, **change}
    assert refused(admin.post("/admin/v1/jobs", json=body), status)["key"] == key


def test_an_app_with_nothing_to_measure_is_not_tuned(admin: httpx2.Client, app: App) -> None:
    for kind in ("tune", "retune"):
        body = {"kind": kind, "app": app.name}
        problem = refused(admin.post("/admin/v1/jobs", json=body), 409)
        assert "neither docs nor an evaluator" in problem["detail"]


def test_what_ended_is_not_cancelled_and_may_be_tried_again(
    admin: httpx2.Client, tunable: App
) -> None:
    job = ok(admin.post("/admin/v1/jobs", json={"kind": "tune", "app": tunable.name}), 202)
    url = f"/admin/v1/jobs/{job['id']}"
    refused(admin.post(f"{url}/retry"), 409)
    assert ok(admin.delete(url), 202)["state"] == "cancelled"
    refused(admin.delete(url), 409)
    assert ok(admin.post(f"{url}/retry"), 202)["state"] == "queued"


def test_jobs_come_in_pages(admin: httpx2.Client) -> None:
    for _ in range(3):
        job = ok(admin.post("/admin/v1/jobs", json={"kind": "prune"}), 202)
        ok(admin.delete(f"/admin/v1/jobs/{job['id']}"), 202)
    first = ok(admin.get("/admin/v1/jobs", params={"kind": "prune", "limit": 2}))
    rest = {"kind": "prune", "limit": 2, "before": first["next"]}
    ids = [j["id"] for j in first["jobs"] + ok(admin.get("/admin/v1/jobs", params=rest))["jobs"]]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == len(ids) >= 3


def test_a_deleted_apps_jobs_are_gone(admin: httpx2.Client, tunable: App) -> None:
    job = ok(admin.post("/admin/v1/jobs", json={"kind": "tune", "app": tunable.name}), 202)
    assert admin.delete(tunable.url()).status_code == 204
    refused(admin.get(f"/admin/v1/jobs/{job['id']}"), 404)


def test_the_service_prunes_by_a_schedule_of_its_own(admin: httpx2.Client) -> None:
    kinds = [s["kind"] for s in ok(admin.get("/admin/v1/schedules"))["schedules"]]
    assert kinds.count("prune") == 1


def test_a_schedule_is_made_changed_and_deleted(admin: httpx2.Client, tunable: App) -> None:
    body = {"kind": "tune", "app": tunable.name, "cron": "0 3 * * 1"}
    made = ok(admin.post("/admin/v1/schedules", json=body), 201)
    url = f"/admin/v1/schedules/{made['id']}"
    changed = ok(admin.patch(url, json={"cron": "*/5 * * * *", "enabled": False}))
    assert (changed["cron"], changed["enabled"]) == ("*/5 * * * *", False)
    assert changed["next_at"] < made["next_at"]
    refused(admin.patch(url, json={"arguments": {"trails": 1}}), 400)
    assert admin.delete(url).status_code == 204
    refused(admin.patch(url, json={"enabled": True}), 404)


def test_a_schedule_may_retune(admin: httpx2.Client, tunable: App) -> None:
    body = {"kind": "retune", "app": tunable.name, "cron": "0 3 * * 1"}
    made = ok(admin.post("/admin/v1/schedules", json=body), 201)
    url = f"/admin/v1/schedules/{made['id']}"
    assert (made["kind"], made["arguments"]["force"]) == ("retune", False)
    assert ok(admin.patch(url, json={"arguments": {"force": True}}))["arguments"]["force"] is True
    refused(admin.patch(url, json={"arguments": {"force": 1}}), 400)
    assert admin.delete(url).status_code == 204


@pytest.mark.parametrize("cron", ["", "often", "* * * *", "0 0 31 2 *", "61 * * * *"])
def test_a_time_that_never_comes_is_refused(admin: httpx2.Client, cron: str) -> None:
    answer = admin.post("/admin/v1/schedules", json={"kind": "prune", "cron": cron})
    assert answer.status_code in (400, 422)
    assert "cron" in answer.json()["key"]
