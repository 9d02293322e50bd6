"""Recommending a config for a workload."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from api.auth import Anyone, allow
from api.http.once import json_answer
from api.http.schema import APP_NAME, WITH_BODY, Body, View, described, errors
from api.recommending import Question
from api.routes.common import ServiceOf
from api.routes.described import Features, HardwareBody, ObjectiveText
from autorag.features import WorkloadFeatures
from autorag.objective import parse_goal

router = APIRouter(tags=["recommend"])


class Asked(Body):
    """What is known of the workload. An app's own key asks for its app."""

    model_config = described({"objective": "max ndcg_at_10 subject to latency_p95_ms <= 50"})

    app: Annotated[str, Field(pattern=APP_NAME, examples=["support"])] | None = None
    features: Features | None = None
    hardware: HardwareBody | None = None
    objective: ObjectiveText | None = None
    alternatives: Annotated[int, Field(ge=0, le=20)] = 4


class ConfigView(View):
    """A config, what is known of it, and where from."""

    config: dict[str, Any]
    measured: dict[str, float]
    predicted: dict[str, dict[str, float | None]]
    stages: dict[str, dict[str, float]]
    chance: float | None
    provenance: str
    reasons: list[str]


class Recommendation(View):
    """The config to run with, always a valid one, and others in order. ``models`` is the version of
    the set that predicted, 0 for the one that ships."""

    recommended: ConfigView
    alternatives: list[ConfigView]
    source: str
    reason: str
    sure: bool | None
    models: int | None
    workload: dict[str, Any]


@router.post(
    "/v1/recommend",
    operation_id="recommend",
    responses={200: {"model": Recommendation}, **errors(404, *WITH_BODY)},
)
async def recommend_config(body: Asked, caller: Anyone, service: ServiceOf) -> Response:
    """Recommend a config: the best that was measured on the app's workload, else what models
    predict to be best from features and hardware, else the default."""
    app = body.app or caller.key.app
    if app is not None:
        allow(caller, app, "recommend")
    features = None if body.features is None else body.features.to_json()
    if features is not None:
        WorkloadFeatures.from_json(features)
    objective = parse_goal(body.objective) if body.objective is not None else None
    hardware = None if body.hardware is None else body.hardware.model_dump()
    question = Question(app, objective, features, hardware, body.alternatives)
    found = await service.read(lambda session: service.recommender.look(session, question))
    return json_answer(200, await service.compute(service.recommender.answer, found))
