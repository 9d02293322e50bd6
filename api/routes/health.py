"""Health: ``/healthz`` says that the process runs, ``/readyz`` that it can do its work."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response

from api.problems import first_line, problem
from api.service import Service
from autorag.errors import AutoragError

log = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz")
async def healthz() -> dict[str, str]:
    """The process runs."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="readyz", responses={503: {"description": "Not ready"}})
async def readyz(request: Request) -> Response:
    """The databases take what is written."""
    service: Service = request.app.state.service
    try:
        await service.check()
    except (AutoragError, TimeoutError) as error:
        log.warning("not ready: %s", first_line(error))
        return problem(503, "not ready: the databases do not answer", {"Retry-After": "1"})
    return Response('{"status":"ready"}', media_type="application/json")
