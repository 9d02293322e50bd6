"""Suggestions: configs for apps that measure themselves, and what they measured."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, model_validator

from api.auth import Caller, opened
from api.http.once import IdempotencyKey, answer_once, json_answer
from api.http.schema import (
    WITH_BODY,
    AppName,
    Body,
    Member,
    Name,
    RowId,
    Text,
    View,
    described,
    errors,
    links,
)
from api.routes.common import ServiceOf
from api.suggesting import Report, suggest, tell
from autorag.metrics import METRICS
from autorag.optimizer import Stop
from store.database import Session

router = APIRouter(tags=["suggestions"])

MetricName = Annotated[Member, Field(json_schema_extra={"enum": list(METRICS)})]
Suggests = Annotated[Caller, Depends(opened("suggest"))]


class Asking(Body):
    """Who will measure."""

    model_config = described({"client": "bench-1"})

    client: Name
    risk: Annotated[float, Field(gt=0, lt=1)] | None = None


class SuggestionView(View):
    """What to measure. ``trial`` is null when there is nothing left to try, and ``reason`` says
    why."""

    trial: int | None
    number: int | None
    config: dict[str, Any] | None
    expires_at: int | None
    reason: str | None


_LINKS = links({"app": "$request.path.app", "trial": "$response.body#/trial"}, "tell")


class Result(Body):
    """What was measured: metrics by name, among them those that the objective names; or why it
    failed."""

    model_config = described(
        {"metrics": {"ndcg_at_10": 0.61, "latency_p95_ms": 38.0, "context_tokens": 1900.0}},
        anyOf=[
            {
                "required": ["metrics"],
                "properties": {"metrics": {"minProperties": 1}, "failed": {"type": "null"}},
            },
            {
                "required": ["failed"],
                "properties": {"metrics": {"maxProperties": 0}, "failed": {"type": "string"}},
            },
        ],
    )

    metrics: Annotated[
        dict[MetricName, float], Field(examples=[{"ndcg_at_10": 0.61, "latency_p95_ms": 38.0}])
    ] = {}
    stages: dict[Member, dict[Member, float]] = {}
    seconds: Annotated[float, Field(ge=0, le=1e7)] = 0.0
    failed: Annotated[Text, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _something_is_told(self) -> Result:
        if bool(self.metrics) == (self.failed is not None):
            raise ValueError("expected either metrics, or failed")
        return self


class BestView(View):
    """A config and what was measured of it."""

    config: dict[str, Any]
    measured: dict[str, float]


class Told(View):
    """The trial as it is recorded, and the best of the study so far."""

    trial: int
    state: str
    best: BestView | None
    trials: int


@router.post(
    "/v1/apps/{app}/suggestions",
    operation_id="suggest",
    responses={
        200: {"model": SuggestionView, "links": _LINKS},
        **errors(404, 409, *WITH_BODY),
    },
)
async def suggest_config(app: AppName, body: Asking, _: Suggests, service: ServiceOf) -> Response:
    """What to measure next. The same client gets the same until it reports. With ``risk`` only what
    misses a bound of the objective with a smaller chance is suggested, in small steps from what was
    measured: for tuning on live traffic."""
    found = await suggest(service, app, body.client, body.risk)
    nothing = dict.fromkeys(SuggestionView.model_fields)
    if isinstance(found, Stop):
        return json_answer(200, {**nothing, "reason": found.reason})
    shown = {name: getattr(found, name, None) for name in SuggestionView.model_fields}
    return json_answer(200, shown)


@router.post(
    "/v1/apps/{app}/trials/{trial}/result",
    operation_id="tell",
    responses={200: {"model": Told}, **errors(404, 409, *WITH_BODY)},
)
async def tell_result(
    app: AppName,
    trial: RowId,
    request: Request,
    body: Result,
    caller: Suggests,
    key: IdempotencyKey = None,
) -> Response:
    """Report what was measured."""
    report = Report(body.metrics, body.stages, body.seconds, body.failed)

    def work(session: Session) -> tuple[int, Any]:
        return 200, tell(session, app, trial, report)

    return await answer_once(request, caller, key, work)
