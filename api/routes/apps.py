"""Apps: registering them, and what they are: workload and hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, model_validator

from api import delivery
from api.auth import Admin, Caller, hashed, opened
from api.http.once import SHOWN_ONCE, IdempotencyKey, answer_once, json_answer, secret_for
from api.http.schema import (
    APP_NAME,
    WITH_BODY,
    AppName,
    Body,
    Json,
    Text,
    Values,
    View,
    changing,
    described,
    errors,
    given,
    links,
)
from api.paths import data_path
from api.routes.common import LOCATION, AppView, ServiceOf, app_view
from api.routes.described import SPACE_SCHEMA, Features, HardwareBody, ObjectiveText
from api.service import Service
from autorag.apps import SCOPES
from autorag.errors import AddressError, ConflictError, ForbiddenError
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.objective import DEFAULT_OBJECTIVE, EVALUATOR_OBJECTIVE, parse_goal
from store.apps import NewApp
from store.database import Session

router = APIRouter(tags=["apps"])

Restarts = Literal["auto", "approve", "off"]
Url = Annotated[
    str,
    Field(
        min_length=8,
        max_length=2000,
        examples=["https://rag.example.com/hook"],
        json_schema_extra={"pattern": r"^[hH][tT][tT][pP][sS]?://[^\x00-\x20]+$"},
    ),
]
Space = Annotated[
    dict[str, Json],
    Field(
        description="The app's knobs: a subset of the reference pipeline's, and its own. "
        "Left out or null: all of the reference pipeline.",
        examples=[{"reference": ["retrieve.k", "generate.contexts"]}],
        json_schema_extra=SPACE_SCHEMA,
    ),
]
AnyKey = Annotated[Caller, Depends(opened(None))]
Describes = Annotated[Caller, Depends(opened("documents"))]


class Registration(Body):
    """An app as it is."""

    model_config = described({"name": "support", "settings": {"retrieve.k": 10}})

    name: Annotated[str, Field(pattern=APP_NAME, examples=["support"])]
    space: Space | None = None
    objective: ObjectiveText | None = None
    settings: Annotated[Values, Field(examples=[{"retrieve.k": 10}])] = {}
    restarts: Restarts = "auto"
    webhook: Annotated[Url | None, Field(description="Kept; nothing is sent to it yet.")] = None


class Registered(View):
    """A registered app, and its first key, which is shown this once."""

    app: AppView
    key: str
    scopes: list[str]


class Changes(Body):
    """What is to be another; what is left out stays."""

    model_config = changing({"restarts": "approve"})

    space: Space | None = None
    objective: ObjectiveText = ""
    restarts: Restarts = "auto"
    webhook: Url | None = None


class Workload(Body):
    """What a tune measures: ``docs`` and ``queries``, paths under the service's data folder, or an
    HTTP evaluator with ``queries`` and ``docs`` to judge by; and features of the workload. What is
    left out is forgotten."""

    model_config = described(
        {"docs": "support/docs", "queries": "support/queries.jsonl"},
        anyOf=[given(docs="string"), given(queries="null", evaluator="null")],
    )

    docs: Annotated[Text, Field(min_length=1, examples=["support/docs"])] | None = None
    queries: Annotated[Text, Field(min_length=1, examples=["support/queries.jsonl"])] | None = None
    evaluator: Url | None = None
    features: Features | None = None

    @model_validator(mode="after")
    def _queries_are_about_documents(self) -> Workload:
        if self.docs is None and (self.queries is not None or self.evaluator is not None):
            raise ValueError("queries and an evaluator need docs, by which answers are judged")
        return self


_LINKS = links(
    {"app": "$response.body#/app/name"},
    "get_app",
    "change_app",
    "delete_app",
    "set_workload",
    "set_hardware",
    "get_settings",
    "acknowledge",
    "list_acks",
    "list_revisions",
    "propose_revision",
    "roll_back",
    "freeze",
    "set_documents",
    "list_restarts",
    "order_restart",
    "report",
    "suggest",
)


class AppList(View):
    """Every registered app."""

    apps: list[AppView]


@router.post(
    "/v1/apps",
    operation_id="register_app",
    status_code=201,
    responses={
        201: {"model": Registered, "links": _LINKS, "headers": LOCATION},
        **errors(409, *WITH_BODY),
    },
)
async def register_app(
    request: Request, body: Registration, caller: Admin, key: IdempotencyKey = None
) -> Response:
    """Register an app; its current settings become revision 1."""
    service: Service = request.app.state.service
    await _check_url(service, "webhook", body.webhook)
    goal = body.objective or _default_objective(service, body.space)
    new = NewApp(body.name, body.space, _objective(goal), body.restarts, body.webhook)
    secret = await secret_for(request, key)
    await _disown_left_over(service, body.name)

    def work(session: Session) -> tuple[int, Any]:
        app = delivery.register(session, new, body.settings, service.spaces.of)
        session.keys.add_for_app(app.id, hashed(secret), SCOPES, label="first")
        return 201, {"app": app_view(app), "key": SHOWN_ONCE, "scopes": SCOPES}

    place = f"/v1/apps/{body.name}"
    answer = await answer_once(request, caller, key, work, secret=secret, Location=place)
    service.attribution.outdated()
    return answer


@router.get("/v1/apps", operation_id="list_apps", responses={200: {"model": AppList}, **errors()})
async def list_apps(_: Admin, service: ServiceOf) -> Response:
    """Every registered app, by name."""
    apps = await service.read(lambda session: session.apps.all())
    return json_answer(200, {"apps": [app_view(app) for app in apps]})


@router.get(
    "/v1/apps/{app}",
    operation_id="get_app",
    responses={200: {"model": AppView}, **errors(404)},
)
async def get_app(app: AppName, _: AnyKey, service: ServiceOf) -> Response:
    """One app."""
    return json_answer(200, app_view(await service.read(lambda session: session.apps.get(app))))


@router.patch(
    "/v1/apps/{app}",
    operation_id="change_app",
    responses={200: {"model": AppView}, **errors(404, *WITH_BODY)},
)
async def change_app(app: AppName, body: Changes, _: Admin, service: ServiceOf) -> Response:
    """Change what the app was registered with."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    await _check_url(service, "webhook", given.get("webhook"))
    if "objective" in given:
        given["objective"] = _objective(given["objective"])
    if "restarts" in given:
        given["policy"] = given.pop("restarts")
    changed = await service.write(
        lambda session: delivery.change_app(session, app, given, service.spaces.of)
    )
    return json_answer(200, app_view(changed))


