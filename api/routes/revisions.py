"""Revisions: proposing settings, going back, and stopping all changes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import Field

from api import delivery
from api.auth import Caller, opened
from api.http.once import IdempotencyKey, answer_once, json_answer
from api.http.schema import (
    LARGEST_INT,
    WITH_BODY,
    AppName,
    Before,
    Body,
    Limit,
    Text,
    Values,
    View,
    described,
    errors,
    links,
)
from api.routes.common import AppView, RevisionView, ServiceOf, app_view, revision_view
from api.service import Service
from store.database import Session

router = APIRouter(tags=["revisions"])

Number = Annotated[int, Path(ge=1, le=LARGEST_INT, examples=[1])]
Steers = Annotated[Caller, Depends(opened("settings"))]


class Proposal(Body):
    """Settings to run with: what is left out stays as it is."""

    model_config = described({"settings": {"retrieve.k": 20}, "reason": "recall was low"})

    settings: Annotated[Values, Field(examples=[{"retrieve.k": 20}])]
    reason: Text | None = None


class Going(Body):
    """Why it is done."""

    model_config = described({"reason": "answers became worse"})

    reason: Text | None = None


class Freeze(Body):
    """Whether changes stop."""

    model_config = described({"frozen": False})

    frozen: bool = True


_LINKS = links({"app": "$request.path.app", "number": "$response.body#/number"}, "roll_back")


class RevisionList(View):
    """Revisions, the newest first; ``next`` is the ``before`` of the following page."""

    revisions: list[RevisionView]
    next: int | None


@router.get(
    "/v1/apps/{app}/revisions",
    operation_id="list_revisions",
    responses={200: {"model": RevisionList}, **errors(404)},
)
async def list_revisions(
    app: AppName, _: Steers, service: ServiceOf, limit: Limit = 50, before: Before = None
) -> Response:
    """The app's revisions, the newest first."""

    def look(session: Session) -> Any:
        return session.revisions.newest(session.apps.get(app).id, limit, before=before)

    found = await service.read(look)
    following = found[-1].number if len(found) == limit and found[-1].number > 1 else None
    body = {"revisions": [revision_view(r) for r in found], "next": following}
    return json_answer(200, body)


@router.post(
    "/v1/apps/{app}/revisions",
    operation_id="propose_revision",
    status_code=201,
    responses={201: {"model": RevisionView, "links": _LINKS}, **errors(404, *WITH_BODY)},
)
async def propose_revision(
    app: AppName, request: Request, body: Proposal, caller: Steers, key: IdempotencyKey = None
) -> Response:
    """Propose settings. They become active at once, unless the app is frozen."""
    service: Service = request.app.state.service
    origin: Any = "operator" if caller.key.admin else "app"

    def work(session: Session) -> tuple[int, Any]:
        revision = delivery.propose(
            session, app, body.settings, origin, body.reason, service.spaces.of
        )
        return 201, revision_view(revision)

    return await answer_once(request, caller, key, work)


@router.post(
    "/v1/apps/{app}/revisions/{number}/rollback",
    operation_id="roll_back",
    status_code=201,
    responses={201: {"model": RevisionView}, **errors(404, 409, *WITH_BODY)},
)
async def roll_back(
    app: AppName,
    number: Number,
    request: Request,
    caller: Steers,
    body: Going | None = None,
    key: IdempotencyKey = None,
) -> Response:
    """Go back to the settings of this earlier revision, by a new one."""
    service: Service = request.app.state.service
    reason = body.reason if body is not None else None

    def work(session: Session) -> tuple[int, Any]:
        revision = delivery.roll_back(session, app, number, reason, service.spaces.of)
        return 201, revision_view(revision)

    return await answer_once(request, caller, key, work)


@router.post(
    "/v1/apps/{app}/freeze",
    operation_id="freeze",
    responses={200: {"model": AppView}, **errors(404, *WITH_BODY)},
)
async def freeze(
    app: AppName,
    request: Request,
    caller: Steers,
    body: Freeze | None = None,
    key: IdempotencyKey = None,
) -> Response:
    """Stop all changes of the app's settings, or let them go on with ``{"frozen": false}``."""
    service: Service = request.app.state.service
    frozen = body.frozen if body is not None else True

    def work(session: Session) -> tuple[int, Any]:
        return 200, app_view(delivery.freeze(session, app, frozen, service.spaces.of))

    return await answer_once(request, caller, key, work)
