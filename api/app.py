"""The HTTP service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from api.problems import add_problem_handlers
from api.routes import health, telemetry
from api.service import Service
from autorag import __version__


def create_app(running: Callable[[], AbstractAsyncContextManager[Service]]) -> FastAPI:
    """The app; ``running`` makes the service that it uses while it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running() as service:
            app.state.service = service
            yield

    app = FastAPI(
        title="AutoRAG",
        version=__version__,
        summary="Learned auto-configuration for RAG systems.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(health.router)
    app.include_router(telemetry.router)
    add_problem_handlers(app)
    return app
