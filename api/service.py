"""What the routes use: the databases, taking in telemetry, and the work that goes on behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from api.auth import hashed
from api.ingest import Ingest
from api.settling import settle_due
from autorag.errors import AutoragError
from autorag.ports import Clock
from store.engine import open_database, open_telemetry
from store.keys import KeyRepository
from store.telemetry import TelemetryStore
from store.writer import BatchWriter

log = logging.getLogger(__name__)

SETTLE_EVERY_S = 1.0
PAUSE_S = 1.0
READY_WITHIN_S = 5.0


@dataclass(frozen=True)
class Service:
    """The parts of a running service. ``checking`` lets one question about readiness, which needs
    no key, look at the databases at a time, so that many do not fill the writer's queue."""

    keys: KeyRepository
    telemetry: TelemetryStore
    ingest: Ingest
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def is_admin(self, key: str | None) -> bool:
        """Whether this key may do everything."""
        return key is not None and await asyncio.to_thread(self.keys.is_admin, hashed(key))

    async def check(self) -> None:
        """Return when the databases can be read and written.

        Raises:
            AutoragError, TimeoutError: they cannot.
        """
        async with asyncio.timeout(READY_WITHIN_S), self.checking:
            await asyncio.to_thread(self.keys.any_live)
            await asyncio.wrap_future(self.telemetry.check())

    async def settle_all(self) -> None:
        """Settle what is due. Senders wait for their answers and nobody for observations, so it
        goes slowly while requests are being taken in."""
        while await asyncio.to_thread(settle_due, self.telemetry):
            await asyncio.sleep(PAUSE_S if self.ingest.busy else 0)

    async def keep_settling(self) -> None:
        """Settle what is due, again and again, whatever fails."""
        while True:
            try:
                await self.settle_all()
            except AutoragError as error:
                log.warning("settling failed and is tried again: %s", error)
            except Exception:
                log.exception("settling failed and is tried again")
            await asyncio.sleep(SETTLE_EVERY_S)


@asynccontextmanager
async def running_service(database: str, hardware: str, clock: Clock) -> AsyncIterator[Service]:
    """A service with its databases open and its work going on; leaving it finishes what was
    accepted.

    Raises:
        InputError, StoreError: a database cannot be opened.
    """
    async with AsyncExitStack() as stack:
        control, telemetry = open_database(database), open_telemetry(database)
        stack.callback(control.dispose)
        stack.callback(telemetry.dispose)
        writer = stack.enter_context(BatchWriter(telemetry))
        store = TelemetryStore(telemetry, writer, clock)
        ingest = stack.enter_context(Ingest(store, hardware))
        service = Service(KeyRepository(control, clock), store, ingest)
        settling = asyncio.create_task(service.keep_settling())
        try:
            yield service
        finally:
            settling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await settling
