"""Sets of models over HTTP: what answers is exchanged while requests go on."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest

from tests.api.routes.conftest import ok, refused
from tests.api.routes.test_recommend import asked
from tests.api.serving import WITHIN_S, Serving
from tests.api.sets import damage, keep


def states(admin: httpx2.Client) -> dict[int, str]:
    listed = ok(admin.get("/admin/v1/models"))["models"]
    return {row["version"]: row["state"] for row in listed}


@pytest.fixture
def version(service: Serving) -> int:
    """A candidate."""
    return keep(service.home)


def answered_by(admin: httpx2.Client, version: int) -> dict[str, Any]:
    """Ask until a set answers; every answer before is one of the set before."""
    until, seen = time.monotonic() + WITHIN_S, set()
    while True:
        answer = asked(admin, alternatives=0)
        assert answer["source"] == "models"
        seen.add(answer["models"])
        if answer["models"] == version:
            assert len(seen) <= 2
            return answer
        assert time.monotonic() < until, "the set did not take over"


def test_the_set_that_ships_is_in_production_at_first(admin: httpx2.Client) -> None:
    (shipped,) = ok(admin.get("/admin/v1/models"))["models"]
    assert (shipped["version"], shipped["state"]) == (0, "production")
    assert shipped["about"]["accuracy"]["errors"]["latency_p50_ms"]
    assert asked(admin)["models"] == 0


def test_sets_are_exchanged_while_requests_go_on(admin: httpx2.Client, version: int) -> None:
    before = answered_by(admin, 0)
    ok(admin.post(f"/admin/v1/models/{version}/promote"))
    assert (states(admin)[version], states(admin)[0]) == ("production", "archived")
    after = answered_by(admin, version)
    assert after["recommended"]["predicted"] != before["recommended"]["predicted"]
    refused(admin.post(f"/admin/v1/models/{version}/promote"), 409)
    ok(admin.post(f"/admin/v1/models/{version}/rollback"))
    assert (states(admin)[version], states(admin)[0]) == ("archived", "production")
    assert answered_by(admin, 0)["recommended"] == before["recommended"]


def test_what_is_worse_is_refused(admin: httpx2.Client, service: Serving) -> None:
    worse = keep(service.home, better=False)
    problem = refused(admin.post(f"/admin/v1/models/{worse}/promote"), 409)
    assert "is worse: left-out corpora, order" in problem["detail"]
    assert states(admin)[worse] == "candidate"
    refused(admin.post(f"/admin/v1/models/{worse}/rollback"), 409)


def test_a_damaged_file_is_not_promoted(
    admin: httpx2.Client, service: Serving, version: int
) -> None:
    damage(service.home, version)
    problem = refused(admin.post(f"/admin/v1/models/{version}/promote"), 409)
    assert "cannot be read" in problem["detail"]
    assert (problem["key"], problem["value"]) == ("version", str(version))
    assert states(admin)[version] == "candidate"


def test_promoting_again_under_an_idempotency_key_promotes_once(
    admin: httpx2.Client, version: int
) -> None:
    url, key = f"/admin/v1/models/{version}/promote", {"Idempotency-Key": f"once-{version}"}
    first, again = (ok(admin.post(url, headers=key)) for _ in range(2))
    assert first == again
    ok(admin.post("/admin/v1/models/0/promote"))
    assert states(admin)[0] == "production"


@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_a_set_that_is_not_there_is_named(admin: httpx2.Client, what: str) -> None:
    problem = refused(admin.post(f"/admin/v1/models/999/{what}"), 404)
    assert "999" in problem["detail"]
