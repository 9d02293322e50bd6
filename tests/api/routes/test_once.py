"""Trying again is safe: an idempotency key is answered once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.routes.conftest import App, Register, ok, refused
from tests.api.serving import Serving


def proposals(app: App) -> list[int]:
    found = ok(app.client.get(app.url("/revisions")))["revisions"]
    return [r["number"] for r in found if r["origin"] == "app"]


def test_the_same_request_is_done_once_and_answered_the_same(app: App) -> None:
    body, key = {"settings": {"retrieve.k": 20}}, {"Idempotency-Key": "once"}
    answers = [app.client.post(app.url("/revisions"), json=body, headers=key) for _ in range(3)]
    assert [ok(a, 201) for a in answers] == [ok(answers[0], 201)] * 3
    assert proposals(app) == [2]


def test_many_at_once_are_done_once(service: Serving, app: App) -> None:
    body, key = {"settings": {"retrieve.k": 20}}, {"Idempotency-Key": "together"}

    def propose(_: int) -> int:
        with service.client(Authorization=f"Bearer {app.key}") as client:
            answer = client.post(app.url("/revisions"), json=body, headers=key)
            return int(ok(answer, 201)["number"])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(propose, range(16))) == [2] * 16
    assert proposals(app) == [2]


def test_another_request_under_the_same_key_is_refused(app: App) -> None:
    key = {"Idempotency-Key": "mine"}
    first = {"settings": {"retrieve.k": 20}}
    ok(app.client.post(app.url("/revisions"), json=first, headers=key), 201)
    other = app.client.post(app.url("/revisions"), json={"settings": {}}, headers=key)
    assert refused(other, 422)["key"] == "Idempotency-Key"
    freeze = app.client.post(app.url("/freeze"), headers=key)
    refused(freeze, 422)
    assert proposals(app) == [2]


def test_the_same_key_of_another_caller_is_another_key(register: Register) -> None:
    key, body = {"Idempotency-Key": "shared"}, {"settings": {"retrieve.k": 20}}
    for app in (register(), register()):
        ok(app.client.post(app.url("/revisions"), json=body, headers=key), 201)
        assert proposals(app) == [2]


def test_what_was_refused_may_be_mended_under_the_same_key(app: App) -> None:
    key = {"Idempotency-Key": "mended"}
    wrong = app.client.post(
        app.url("/revisions"), json={"settings": {"retrieve.k": 0}}, headers=key
    )
    refused(wrong, 400)
    right = {"settings": {"retrieve.k": 20}}
    ok(app.client.post(app.url("/revisions"), json=right, headers=key), 201)


@pytest.mark.parametrize("key", ["a" * 256, "a b", "\u00e4"])
def test_a_key_that_is_none_is_refused(app: App, key: str) -> None:
    headers = {"Idempotency-Key": key.encode()}
    answer = app.client.post(app.url("/revisions"), json={"settings": {}}, headers=headers)
    refused(answer, 422)
    assert proposals(app) == []
