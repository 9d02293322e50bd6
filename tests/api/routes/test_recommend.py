"""Recommending for a workload that nobody measured: by models, else the default."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from api.wiring import make_space
from tests.api.exports import START_NS, a_trace, encoded, export, request
from tests.api.routes.conftest import Register, ok, refused
from tests.api.serving import Serving
from tests.autorag.machines import profile
from tests.models.learned import Imagined

FEATURES = Imagined("asked", 0.4).features
UNBOUND = "max ndcg_at_10"
PART = ["retrieve.mode", "retrieve.alpha", "retrieve.k", "rerank.model", "rerank.depth"]


def asked(client: httpx2.Client, **more: Any) -> dict[str, Any]:
    body = {"features": FEATURES.to_json(), "hardware": profile().to_json(), **more}
    answer: dict[str, Any] = ok(client.post("/v1/recommend", json=body))
    return answer


def test_features_and_hardware_are_enough(admin: httpx2.Client) -> None:
    answer = asked(admin, alternatives=2)
    assert answer["source"] == "models"
    assert len(answer["alternatives"]) == 2
    for one in (answer["recommended"], *answer["alternatives"]):
        assert make_space().valid(one["config"])
        assert one["measured"] == {}
        assert one["predicted"]["latency_p95_ms"]["value"] <= 100
        assert one["predicted"]["context_tokens"]["value"] <= 2000
        assert one["chance"] >= 0.9
        assert one["provenance"] == "analytic"
    assert answer["sure"] is False
    assert "no times were learned on this machine" in answer["reason"]


def test_the_objective_decides(admin: httpx2.Client) -> None:
    usual, fast = (
        asked(admin, objective=goal)["recommended"]
        for goal in ("max ndcg_at_10", "max ndcg_at_10 subject to latency_p95_ms <= 2")
    )
    assert fast["predicted"]["latency_p95_ms"]["value"] <= 2
    assert usual["predicted"]["latency_p95_ms"]["value"] > 2
    assert usual["reasons"]


def test_the_same_question_gets_the_same_answer(admin: httpx2.Client) -> None:
    assert asked(admin) == asked(admin)


@pytest.mark.parametrize("missing", ["features", "hardware"])
def test_without_either_the_default_is_given(admin: httpx2.Client, missing: str) -> None:
    answer = asked(admin, **{missing: None})
    assert answer["source"] == "default"
    assert {"features": "features", "hardware": "profile"}[missing] in answer["reason"]
    assert answer["recommended"]["config"] == make_space().default().to_json()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"objective": "max answer_f1"}, "answer_f1"),
        ({"objective": "max ndcg_at_10 subject to ttft_p95_ms <= 9"}, "ttft_p95_ms"),
        (
            {"features": replace(FEATURES, corpus=replace(FEATURES.corpus, tokens=None)).to_json()},
            "tokens",
        ),
        ({"hardware": replace(profile(), rates={}).to_json()}, "hardware profile has no"),
    ],
)
def test_what_cannot_be_predicted_is_said(
    admin: httpx2.Client, more: dict[str, Any], named: str
) -> None:
    answer = asked(admin, **more)
    assert answer["source"] == "default"
    assert named in answer["reason"]
    assert (answer["sure"], answer["alternatives"]) == (None, [])


def test_an_app_is_recommended_for_what_it_registered(register: Register) -> None:
    """In its own space: here some knobs of the reference pipeline."""
    app = register(space={"reference": PART})
    ok(app.client.put(app.url("/workload"), json={"features": FEATURES.to_json()}))
    ok(app.client.put(app.url("/hardware"), json=profile().to_json()))
    answer = ok(app.client.post("/v1/recommend", json={}))
    assert answer["source"] == "models"
    for one in (answer["recommended"], *answer["alternatives"]):
        assert set(one["config"]) <= set(PART)
    assert answer["recommended"]["config"]["rerank.model"] == "maxsim"


def test_knobs_that_models_do_not_know_are_named(register: Register) -> None:
    knobs = [{"name": "search.good", "type": "bool"}]
    app = register(space={"knobs": knobs})
    answer = ok(
        app.client.post(
            "/v1/recommend",
            json={"features": FEATURES.to_json(), "hardware": profile().to_json()},
        )
    )
    assert answer["source"] == "default"
    assert "search.good" in answer["reason"]


def test_a_profile_that_is_none_is_refused(admin: httpx2.Client) -> None:
    body = {"features": FEATURES.to_json(), "hardware": {"identity": {}}}
    refused(admin.post("/v1/recommend", json=body), 422)


def test_an_apps_requests_correct_its_times(service: Serving, register: Register) -> None:
    """Sixty requests: 38 ms from question to ranked contexts, whatever was predicted."""
    app, twin = (register(space={"reference": PART}) for _ in range(2))
    for each in (app, twin):
        ok(each.client.put(each.url("/workload"), json={"features": FEATURES.to_json()}))
        ok(each.client.put(each.url("/hardware"), json=profile().to_json()))
        each.propose(retrieve__k=20)
    sent = request(an_hour_ago(app.name), service__name=app.name, autorag__revision="2")
    assert app.settings()["revision"] == 2
    assert export(app.client, encoded(sent)).status_code == 200
    service.wait_until_settled()
    corrected, usual = (
        ok(a.client.post("/v1/recommend", json={"objective": "max ndcg_at_10"}))
        for a in (app, twin)
    )
    assert "as the app's requests show" in corrected["reason"]
    assert "as the app's requests show" not in usual["reason"]
    configs = [a["recommended"]["config"] for a in (corrected, usual)]
    assert configs[0] == configs[1]
    slower, predicted = (
        a["recommended"]["predicted"]["latency_p50_ms"]["value"] for a in (corrected, usual)
    )
    assert slower / predicted == pytest.approx(factor_in(corrected["reason"]), rel=0.01)


def test_another_machine_is_not_corrected_by_an_apps_requests(
    service: Serving, register: Register
) -> None:
    app = register(space={"reference": PART})
    asked = {"features": FEATURES.to_json(), "hardware": profile().to_json()}
    app.propose(retrieve__k=20)
    sent = request(an_hour_ago(app.name), service__name=app.name, autorag__revision="2")
    assert export(app.client, encoded(sent)).status_code == 200
    service.wait_until_settled()
    answer = ok(app.client.post("/v1/recommend", json=asked))
    assert answer["source"] == "models"
    assert "requests show" not in answer["reason"]


@pytest.mark.parametrize(
    ("knob", "values"),
    [("embed.model", ["my-model", "other"]), ("index.kind", ["ivf_flat", "ivf_sq8"])],
)
def test_parts_that_models_know_nothing_of_are_not_recommended(
    register: Register, knob: str, values: list[str]
) -> None:
    knobs = [{"name": knob, "type": "choice", "values": values, "default": values[0]}]
    app = register(space={"knobs": knobs})
    asked = {"features": FEATURES.to_json(), "hardware": profile().to_json()}
    answer = ok(app.client.post("/v1/recommend", json=asked))
    assert answer["source"] == "default"
    assert answer["recommended"]["config"] == {knob: values[0]}
    assert "models know nothing of" in answer["reason"] or "no config of" in answer["reason"]


def an_hour_ago(app: str) -> list[Span]:
    """The spans of sixty requests."""
    spans = [span for i in range(60) for span in a_trace(f"{app} {i}")]
    later = time.time_ns() - START_NS - 3_600_000_000_000
    for span in spans:
        span.start_time_unix_nano += later
        span.end_time_unix_nano += later
    return spans


def factor_in(reason: str) -> float:
    found = re.search(r"times are × ([0-9.]+)", reason)
    assert found is not None
    return float(found[1])
