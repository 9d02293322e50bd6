"""What the routes use: the databases, taking in telemetry, and the work that goes on behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from api.attribution import Attribution
from api.evidence import Evidence
from api.http.callers import Callers
from api.http.key_ring import KeyRing
from api.http.polls import Polls
from api.http.rates import Rates
from api.http.recent import Recent
from api.http.threads import Reads, apart
from api.http.url_checks import UrlChecks
from api.http.watch import Watch
from api.ingest import Ingest
from api.model_registry import Registry
from api.recommending import Recommender
from api.settings import Settings
from api.settling import keep_settling
from api.spaces import Spaces
from autorag.jobs import JobState
from autorag.ports import Clock
from collectors.outbound import Outbound
from store.database import Database, Session
from store.engine import open_database, open_telemetry
from store.telemetry import TelemetryStore
from store.writer import BatchWriter

log = logging.getLogger(__name__)

READY_WITHIN_S = 5.0

MOST_DISOWNING = 2
"""Apps whose telemetry is made nobody's at the same time."""

COMPUTERS = 2
"""Threads for what takes the CPU."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Service:
    """The parts of a running service. ``checking`` lets one question about readiness, which needs
    no key, look at the databases at a time, so that many do not fill the writers' queues;
    ``comparing`` lets one manifest be compared at a time, which may be large; ``disowning`` leaves
    connections to the database for others."""

    settings: Settings
    clock: Clock
    database: Database
    reads: Reads
    computing: ThreadPoolExecutor
    telemetry: TelemetryStore
    ingest: Ingest
    attribution: Attribution
    spaces: Spaces
    recommender: Recommender
    registry: Registry
    watch: Watch
    polls: Polls
    urls: UrlChecks
    keys: KeyRing
    callers: Callers
    job_counts: Recent[Mapping[JobState, int]]
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)
    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    disowning: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_DISOWNING))

    async def read(self, look: Callable[[Session], T]) -> T:
        """What ``look`` finds in one state of the database."""
        return await self.reads.read(look)

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run work in a transaction; when it returns, everything is on disk."""
        return await asyncio.wrap_future(self.database.submit(work))

    async def compute(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Do work that takes the CPU for a while, a few at a time."""
        return await asyncio.wrap_future(self.computing.submit(work, *arguments, **named))

    async def check_url(self, url: str, key: str) -> None:
        """Refuse a URL that this service must not call.

        Raises:
            InputError, BusyError: see :meth:`UrlChecks.check`; ``key`` names the URL.
        """
        await self.urls.check(url, key)

    async def disown(self, app: str) -> None:
        """Make an app's telemetry nobody's, to be deleted by the next prune."""
        async with self.disowning:
            await asyncio.wrap_future(apart(self.telemetry.disown, app))

    async def check(self) -> None:
        """Return when the databases can be read and written.

        Raises:
            AutoragError, TimeoutError: they cannot.
        """
        async with asyncio.timeout(READY_WITHIN_S), self.checking:
            await self.write(lambda session: session.keys.any_live())
            await asyncio.wrap_future(self.telemetry.check())


@asynccontextmanager
async def running_service(
    settings: Settings, hardware: str, clock: Clock
) -> AsyncIterator[Service]:
    """A service with its databases open and its work going on; leaving it finishes what was
    accepted.

    Raises:
        InputError, StoreError: a database cannot be opened.
    """
    async with AsyncExitStack() as stack:
        control, kept = open_database(settings.database_url), open_telemetry(settings.database_url)
        stack.callback(control.dispose)
        stack.callback(kept.dispose)
        database = Database(control, clock, stack.enter_context(BatchWriter(control)))
        reads = stack.enter_context(Reads(database))
        telemetry = TelemetryStore(kept, stack.enter_context(BatchWriter(kept)), clock)
        attribution, spaces, registry = Attribution(), Spaces(), Registry(database)
        keys = KeyRing(reads, clock)
        service = Service(
            settings,
            clock,
            database,
            reads,
            stack.enter_context(_computing()),
            telemetry,
            stack.enter_context(Ingest(telemetry, attribution, hardware)),
            attribution,
            spaces,
            Recommender(spaces, registry, Evidence(database, kept, clock)),
            registry,
            Watch(reads),
            Polls(clock),
            UrlChecks(Outbound(settings.allowed_networks)),
            keys,
            Callers(keys, Rates(clock, settings.rate_per_s)),
            Recent(lambda: reads.read(lambda session: session.jobs.counts()), clock),
        )
        await attribution.refresh(database)
        for work in (
            keep_settling(service.telemetry, service.ingest),
            service.watch.keep_looking(),
            attribution.keep_fresh(database),
        ):
            stack.push_async_callback(_stop, asyncio.create_task(_named(work)))
        yield service


@contextmanager
def _computing() -> Iterator[ThreadPoolExecutor]:
    """Threads whose work nobody waits for at the end."""
    threads = ThreadPoolExecutor(COMPUTERS, "computing")
    yield threads
    threads.shutdown(wait=False, cancel_futures=True)


async def _named(work: Coroutine[Any, Any, None]) -> None:
    """Work that never ends by itself; that it does is told, whatever the reason."""
    try:
        await work
    except Exception:
        log.exception("work behind the service ended")
        raise


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
