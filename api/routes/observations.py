"""Observations by plain REST, for apps without OpenTelemetry."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from api.auth import Caller, opened
from api.http.once import IdempotencyKey, json_answer
from api.http.schema import WITH_BODY, AppName, Body, Name, View, described, errors
from api.routes.common import ServiceOf
from autorag.hashing import ADDRESS_BYTES, address, bytes_address
from autorag.telemetry import Observation, Source

router = APIRouter(tags=["telemetry"])

MOST_OBSERVATIONS = 5_000
LATEST = 2**33
"""Seconds since the epoch that a moment may be (the year 2242)."""

Ingests = Annotated[Caller, Depends(opened("ingest"))]
Metric = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.]{0,79}$", examples=["duration_ms"])]

_OBSERVATION = {"stage": "retrieve", "metric": "duration_ms", "value": 12.5, "unit": "ms"}


class ObservationBody(Body):
    """One measured value of one stage of one request."""

    model_config = described(_OBSERVATION)

    stage: Literal["parse", "chunk", "embed", "index", "retrieve", "rerank", "generate", "request"]
    metric: Metric
    value: float
    unit: Annotated[str, Field(pattern=r"^[A-Za-z0-9%/]{1,16}$")] = "1"
    at: Annotated[
        int | None, Field(ge=0, le=LATEST, description="Seconds since the epoch; else now.")
    ] = None
    phase: Literal["query", "build"] | None = None
    weight: Annotated[float, Field(gt=0, le=1e6, description="Requests it stands for.")] = 1.0


class Batch(Body):
    """Observations of one instance of an app."""

    model_config = described(
        {"batch": "web-1-0001", "instance": "web-1", "revision": 1, "observations": [_OBSERVATION]}
    )

    batch: Annotated[
        Name | None, Field(description="Sending it again under this name changes nothing.")
    ] = None
    instance: Name | None = None
    revision: Annotated[int | None, Field(ge=1, le=2**53 - 1)] = None
    document_version: Name | None = None
    host: Name | None = None
    observations: Annotated[
        list[ObservationBody],
        Field(
            min_length=1,
            max_length=MOST_OBSERVATIONS,
            examples=[[_OBSERVATION]],
        ),
    ]


class Accepted(View):
    """How many are on disk now; ``duplicate`` when they were before."""

    accepted: int
    duplicate: bool


@router.post(
    "/v1/apps/{app}/observations",
    operation_id="report",
    responses={200: {"model": Accepted}, **errors(404, *WITH_BODY)},
)
async def report(
    app: AppName,
    request: Request,
    body: Batch,
    _: Ingests,
    service: ServiceOf,
    key: IdempotencyKey = None,
) -> Response:
    """Report measured values. They are on disk when this is answered. The same batch name, or the
    same idempotency key with the same body, counts once."""
    app_id = (await service.read(lambda session: session.apps.settings(app))).app_id
    now = int(service.clock.time())
    revision = str(body.revision) if body.revision is not None else None
    source = Source(app, app, revision, body.document_version, body.instance, body.host, None, None)
    sources: dict[int, Source] = {}
    rows = []
    for told in body.observations:
        at = now if told.at is None else told.at
        if at not in sources:
            sources[at] = service.attribution.with_revision(source, at)
        rows.append((sources[at], _observation(told, at)))
    if body.batch is None and key is not None:
        named: Any = [key, bytes_address(await request.body())]
    else:
        named = body.batch
    batch_id = _batch_id(named, app_id, body.instance)
    new = await asyncio.wrap_future(service.telemetry.add_observations(batch_id, rows))
    return json_answer(200, {"accepted": len(rows) if new else 0, "duplicate": not new})


def _observation(told: ObservationBody, at: int) -> Observation:
    what = (told.stage, told.metric, told.value, told.unit)
    return Observation(at, told.phase, *what, weight=told.weight)


def _batch_id(named: Any, *of: Any) -> bytes:
    """Bytes that name the batch; random ones where it has no name."""
    if named is None:
        return secrets.token_bytes(ADDRESS_BYTES)
    return bytes.fromhex(address([named, *of]))
