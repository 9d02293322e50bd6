"""Trained models. None is trained yet: the list is empty."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api.auth import Admin
from api.http.once import json_answer
from api.http.schema import NAME, View, errors
from autorag.errors import NotFoundError

router = APIRouter(tags=["models"])

Version = Annotated[str, Path(pattern=NAME, examples=["1"])]


_MODEL: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The model; none is trained yet.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


class ModelList(View):
    """Trained models."""

    models: list[dict[str, Any]]


@router.get(
    "/admin/v1/models",
    operation_id="list_models",
    responses={200: {"model": ModelList}, **errors()},
)
async def list_models(_: Admin) -> Response:
    """Every trained model."""
    return json_answer(200, {"models": []})


@router.post(
    "/admin/v1/models/{version}/promote",
    operation_id="promote_model",
    responses={**_MODEL, **errors(404)},
)
async def promote_model(version: Version, _: Admin) -> Response:
    """Let a model answer."""
    raise _no_model(version)


@router.post(
    "/admin/v1/models/{version}/rollback",
    operation_id="roll_back_model",
    responses={**_MODEL, **errors(404)},
)
async def roll_back_model(version: Version, _: Admin) -> Response:
    """Go back from a model to the one before."""
    raise _no_model(version)


def _no_model(version: str) -> NotFoundError:
    return NotFoundError(f"there is no model {version!r}", key="version", value=version)
