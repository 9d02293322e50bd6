"""Sets of trained models: which there are, what they are worth, and which one answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from api.auth import Admin
from api.http.once import IdempotencyKey, answer_once, json_answer
from api.http.schema import LARGEST_INT, RowId, View, errors
from api.model_registry import listed
from api.routes.common import ServiceOf
from autorag.model_sets import ModelSetRow, State
from store.database import Session

router = APIRouter(tags=["models"])

Version = Annotated[int, Path(ge=0, le=LARGEST_INT, examples=[1])]
"""0 is the set that ships."""


class ModelView(View):
    """One set of models. ``about`` says from what it was made and what it is worth, ``verdict``
    whether it may be promoted. Version 0 ships; it is in production while no other is."""

    version: int
    state: State
    sha256: str
    about: dict[str, Any]
    verdict: dict[str, Any]
    replaced: int | None
    created_at: int
    promoted_at: int | None
    archived_at: int | None


class ModelList(View):
    """Sets of models, the newest first."""

    models: list[ModelView]


@router.get(
    "/admin/v1/models",
    operation_id="list_models",
    responses={200: {"model": ModelList}, **errors()},
)
async def list_models(_: Admin, service: ServiceOf) -> Response:
    """Every set of models; a train job makes them."""
    rows = await service.read(lambda session: session.model_sets.all())
    return json_answer(200, _view(rows))


@router.post(
    "/admin/v1/models/{version}/promote",
    operation_id="promote_model",
    responses={200: {"model": ModelList}, **errors(404, 409)},
)
async def promote_model(
    version: Version,
    request: Request,
    caller: Admin,
    service: ServiceOf,
    key: IdempotencyKey = None,
) -> Response:
    """Let a set answer that is not worse than the one in production, which is archived; 0 is the
    set that ships."""
    if version:
        row = await service.read(lambda session: session.model_sets.get(version))
        await service.compute(service.registry.check, row)

    def work(session: Session) -> tuple[int, Any]:
        session.model_sets.promote(version)
        return 200, _view(session.model_sets.all())

    return await answer_once(request, caller, key, work)


@router.post(
    "/admin/v1/models/{version}/rollback",
    operation_id="roll_back_model",
    responses={200: {"model": ModelList}, **errors(404, 409)},
)
async def roll_back_model(
    version: RowId, request: Request, caller: Admin, key: IdempotencyKey = None
) -> Response:
    """Go back from the set in production to the one that it replaced."""

    def work(session: Session) -> tuple[int, Any]:
        session.model_sets.roll_back(version)
        return 200, _view(session.model_sets.all())

    return await answer_once(request, caller, key, work)


def _view(rows: list[ModelSetRow]) -> dict[str, Any]:
    return {"models": [asdict(row) for row in listed(rows)]}
