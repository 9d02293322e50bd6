"""Keys: making them, listing them, letting them in no longer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator

from api.auth import Admin, hashed
from api.http.once import SHOWN_ONCE, IdempotencyKey, answer_once, json_answer, secret_for
from api.http.schema import (
    APP_NAME,
    WITH_BODY,
    Body,
    RowId,
    ShortText,
    View,
    described,
    errors,
    given,
    links,
)
from api.routes.common import ServiceOf
from autorag.apps import SCOPES
from store.database import Session
from store.keys import Key

router = APIRouter(tags=["keys"])

Scope = Literal["ingest", "settings", "ack", "documents", "suggest", "recommend"]


class KeyBody(Body):
    """A key of an app; without ``app`` an admin key, which opens everything and has no scopes."""

    model_config = described(
        {"app": "support", "scopes": ["ingest", "settings", "ack"], "label": "web"},
        anyOf=[given(app="string"), given(scopes="null")],
    )

    app: Annotated[str, Field(pattern=APP_NAME, examples=["support"])] | None = None
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))] | None = None
    label: ShortText | None = None

    @model_validator(mode="after")
    def _scopes_are_of_an_app(self) -> KeyBody:
        if self.app is None and self.scopes is not None:
            raise ValueError("scopes need an app: a key without one opens everything")
        return self


class KeyView(View):
    """A key without its secret."""

    id: int
    app: str | None
    scopes: list[str]
    label: str | None
    origin: str
    created_at: int
    revoked_at: int | None


class MadeKeyView(View):
    """A key, which is shown this once."""

    id: int
    key: str


_LINKS = links({"key": "$response.body#/id"}, "revoke_key")


class KeyList(View):
    """Every key that there ever was."""

    keys: list[KeyView]


@router.post(
    "/admin/v1/keys",
    operation_id="make_key",
    status_code=201,
    responses={201: {"model": MadeKeyView, "links": _LINKS}, **errors(404, 409, *WITH_BODY)},
)
async def make_key(
    request: Request, body: KeyBody, caller: Admin, key: IdempotencyKey = None
) -> Response:
    """Make a key. An app has at most two live ones: to rotate, make the second, move to it, and
    delete the first."""
    secret = await secret_for(request, key)

    def work(session: Session) -> tuple[int, Any]:
        if body.app is None:
            made = session.keys.add(hashed(secret), origin="http", label=body.label)
        else:
            app = session.apps.get(body.app, lock=True)
            scopes = list(dict.fromkeys(body.scopes or SCOPES))
            made = session.keys.add_for_app(app.id, hashed(secret), scopes, label=body.label)
        return 201, {"id": made, "key": SHOWN_ONCE}

    return await answer_once(request, caller, key, work, secret=secret)


@router.get(
    "/admin/v1/keys", operation_id="list_keys", responses={200: {"model": KeyList}, **errors()}
)
async def list_keys(_: Admin, service: ServiceOf) -> Response:
    """Every key that there ever was, without secrets."""
    found = await service.read(lambda session: session.keys.all())
    return json_answer(200, {"keys": [_view(key) for key in found]})


@router.delete(
    "/admin/v1/keys/{key}",
    operation_id="revoke_key",
    status_code=204,
    responses={204: {"description": "Revoked"}, **errors(404, 409)},
)
async def revoke_key(key: RowId, _: Admin, service: ServiceOf) -> Response:
    """Let a key in no longer."""
    await service.write(lambda session: session.keys.revoke(key))
    service.keys.forget()
    return Response(status_code=204)


def _view(key: Key) -> dict[str, Any]:
    return {name: getattr(key, name) for name in KeyView.model_fields}
