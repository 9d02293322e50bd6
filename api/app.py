"""The HTTP service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api.metrics import Metrics
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
from api.schema import Problem
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
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.metrics = metrics
    for router in ROUTERS:
        app.include_router(router)
    add_problem_handlers(app)
    return app


class _Described(FastAPI):
    """Describes what routes answer by themselves: problem documents."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = super().openapi()
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = problem
        described = self.openapi_schema
        assert described is not None
        return described
