"""Documents: an app says which it has, and learns whether anything must restart."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError, model_validator

from api import delivery
from api.auth import Caller, opened
from api.http.once import json_answer
from api.http.schema import WITH_BODY, AppName, Body, View, described, errors, given
from api.routes.common import ServiceOf
from api.service import Service
from autorag.errors import ConflictError, PayloadError
from autorag.manifest import (
    MOST_HASH_CHARACTERS,
    MOST_ID_CHARACTERS,
    Difference,
    Manifest,
    apply_delta,
    difference,
)
from store.database import Session

router = APIRouter(tags=["documents"])

TRIES = 3
"""A manifest that another request changed meanwhile is compared again so often."""

Describes = Annotated[Caller, Depends(opened("documents"))]
DocumentId = Annotated[
    str, Field(json_schema_extra={"minLength": 1, "maxLength": MOST_ID_CHARACTERS})
]
DocumentHash = Annotated[
    str, Field(json_schema_extra={"minLength": 1, "maxLength": MOST_HASH_CHARACTERS})
]
Hashes = Annotated[
    dict[DocumentId, DocumentHash],
    Field(description="Document id → content hash, made by the app."),
]


class ManifestBody(Body):
    """All documents, or what changed since the manifest whose root is ``base``."""

    model_config = described(
        {"documents": {"faq.md": "9f86d081"}},
        anyOf=[
            {
                "required": ["documents"],
                "properties": {
                    "documents": {"type": "object"},
                    "base": {"type": "null"},
                    "changed": {"maxProperties": 0},
                    "removed": {"maxItems": 0},
                },
            },
            given(base="string", documents="null"),
        ],
    )

    documents: Annotated[Hashes, Field(examples=[{"faq.md": "9f86d081"}])] | None = None
    base: Annotated[str, Field(max_length=64)] | None = None
    changed: Hashes = {}
    removed: list[DocumentId] = []

    @model_validator(mode="after")
    def _one_of_both(self) -> ManifestBody:
        if (self.documents is None) == (self.base is None):
            raise ValueError("expected either documents, or base with changed and removed")
        if self.documents is not None and (self.changed or self.removed):
            raise ValueError("changed and removed need base, not documents")
        return self


_SCHEMA = {"schema": ManifestBody.model_json_schema()}


class DocumentsView(View):
    """Whether the documents changed, and the plan of what must restart (none is made yet)."""

    changed: bool
    plan: None
    root: str
    version: int
    documents: int
    difference: dict[str, int]


@router.put(
    "/v1/apps/{app}/documents",
    operation_id="set_documents",
    responses={200: {"model": DocumentsView}, **errors(404, 409, *WITH_BODY)},
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": _SCHEMA}}},
)
async def set_documents(
    app: AppName, request: Request, _: Describes, service: ServiceOf
) -> Response:
    """Send the manifest of the app's documents. With an equal Merkle root nothing changed and
    nothing restarts. When documents changed, settings that waited for that are delivered."""
    async with service.comparing:
        body = await asyncio.to_thread(_parsed, await request.body())
        for _try in range(TRIES):
            answer = await _compare_and_set(service, app, body)
            if answer is not None:
                return json_answer(200, answer)
    raise ConflictError("the documents are being changed by somebody else", key="documents")


def _parsed(raw: bytes) -> ManifestBody:
    """The manifest in a body, which may be large: not read in the event loop."""
    try:
        return ManifestBody.model_validate_json(raw)
    except ValidationError as error:
        found = [{**e, "loc": ("body", *e["loc"])} for e in error.errors(include_url=False)]
        if any(e["type"] == "json_invalid" for e in found):
            raise PayloadError(f"body: {found[0]['msg']}", key="body") from None
        raise RequestValidationError(found) from None


async def _compare_and_set(service: Service, app: str, body: ManifestBody) -> dict[str, Any] | None:
    """Compare outside of the transaction, which would hold up everybody else; None when the
    documents were changed meanwhile."""

    def look(session: Session) -> tuple[int, str | None, Manifest]:
        found = session.apps.get(app)
        return found.documents_version, found.root, session.manifests.load(found.id)

    version, root, before = await service.read(look)
    after, changes = await asyncio.to_thread(_compared, body, root, before)
    same = root is not None and root == after.root
    if not same:
        set_ = await service.write(
            lambda session: _set(session, service, app, version, after, changes)
        )
        if not set_:
            return None
    counts = {
        name: len(getattr(changes, name)) for name in ("added", "modified", "deleted", "renamed")
    }
    return {
        "changed": not same,
        "plan": None,
        "root": after.root,
        "version": version if same else version + 1,
        "documents": len(after),
        "difference": counts,
    }


def _compared(
    body: ManifestBody, root: str | None, before: Manifest
) -> tuple[Manifest, Difference]:
    if body.documents is not None:
        after = Manifest(body.documents)
    elif body.base != root:
        raise ConflictError(
            "base is not the root of the manifest that is known: send all documents",
            key="base",
            value=body.base,
        )
    else:
        after = apply_delta(before, body.changed, body.removed)
    _ = after.root
    return after, difference(before, after)


def _set(
    session: Session,
    service: Service,
    app: str,
    version: int,
    after: Manifest,
    changes: Difference,
) -> bool:
    found = session.apps.get(app, lock=True)
    if found.documents_version != version:
        return False
    session.manifests.change(found.id, after, changes)
    session.apps.change(found.id, root=after.root, documents_version=version + 1)
    if found.policy == "auto" and not found.frozen:
        delivery.release(session, found, "documents changed", service.spaces.of)
    return True
