"""Settings: what an app is to run with, and what its instances did with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import Field

from api.auth import Caller, opened
from api.http.limits import unless_gone, waiting
from api.http.once import IdempotencyKey, answer_once, json_answer
from api.http.schema import (
    LARGEST_INT,
    NAME,
    WITH_BODY,
    AppName,
    Body,
    Limit,
    Name,
    Text,
    Values,
    View,
    described,
    errors,
)
from api.routes.common import AckView, PendingView, ServiceOf, ack_view
from api.service import Service
from api.snippets import snippet
from autorag.apps import Ack, mismatches
from store.apps import SettingsRow
from store.database import Session

router = APIRouter(tags=["settings"])

LONGEST_WAIT_S = 60
POLL_S = 30
"""Seconds after which an app that does not wait had better ask again."""

Format = Literal["json", "langchain", "llamaindex", "haystack"]
Reads = Annotated[Caller, Depends(opened("settings"))]
Acks = Annotated[Caller, Depends(opened("ack"))]


class SettingsView(View):
    """What an app is to run with.

    ``settings`` is whole and valid. ``pending`` is what the revision wants besides and what a
    change of documents, or an operator's order, will deliver.
    """

    app: str
    revision: int | None
    settings: dict[str, Any]
    pending: dict[str, PendingView]
    frozen: bool
    poll_s: int


class AckBody(Body):
    """What an instance did."""

    model_config = described(
        {"instance": "web-1", "revision": 1, "state": "applied", "values": {"retrieve.k": 10}}
    )

    instance: Name
    revision: Annotated[int, Field(ge=1, le=LARGEST_INT)]
    state: Literal["received", "applied", "failed"]
    values: Annotated[Values, Field(description="The values read back after applying.")] = {}
    error: Text | None = None


class Acknowledged(View):
    """What is known of it now; ``current`` tells whether the revision is the active one."""

    ack: AckView
    current: bool


class AckList(View):
    """Everything that was acknowledged."""

    acks: list[AckView]


_TAGS = {
    "ETag": {"schema": {"type": "string"}, "description": "Of what is delivered."},
    "Poll-Interval": {"schema": {"type": "integer"}, "description": "Seconds."},
}
_SETTINGS: dict[int | str, Any] = {
    200: {
        "model": SettingsView,
        "description": "The settings, or a snippet of Python that applies them.",
        "content": {"text/x-python": {"schema": {"type": "string"}}},
        "headers": _TAGS,
    },
    304: {"description": "Nothing changed.", "headers": _TAGS},
}


@router.get(
    "/v1/apps/{app}/settings",
    operation_id="get_settings",
    responses={**_SETTINGS, **errors(404)},
)
async def get_settings(
    app: AppName,
    request: Request,
    _: Reads,
    service: ServiceOf,
    instance: Annotated[str | None, Query(pattern=NAME, examples=["web-1"])] = None,
    wait: Annotated[
        int, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for a change.")
    ] = 0,
    format: Annotated[Format, Query(description="JSON, or Python for a framework.")] = "json",  # noqa: A002
    if_none_match: Annotated[
        str | None,
        Header(
            alias="If-None-Match",
            max_length=200,
            description="The tag of what is known already.",
            examples=['"1.1"'],
        ),
    ] = None,
) -> Response:
    """What this instance is to run with. With ``If-None-Match`` the answer comes when it changes,
    or with 304 after ``wait`` seconds."""
    row = await service.read(lambda session: session.apps.settings(app))
    if instance is not None:
        service.polls.asked(app, instance)
    if if_none_match is not None and _known(if_none_match, row) and wait:
        async with waiting(app):
            news = service.watch.changed(app, (row.app_id, row.version), wait)
            changed = await unless_gone(request.receive, news)
        if changed:
            row = await service.read(lambda session: session.apps.settings(app))
    headers = {"ETag": _etag(row), "Poll-Interval": str(POLL_S), "Cache-Control": "no-cache"}
    if if_none_match is not None and _known(if_none_match, row):
        return Response(status_code=304, headers=headers)
    if format != "json":
        text = snippet(format, row.settings, title=f"{app}, revision {row.revision}")
        return Response(text, headers=headers, media_type="text/x-python; charset=utf-8")
    body = {
        "app": app,
        "revision": row.revision,
        "settings": row.settings,
        "pending": row.pending,
        "frozen": row.frozen,
        "poll_s": POLL_S,
    }
    return json_answer(200, body, **headers)


@router.post(
    "/v1/apps/{app}/acks",
    operation_id="acknowledge",
    responses={200: {"model": Acknowledged}, **errors(404, *WITH_BODY)},
)
async def acknowledge(
    app: AppName, request: Request, body: AckBody, caller: Acks, key: IdempotencyKey = None
) -> Response:
    """Say that an instance received, applied or could not apply a revision. What it read back is
    compared with what was delivered."""
    service: Service = request.app.state.service

    def work(session: Session) -> tuple[int, Any]:
        found = session.apps.get(app)
        revision = session.revisions.get(found.id, body.revision)
        wrong = mismatches(revision.delivered or {}, body.values)
        ack = session.acks.record(
            found.id,
            Ack(body.instance, body.revision, body.state, body.values, wrong, body.error),
        )
        return 200, {"ack": ack_view(ack), "current": body.revision == found.revision}

    answer = await answer_once(request, caller, key, work)
    service.attribution.outdated()
    return answer


@router.get(
    "/v1/apps/{app}/acks",
    operation_id="list_acks",
    responses={200: {"model": AckList}, **errors(404)},
)
async def list_acks(
    app: AppName,
    _: Reads,
    service: ServiceOf,
    revision: Annotated[
        int | None, Query(ge=1, le=LARGEST_INT, description="Only of it.", examples=[1])
    ] = None,
    limit: Limit = 200,
) -> Response:
    """What instances did with revisions, the newest first."""

    def look(session: Session) -> list[Ack]:
        app_id = session.apps.get(app).id
        return session.acks.of_app(app_id, revision=revision, limit=limit)

    return json_answer(200, {"acks": [ack_view(ack) for ack in await service.read(look)]})


def _etag(row: SettingsRow) -> str:
    return f'"{row.app_id}.{row.version}"'


def _known(if_none_match: str, row: SettingsRow) -> bool:
    """Whether the asker has this already. (Proxies may weaken a tag.)"""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return _etag(row) in tags or "*" in tags
