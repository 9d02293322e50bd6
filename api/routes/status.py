"""The status page at ``/``."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.auth import bearer, identify, password
from api.http.schema import only
from api.pages.status_page import Status, look, render
from api.problems import problem
from api.routes.common import ServiceOf
from autorag.errors import UnauthenticatedError

router = APIRouter(tags=["status"])

ASK = {"WWW-Authenticate": 'Basic realm="AutoRAG: the admin key is the password", charset="UTF-8"'}


@router.get(
    "/",
    operation_id="status",
    responses={
        200: {"content": {"text/html": {"schema": {"type": "string"}}}},
        **only(400, 401, 403, 429, 500, 503),
    },
    response_class=Response,
    openapi_extra={"security": [{"password": []}, {"key": []}]},
)
async def status(request: Request, service: ServiceOf) -> Response:
    """Apps, their instances and jobs on one page. Browsers give the admin key as a password."""
    header = request.headers.get("authorization")
    try:
        caller = await identify(request, bearer(header) or password(header))
    except UnauthenticatedError as error:
        return problem(401, str(error), ASK)
    if not caller.key.admin:
        return problem(403, "this needs an admin key")
    found: Status = await service.read(look)
    return Response(
        render(found, service.polls.by_app(), service.clock), media_type="text/html; charset=utf-8"
    )