@router.delete(
    "/v1/apps/{app}",
    operation_id="delete_app",
    status_code=204,
    responses={204: {"description": "Deleted"}, **errors(404)},
)
async def delete_app(app: AppName, _: Admin, service: ServiceOf) -> Response:
    """Delete the app and all its data. Its telemetry is nobody's, and a prune job deletes it."""

    def work(session: Session) -> None:
        session.apps.delete(session.apps.get(app, lock=True).id)
        try:
            session.jobs.enqueue("prune", None, {})
        except ConflictError:
            return  # one is going on or waits: what it leaves is deleted by the next

    await service.write(work)
    service.keys.forget()
    await service.attribution.refresh(service.database)
    await service.disown(app)
    return Response(status_code=204)


@router.put(
    "/v1/apps/{app}/workload",
    operation_id="set_workload",
    responses={200: {"model": AppView}, **errors(404, *WITH_BODY)},
)
async def set_workload(
    app: AppName, body: Workload, caller: Describes, service: ServiceOf
) -> Response:
    """Say what a tune of this app measures. With an app's own key, its documents lie in the folder
    of its name."""
    if body.evaluator is not None and "?" in body.evaluator:
        raise AddressError("evaluator: expected a URL without a query", key="evaluator")
    await _check_url(service, "evaluator", body.evaluator)
    for name in ("docs", "queries"):
        if (path := getattr(body, name)) is not None:
            _check_owner(caller, app, data_path(service.settings, path, name), service, name)
    features = None if body.features is None else body.features.to_json()
    if features is not None:
        WorkloadFeatures.from_json(features)
    values = {**body.model_dump(), "features": features}
    changed = await service.write(
        lambda session: delivery.change_app(session, app, values, service.spaces.of)
    )
    return json_answer(200, app_view(changed))


@router.put(
    "/v1/apps/{app}/hardware",
    operation_id="set_hardware",
    responses={200: {"model": AppView}, **errors(404, *WITH_BODY)},
)
async def set_hardware(
    app: AppName, body: HardwareBody, _: Describes, service: ServiceOf
) -> Response:
    """Say what machine the app runs on: what ``autorag profile --json`` prints there."""
    profile = HardwareProfile.from_json(body.model_dump())

    def work(session: Session) -> Any:
        found = session.apps.get(app, lock=True)
        if session.hosts.profile(profile.fingerprint) is None:
            session.hosts.record(profile, {})
        return delivery.change_app(
            session, found.name, {"hardware": profile.fingerprint}, service.spaces.of
        )

    return json_answer(200, app_view(await service.write(work)))


def _objective(text: str) -> str:
    return str(parse_goal(text))


def _default_objective(service: Service, declaration: Any) -> str:
    """An app whose number of contexts is not known here cannot be held to their tokens."""
    knobs = {knob.name for knob in service.spaces.declared(declaration)}
    return str(DEFAULT_OBJECTIVE if "generate.contexts" in knobs else EVALUATOR_OBJECTIVE)


def _check_owner(caller: Caller, app: str, path: Path, service: Service, key: str) -> None:
    """Refuse documents of others: who names them gets to see questions about them."""
    root = service.settings.data_dir
    if not caller.key.admin and root is not None and not path.is_relative_to(root / app):
        raise ForbiddenError(f"{key}: with the app's key, only what lies in the folder {app!r}")


async def _disown_left_over(service: Service, name: str) -> None:
    """What came in late for a deleted app of this name is not the new one's."""
    if name not in await service.read(lambda session: session.apps.names()):
        await service.disown(name)


async def _check_url(service: Service, key: str, url: str | None) -> None:
    if url is not None:
        await service.check_url(url, key)
