"""The HTTP service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.http.metrics import Metrics
from api.http.schema import Problem
from api.problems import add_problem_handlers
from api.routes import (
    apps,
    documents,
    health,
    jobs,
    keys,
    models,
    observations,
    recommend,
    restarts,
    revisions,
    settings,
    status,
    suggestions,
    telemetry,
)
from api.service import Service
from autorag import __version__

ROUTERS = (
    apps.router,
    settings.router,
    revisions.router,
    documents.router,
    restarts.router,
    observations.router,
    telemetry.router,
    suggestions.router,
    recommend.router,
    jobs.router,
    keys.router,
    models.router,
    health.router,
    status.router,
)

ABOUT = """Bodies are JSON in UTF-8 of at most 1 MiB (manifests 64 MiB) and 200 levels. Texts hold
no U+0000 and no lone surrogates; numbers are finite, and whole ones fit in 53 bits. Times are
seconds since the epoch, in UTC. Errors are problem documents (RFC 9457); those of OTLP are
`google.rpc.Status`."""

PASSWORD = {
    "type": "http",
    "scheme": "basic",
    "description": "For browsers: an admin key as the password, with any name.",
}

Running = Callable[[], AbstractAsyncContextManager[Service]]


def create_app(running: Running, metrics: Metrics) -> FastAPI:
    """The app; ``running`` makes the service that it uses while it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running() as service:
            app.state.service = service
            yield

    app = _Described(
        title="AutoRAG",
        version=__version__,
        summary="Learned auto-configuration for RAG systems.",
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.metrics = metrics
    app.state.methods = _methods()
    for router in ROUTERS:
        app.include_router(router)
    add_problem_handlers(app)
    return app


def _methods() -> dict[str, list[str]]:
    """Path → the methods of its routes."""
    found: dict[str, set[str]] = {}
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            assert route.methods is not None
            found.setdefault(route.path, set()).update(route.methods)
    return {path: sorted(methods) for path, methods in found.items()}


class _Described(FastAPI):
    """Describes what routes answer by themselves: problem documents; and browsers' passwords."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = super().openapi()
            components = schema.setdefault("components", {})
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            components.setdefault("schemas", {})["Problem"] = problem
            components.setdefault("securitySchemes", {})["password"] = PASSWORD
        described = self.openapi_schema
        assert described is not None
        return described
