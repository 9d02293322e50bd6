"""Health and metrics: ``/healthz`` says that the process runs, ``/readyz`` that it can do its
work, ``/metrics`` what it did."""

from __future__ import annotations

import logging
from typing import Literal

from fastapi import APIRouter, Request, Response

from api.http import metrics
from api.http.once import json_answer
from api.http.schema import View, only
from api.problems import first_line, problem
from api.routes.common import ServiceOf
from autorag.errors import AutoragError

log = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


class Health(View):
    """The process runs."""

    status: Literal["ok"]


class Readiness(View):
    """It can do its work."""

    status: Literal["ready"]


@router.get("/healthz", operation_id="healthz", responses={200: {"model": Health}, **only(500)})
async def healthz() -> Response:
    """The process runs."""
    return json_answer(200, {"status": "ok"})


@router.get(
    "/readyz",
    operation_id="readyz",
    responses={200: {"model": Readiness}, **only(500, 503)},
)
async def readyz(service: ServiceOf) -> Response:
    """The databases take what is written."""
    try:
        await service.check()
    except (AutoragError, TimeoutError) as error:
        log.warning("not ready: %s", first_line(error))
        return problem(503, "not ready: the databases do not answer", {"Retry-After": "1"})
    return json_answer(200, {"status": "ready"})


@router.get(
    "/metrics",
    operation_id="metrics",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **only(500)},
    response_class=Response,
)
async def prometheus(request: Request, service: ServiceOf) -> Response:
    """Counts, for Prometheus."""
    counts: metrics.Metrics = request.app.state.metrics
    counts.writes_waiting.labels("control").set(service.database.waiting)
    counts.writes_waiting.labels("telemetry").set(service.telemetry.waiting)
    try:
        jobs = await service.job_counts.get()
    except AutoragError as error:
        log.warning("jobs could not be counted: %s", first_line(error))
        counts.jobs.clear()
    else:
        for state, number in jobs.items():
            counts.jobs.labels(state).set(number)
    return Response(metrics.render(counts), media_type=metrics.CONTENT_TYPE)
