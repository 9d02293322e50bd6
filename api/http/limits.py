"""What the service takes on at once: how often one may ask, how large and slow bodies may be, and
how many requests are answered at the same time. What is beyond is refused at once, with a problem
document that says when to come again; nothing queues without end. No body is read without a key.

Health, metrics and the OTLP routes pass: the last have limits and answers of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth import NO_KEY
from api.http.bodies import Bodies, Body, has_body
from api.http.callers import Callers
from api.http.metrics import Metrics
from api.problems import RETRY_AFTER_S, ClientGone, Refusal, problem, problem_of
from autorag.errors import AutoragError, TooManyError, UnauthenticatedError

QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked all the time, by machines."""

OPEN = frozenset({"/", "/openapi.json"})
"""Read no body."""

TELEMETRY = frozenset({"/v1/traces", "/v1/logs", "/v1/metrics"})

WAITED_S = "autorag.waited_s"
"""Where a scope tells for how long its request waited for news."""

T = TypeVar("T")

STATUSES: Mapping[int, dict[str, Any]] = {
    400: {"description": "The request cannot be read"},
    408: {"description": "The body came too slowly"},
    413: {"description": "The body is too large"},
    429: {"description": "Too many requests"},
    503: {"description": "Too much is going on; try again"},
}
"""What every route may answer on account of the limits, as FastAPI's ``responses``."""


class Limits:
    """ASGI middleware. It lets at most ``most_requests`` requests work, and ``most_waiting`` more
    wait for news (see :func:`waiting`), half of them at most for the same.

    Args:
        callers: those of the service, once it runs.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        callers: Callable[[], Callers],
        bodies: Bodies,
        *,
        most_requests: int,
        most_waiting: int,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._callers = callers
        self._bodies = bodies
        self._places = _Places(most_requests, most_waiting)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET or scope["path"] in TELEMETRY:
            await self._app(scope, receive, send)
            return
        try:
            await self._limited(scope, receive, send)
        except Refusal as refusal:
            self._metrics.refused.labels(refusal.reason).inc()
            answer = problem(refusal.status, refusal.detail, refusal.headers)
            await answer(scope, receive, send)
        except AutoragError as error:
            self._metrics.refused.labels("key").inc()
            await problem_of(error)(scope, receive, send)
        except ClientGone:
            self._metrics.refused.labels("gone").inc()

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise Refusal(400, "address", "the address holds U+0000")
        has_key = await self._callers().charge(scope)
        self._places.check()
        body = await self._body(scope, receive, has_key)
        try:
            async with self._turn(scope):
                await self._app(scope, body.replayed(receive) if body else receive, send)
        finally:
            if body is not None:
                body.release()

    async def _body(self, scope: Scope, receive: Receive, has_key: bool) -> Body | None:
        headers = dict(reversed(scope["headers"]))
        if scope["path"] in OPEN or not has_body(headers):
            return None
        if not has_key:
            raise UnauthenticatedError(NO_KEY)
        return await self._bodies.read(scope["path"], headers, receive)

    @asynccontextmanager
    async def _turn(self, scope: Scope) -> AsyncIterator[None]:
        """Hold a place while the request works."""
        turn = _Turn(self._places, self._metrics, scope)
        self._places.check()
        await self._places.enter()
        token = _TURN.set(turn)
        try:
            yield
        finally:
            _TURN.reset(token)
            turn.end()


@asynccontextmanager
async def waiting(topic: str) -> AsyncIterator[None]:
    """Around what a request does while it waits for news of this: meanwhile it takes no place of
    the requests that work. Leaving it may wait for one.

    Raises:
        TooManyError: too many wait already.
    """
    turn = _TURN.get()
    if turn is None:
        yield
        return
    turn.step_out(topic)
    try:
        yield
    finally:
        await turn.step_in()


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What work comes to, for a request whose body was read.

    Raises:
        ClientGone: the client left before.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        working.cancel()
        leaving.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Places:
    """Places of requests that work. Those that come back from waiting queue for one, and take half
    of them at most, so that thousands woken at once leave room for others."""

    def __init__(self, most: int, most_waiting: int) -> None:
        self._most = most
        self._most_waiting = most_waiting
        self._working = asyncio.Semaphore(most)
        self._returning = asyncio.Semaphore(max(1, most // 2))
        self._waiting = 0
        self._waiting_for: Counter[str] = Counter()

    def check(self) -> None:
        """Raise when all places are taken."""
        if self._working.locked():
            detail = f"{self._most} requests are being answered; try again"
            raise Refusal(503, "busy", detail, {"Retry-After": str(RETRY_AFTER_S)})

    async def enter(self) -> None:
        await self._working.acquire()

    def leave(self, *, returned: bool) -> None:
        self._working.release()
        if returned:
            self._returning.release()

    def wait(self, topic: str) -> None:
        most, most_of_one = self._most_waiting, (self._most_waiting + 1) // 2
        if self._waiting >= most:
            raise TooManyError(f"{most} requests wait already; try again")
        if self._waiting_for[topic] >= most_of_one:
            raise TooManyError(f"{most_of_one} requests wait for {topic} already; try again")
        self._waiting += 1
        self._waiting_for[topic] += 1

    async def come_back(self, topic: str) -> None:
        """Take a place after waiting."""
        try:
            await self._returning.acquire()
            try:
                await self._working.acquire()
            except BaseException:
                self._returning.release()
                raise
        finally:
            self._waiting -= 1
            self._waiting_for[topic] -= 1
            if not self._waiting_for[topic]:
                del self._waiting_for[topic]


class _Turn:
    """A request's place, which it may give up for a while."""

    def __init__(self, places: _Places, metrics: Metrics, scope: Scope) -> None:
        self._places = places
        self._metrics = metrics
        self._scope = scope
        self._has_place = True
        self._returned = False
        self._left_at = 0.0
        self._topic = ""

    def step_out(self, topic: str) -> None:
        try:
            self._places.wait(topic)
        except TooManyError:
            self._metrics.refused.labels("waiting").inc()
            raise
        self._metrics.long_polls.inc()
        self._topic, self._left_at = topic, time.perf_counter()
        self._give_up()

    async def step_in(self) -> None:
        try:
            await self._places.come_back(self._topic)
            self._has_place = self._returned = True
        finally:
            waited_s = time.perf_counter() - self._left_at
            self._scope[WAITED_S] = self._scope.get(WAITED_S, 0.0) + waited_s
            self._metrics.long_polls.dec()

    def end(self) -> None:
        if self._has_place:
            self._give_up()

    def _give_up(self) -> None:
        self._places.leave(returned=self._returned)
        self._has_place = self._returned = False


_TURN: ContextVar[_Turn | None] = ContextVar("turn", default=None)
