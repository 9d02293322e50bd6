"""What the route modules share: the service, and apps and revisions as they are shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Request

from api.http.schema import View
from api.service import Service
from autorag.apps import Ack, App, Revision


async def _service(request: Request) -> Service:
    # Not a plain function: those run in a thread.
    service: Service = request.app.state.service
    return service


LOCATION = {"Location": {"schema": {"type": "string"}, "description": "Where it is."}}

ServiceOf = Annotated[Service, Depends(_service)]


class PendingView(View):
    """A value that waits, and how it will be applied."""

    value: Any
    apply: str


class WorkloadView(View):
    """What a tune of the app measures."""

    docs: str | None
    queries: str | None
    evaluator: str | None
    features: dict[str, Any] | None


class AppView(View):
    """One registered app."""

    name: str
    objective: str
    restarts: Literal["auto", "approve", "off"]
    webhook: str | None
    frozen: bool
    revision: int | None
    settings: dict[str, Any]
    pending: dict[str, PendingView]
    workload: WorkloadView
    hardware: str | None
    documents: dict[str, Any]
    space: dict[str, Any] | None
    created_at: int
    changed_at: int


class RevisionView(View):
    """One revision of an app's settings."""

    number: int
    state: Literal["proposed", "active", "superseded"]
    config: dict[str, Any]
    delivered: dict[str, Any] | None
    origin: str
    reason: str | None
    created_at: int
    activated_at: int | None
    ended_at: int | None


class AckView(View):
    """What an instance did with a revision."""

    instance: str
    revision: int
    state: Literal["received", "applied", "failed"]
    values: dict[str, Any]
    mismatched: dict[str, Any]
    error: str | None
    received_at: int | None
    applied_at: int | None
    failed_at: int | None


def app_view(app: App) -> dict[str, Any]:
    return {
        "name": app.name,
        "objective": app.objective,
        "restarts": app.policy,
        "webhook": app.webhook,
        "frozen": app.frozen,
        "revision": app.revision,
        "settings": app.settings,
        "pending": app.pending,
        "workload": {
            "docs": app.docs,
            "queries": app.queries,
            "evaluator": app.evaluator,
            "features": app.features,
        },
        "hardware": app.hardware,
        "documents": {"root": app.root, "version": app.documents_version},
        "space": app.space,
        "created_at": app.created_at,
        "changed_at": app.changed_at,
    }


def revision_view(revision: Revision) -> dict[str, Any]:
    return _fields(revision, RevisionView)


def ack_view(ack: Ack) -> dict[str, Any]:
    return _fields(ack, AckView)


def _fields(value: Any, view: type[View]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in view.model_fields}
