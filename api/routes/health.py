"""Health: ``/healthz`` says that the process runs, ``/readyz`` that it can do its work."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.problems import problem
from api.service import Service
from autorag.errors import AutoragError

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
        why = str(error) or "the databases do not answer"
        return problem(503, f"not ready: {why}", {"Retry-After": "1"})
    return Response('{"status":"ready"}', media_type="application/json")
