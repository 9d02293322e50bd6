"""Sets of trained models: which there are, what they are worth, and which one answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response

from api.auth import Admin
from api.http.once import json_answer
from api.http.schema import RowId, View, errors
from api.routes.common import ServiceOf
from autorag.model_sets import State
from store.database import Session

router = APIRouter(tags=["models"])


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
    listed = await service.compute(service.registry.list, rows)
    return json_answer(200, {"models": [asdict(row) for row in listed]})


@router.post(
    "/admin/v1/models/{version}/promote",
    operation_id="promote_model",
    responses={200: {"model": ModelList}, **errors(404, 409)},
)
async def promote_model(version: RowId, _: Admin, service: ServiceOf) -> Response:
    """Let a set answer that is not worse than the one in production, which is archived."""
    row = await service.read(lambda session: session.model_sets.get(version))
    await service.compute(service.registry.check, row)
    await service.write(lambda session: session.model_sets.promote(version))
    return await list_models(_, service)


@router.post(
    "/admin/v1/models/{version}/rollback",
    operation_id="roll_back_model",
    responses={200: {"model": ModelList}, **errors(404, 409)},
)
async def roll_back_model(version: RowId, _: Admin, service: ServiceOf) -> Response:
    """Go back from the set in production to the one that it replaced."""

    def before(session: Session) -> Any:
        replaced = session.model_sets.get(version).replaced
        return session.model_sets.get(replaced) if replaced else None

    row = await service.read(before)
    if row is not None:
        await service.compute(service.registry.check, row)
    await service.write(lambda session: session.model_sets.roll_back(version))
    return await list_models(_, service)
