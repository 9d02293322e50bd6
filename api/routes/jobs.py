"""Jobs and schedules: background work, for operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.auth import Admin
from api.http.once import IdempotencyKey, answer_once, json_answer
from api.http.schema import (
    APP_NAME,
    WITH_BODY,
    Before,
    Body,
    Json,
    Limit,
    Member,
    RowId,
    View,
    changing,
    described,
    errors,
    links,
)
from api.jobs import (
    LARGEST_SEED,
    LONGEST_BUDGET_S,
    MOST_QUERIES,
    MOST_TRIALS,
    check_arguments,
    check_tunable,
)
from api.routes.common import ServiceOf
from api.routes.described import OBJECTIVE_SCHEMA
from api.service import Service
from api.strategies import STRATEGIES
from autorag.errors import InputError
from autorag.jobs import KINDS, Job, JobKind, JobState, Schedule
from store.database import Session

router = APIRouter(tags=["jobs"])

NEEDS_APP = ("tune", "retune")

_DURATION = (
    r"^\s*([nN][oO][nN][eE]|"
    r"(?=\S)([0-9]+(\.[0-9]+)?[hH])?([0-9]+(\.[0-9]+)?[mM])?([0-9]+(\.[0-9]+)?[sS]?)?)\s*$"
)
_TUNE = {
    "objective": {"anyOf": [OBJECTIVE_SCHEMA, {"type": "null"}]},
    "trials": {"type": "integer", "minimum": 1, "maximum": MOST_TRIALS},
    "budget": {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_BUDGET_S},
            {"type": "string", "pattern": _DURATION, "examples": ["10m"]},
        ]
    },
    "strategy": {"enum": list(STRATEGIES)},
    "max_queries": {"type": "integer", "minimum": 2, "maximum": MOST_QUERIES},
    "seed": {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED},
    "apply": {"type": "boolean"},
}
_RETUNE = {**_TUNE, "force": {"type": "boolean"}}
_TRAIN = {"seed": _TUNE["seed"], "promote": {"type": "boolean"}}
App = Annotated[str, Field(pattern=APP_NAME, examples=["support"])]
Arguments = Annotated[
    dict[Member, Json],
    Field(
        description="Of a tune, a retune (which alone takes ``force``) or a train; a prune takes "
        "none.",
        examples=[{"trials": 10}],
        json_schema_extra={"properties": {**_RETUNE, **_TRAIN}, "additionalProperties": False},
    ),
]
Cron = Annotated[
    str,
    Field(
        max_length=120,
        examples=["0 3 * * 1"],
        json_schema_extra={"pattern": r"^\s*([0-9A-Za-z*/,#-]+\s+){4}[0-9A-Za-z*/,#-]+\s*$"},
    ),
]
_TAKES: dict[JobKind, Mapping[str, Any]] = {
    "tune": _TUNE,
    "retune": _RETUNE,
    "train": _TRAIN,
    "prune": {},
}
_BY_KIND = [
    {
        "required": ["kind", "app"] if kind in NEEDS_APP else ["kind"],
        "properties": {
            "kind": {"enum": [kind]},
            "app": {"type": "string" if kind in NEEDS_APP else "null"},
            "arguments": {"properties": _TAKES[kind], "additionalProperties": False},
        },
    }
    for kind in KINDS
]


_JOB_LINKS = links({"job": "$response.body#/id"}, "get_job", "cancel_job", "retry_job")
_SCHEDULE_LINKS = links({"schedule": "$response.body#/id"}, "change_schedule", "delete_schedule")


class JobBody(Body):
    """Work to be done."""

    model_config = described({"kind": "prune"}, anyOf=_BY_KIND)

    kind: JobKind
    app: App | None = None
    arguments: Arguments = {}


class JobView(View):
    """One job."""

    id: int
    kind: JobKind
    app: str | None
    state: JobState
    arguments: dict[str, Any]
    attempts: int
    most_attempts: int
    due_at: int
    cancelling: bool
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None


class JobList(View):
    """Jobs, the newest first; ``next`` is the ``before`` of the following page."""

    jobs: list[JobView]
    next: int | None


class ScheduleBody(Body):
    """Work to be done again and again. ``cron`` has five fields, in UTC."""

    model_config = described({"kind": "prune", "cron": "0 3 * * 1"}, anyOf=_BY_KIND)

    kind: JobKind
    app: App | None = None
    arguments: Arguments = {}
    cron: Cron


class ScheduleChanges(Body):
    """What is to be another; what is left out stays."""

    model_config = changing({"enabled": False})

    cron: Cron = ""
    enabled: bool = True
    arguments: Arguments = {}


class ScheduleView(View):
    """One schedule."""

    id: int
    kind: JobKind
    app: str | None
    arguments: dict[str, Any]
    cron: str
    enabled: bool
    next_at: int
    last_at: int | None
    last_job: int | None
    created_at: int


class ScheduleList(View):
    """Every schedule."""

    schedules: list[ScheduleView]


@router.post(
    "/admin/v1/jobs",
    operation_id="start_job",
    status_code=202,
    responses={202: {"model": JobView, "links": _JOB_LINKS}, **errors(404, 409, *WITH_BODY)},
)
async def start_job(
    request: Request, body: JobBody, caller: Admin, key: IdempotencyKey = None
) -> Response:
    """Queue work. Of each kind one job for an app is queued or running at a time. A retune measures
    nothing when nothing that its result depends on changed since the app was tuned last, and says
    so."""
    service: Service = request.app.state.service
    arguments = check_arguments(body.kind, body.arguments)

    def work(session: Session) -> tuple[int, Any]:
        app_id = _app_id(session, service, body.kind, body.app)
        return 202, job_view(session.jobs.enqueue(body.kind, app_id, arguments))

    return await answer_once(request, caller, key, work)


@router.get(
    "/admin/v1/jobs",
    operation_id="list_jobs",
    responses={200: {"model": JobList}, **errors(404)},
)
async def list_jobs(
    _: Admin,
    service: ServiceOf,
    state: Annotated[
        JobState | None, Query(description="Only jobs in this state.", examples=["dead"])
    ] = None,
    kind: Annotated[
        JobKind | None, Query(description="Only jobs of this kind.", examples=["tune"])
    ] = None,
    app: Annotated[
        str | None, Query(pattern=APP_NAME, description="Only of this app.", examples=["support"])
    ] = None,
    limit: Limit = 50,
    before: Before = None,
) -> Response:
    """Jobs, the newest first. Those that failed for good are in the state ``dead``."""

    def look(session: Session) -> list[Job]:
        app_id = session.apps.get(app).id if app is not None else None
        return session.jobs.newest(limit, before=before, state=state, kind=kind, app_id=app_id)

    found = await service.read(look)
    following = found[-1].id if len(found) == limit and found[-1].id > 1 else None
    return json_answer(200, {"jobs": [job_view(job) for job in found], "next": following})


@router.get(
    "/admin/v1/jobs/{job}",
    operation_id="get_job",
    responses={200: {"model": JobView}, **errors(404)},
)
async def get_job(job: RowId, _: Admin, service: ServiceOf) -> Response:
    """One job: how far it is, and what came of it."""
    return json_answer(200, job_view(await service.read(lambda session: session.jobs.get(job))))


@router.delete(
    "/admin/v1/jobs/{job}",
    operation_id="cancel_job",
    status_code=202,
    responses={202: {"model": JobView}, **errors(404, 409)},
)
async def cancel_job(job: RowId, _: Admin, service: ServiceOf) -> Response:
    """Cancel a job: at once while it is queued, else as soon as its worker can stop."""
    found = await service.write(lambda session: session.jobs.cancel(job))
    return json_answer(202, job_view(found))


@router.post(
    "/admin/v1/jobs/{job}/retry",
    operation_id="retry_job",
    status_code=202,
    responses={202: {"model": JobView}, **errors(404, 409)},
)
async def retry_job(
    job: RowId, request: Request, caller: Admin, key: IdempotencyKey = None
) -> Response:
    """Queue a job again that is dead or was cancelled."""
    return await answer_once(
        request, caller, key, lambda session: (202, job_view(session.jobs.retry(job)))
    )


@router.post(
    "/admin/v1/schedules",
    operation_id="add_schedule",
    status_code=201,
    responses={
        201: {"model": ScheduleView, "links": _SCHEDULE_LINKS},
        **errors(404, 409, *WITH_BODY),
    },
)
async def add_schedule(
    request: Request, body: ScheduleBody, caller: Admin, key: IdempotencyKey = None
) -> Response:
    """Queue such work at every time of a cron expression."""
    service: Service = request.app.state.service
    arguments = check_arguments(body.kind, body.arguments)

    def work(session: Session) -> tuple[int, Any]:
        app_id = _app_id(session, service, body.kind, body.app)
        made = session.schedules.add(body.kind, app_id, arguments, body.cron)
        return 201, _schedule_view(made)

    return await answer_once(request, caller, key, work)


@router.get(
    "/admin/v1/schedules",
    operation_id="list_schedules",
    responses={200: {"model": ScheduleList}, **errors()},
)
async def list_schedules(_: Admin, service: ServiceOf) -> Response:
    """Every schedule."""
    found = await service.read(lambda session: session.schedules.all())
    return json_answer(200, {"schedules": [_schedule_view(s) for s in found]})


@router.patch(
    "/admin/v1/schedules/{schedule}",
    operation_id="change_schedule",
    responses={200: {"model": ScheduleView}, **errors(404, *WITH_BODY)},
)
async def change_schedule(
    schedule: RowId, body: ScheduleChanges, _: Admin, service: ServiceOf
) -> Response:
    """Change when and with what it begins work, or whether it does."""
    given = {name: getattr(body, name) for name in body.model_fields_set}

    def work(session: Session) -> Schedule:
        if "arguments" in given:
            kind = session.schedules.get(schedule).kind
            given["arguments"] = check_arguments(kind, body.arguments)
        return session.schedules.change(schedule, **given)

    return json_answer(200, _schedule_view(await service.write(work)))


@router.delete(
    "/admin/v1/schedules/{schedule}",
    operation_id="delete_schedule",
    status_code=204,
    responses={204: {"description": "Deleted"}, **errors(404)},
)
async def delete_schedule(schedule: RowId, _: Admin, service: ServiceOf) -> Response:
    """Delete a schedule. Jobs that it began go on."""
    await service.write(lambda session: session.schedules.delete(schedule))
    return Response(status_code=204)


def job_view(job: Job) -> dict[str, Any]:
    return _shown(asdict(job), JobView)


def _schedule_view(schedule: Schedule) -> dict[str, Any]:
    return _shown(asdict(schedule), ScheduleView)


def _shown(row: Mapping[str, Any], view: type[View]) -> dict[str, Any]:
    return {name: row[name] for name in view.model_fields}


def _app_id(session: Session, service: Service, kind: JobKind, app: str | None) -> int | None:
    """The app that the work is for, when it can be done for it."""
    if app is None:
        if kind in NEEDS_APP:
            raise InputError(f"a {kind} job needs an app", key="app")
        return None
    if kind not in NEEDS_APP:
        raise InputError(f"a {kind} job is for all apps", key="app", value=app)
    found = session.apps.get(app)
    check_tunable(found, service.settings)
    return found.id
