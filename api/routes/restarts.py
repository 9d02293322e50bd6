"""Restarts: delivering what waits by an operator's order. Plans of partial restarts are not made
yet: the list is empty."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from api import delivery
from api.auth import Admin, Caller, opened
from api.http.once import IdempotencyKey, answer_once, json_answer
from api.http.schema import WITH_BODY, AppName, Body, Name, RowId, Text, View, described, errors
from api.routes.common import PendingView, ServiceOf
from api.service import Service
from autorag.errors import NotFoundError
from store.database import Session

router = APIRouter(tags=["restarts"])

Reads = Annotated[Caller, Depends(opened("settings"))]
Acks = Annotated[Caller, Depends(opened("ack"))]
PlanState = Literal["planned", "approved", "running", "done", "failed", "cancelled"]


_PLAN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The plan; none is made yet.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


class Order(Body):
    """An order to deliver what waits, or with ``dry_run`` only to tell what that is."""

    model_config = described({"dry_run": True})

    dry_run: bool = False


class StageAck(Body):
    """What an instance did of a plan."""

    model_config = described({"instance": "web-1", "stage": "embed", "state": "done"})

    instance: Name
    stage: Name
    state: Literal["started", "done", "failed"]
    error: Text | None = None


class RestartList(View):
    """Restart plans."""

    restarts: list[dict[str, Any]]


class Ordered(View):
    """What was (or would be) delivered."""

    plan: None
    delivered: dict[str, PendingView]
    dry_run: bool


@router.get(
    "/v1/apps/{app}/restarts",
    operation_id="list_restarts",
    responses={200: {"model": RestartList}, **errors(404)},
)
async def list_restarts(
    app: AppName,
    _: Reads,
    service: ServiceOf,
    state: Annotated[
        PlanState | None, Query(description="Only plans in this state.", examples=["running"])
    ] = None,
) -> Response:
    """The app's restart plans."""
    await service.read(lambda session: session.apps.get(app))
    return json_answer(200, {"restarts": []})


@router.post(
    "/v1/apps/{app}/restarts",
    operation_id="order_restart",
    responses={200: {"model": Ordered}, **errors(404, 409, *WITH_BODY)},
)
async def order_restart(
    app: AppName,
    request: Request,
    caller: Admin,
    body: Order | None = None,
    key: IdempotencyKey = None,
) -> Response:
    """Deliver now what waits for a change of documents."""
    service: Service = request.app.state.service
    dry_run = body is not None and body.dry_run

    def work(session: Session) -> tuple[int, Any]:
        what = delivery.order_release(session, app, service.spaces.of, dry_run=dry_run)
        return 200, {"plan": None, "delivered": what, "dry_run": dry_run}

    return await answer_once(request, caller, key, work)


@router.get(
    "/v1/apps/{app}/restarts/{restart}",
    operation_id="get_restart",
    responses={**_PLAN, **errors(404)},
)
async def get_restart(app: AppName, restart: RowId, _: Reads, service: ServiceOf) -> Response:
    """One restart plan."""
    raise await _no_plan(service, app, restart)


@router.post(
    "/v1/apps/{app}/restarts/{restart}/approve",
    operation_id="approve_restart",
    responses={**_PLAN, **errors(404)},
)
async def approve_restart(app: AppName, restart: RowId, _: Admin, service: ServiceOf) -> Response:
    """Let a plan begin."""
    raise await _no_plan(service, app, restart)


@router.post(
    "/v1/apps/{app}/restarts/{restart}/cancel",
    operation_id="cancel_restart",
    responses={**_PLAN, **errors(404)},
)
async def cancel_restart(app: AppName, restart: RowId, _: Admin, service: ServiceOf) -> Response:
    """Stop a plan."""
    raise await _no_plan(service, app, restart)


@router.post(
    "/v1/apps/{app}/restarts/{restart}/acks",
    operation_id="acknowledge_restart",
    responses={**_PLAN, **errors(404, *WITH_BODY)},
)
async def acknowledge_restart(
    app: AppName, restart: RowId, body: StageAck, _: Acks, service: ServiceOf
) -> Response:
    """Say what an instance did of a plan."""
    raise await _no_plan(service, app, restart)


async def _no_plan(service: Service, app: str, restart: int) -> NotFoundError:
    await service.read(lambda session: session.apps.get(app))
    return NotFoundError(f"there is no restart plan {restart}", key="restart", value=restart)
