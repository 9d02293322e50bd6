"""Whose telemetry it is, and which settings it ran with.

An app's key names the app. With an admin key it is the resource attribute ``autorag.app``, else
``service.name``, when that is registered; anything else is nobody's. Without ``autorag.revision``
a span of a known instance belongs to the revision that the instance had last acknowledged as
applied when the span began.

Names and acknowledgements are kept in memory. They are read again when this service changed them,
and now and then for what others did.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from api.problems import first_line
from autorag.errors import AutoragError
from autorag.telemetry import UNASSIGNED, Source
from store.database import Database, Session

log = logging.getLogger(__name__)

SOONEST_S = 0.5
AT_LEAST_EVERY_S = 30.0
LOOKS_BACK_S = 86_400
"""What began longer ago may be given the wrong revision, or none."""

NS = 1_000_000_000

Applied = Mapping[tuple[str, str], tuple[list[int], list[str]]]
"""(app, instance) → times in seconds since the epoch, ascending, and the revisions applied then."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is registered, and what was applied when."""

    apps: frozenset[str] = frozenset()
    applied: Applied = field(default_factory=dict)


class Attribution:
    """Names the app and the revision of what arrives."""

    def __init__(self) -> None:
        self._known = Known()
        self._stale = asyncio.Event()

    def outdated(self) -> None:
        """Something that matters here was changed."""
        self._stale.set()

    def app_of(self, names: Iterable[str | None]) -> str:
        """The first of these names that is registered, else nobody's."""
        return next((n for n in names if n is not None and n in self._known.apps), UNASSIGNED)

    def revisions(self, app: str, instance: str | None) -> tuple[list[int], list[str]] | None:
        """When an instance applied what, None when it never said."""
        return self._known.applied.get((app, instance)) if instance is not None else None

    def with_revision(self, source: Source, at: int) -> Source:
        """The source of something that began then (seconds since the epoch)."""
        applied = self.revisions(source.app, source.instance)
        if source.revision is not None or applied is None:
            return source
        return replace(source, revision=revision_at(applied, at * NS))

    async def refresh(self, database: Database) -> None:
        """Read everything again."""
        self._stale.clear()
        self._known = await asyncio.to_thread(database.read, _read)

    async def keep_fresh(self, database: Database) -> None:
        """Read again whenever that is due, for ever, whatever fails."""
        while True:
            await asyncio.sleep(SOONEST_S)
            try:
                async with asyncio.timeout(AT_LEAST_EVERY_S):
                    await self._stale.wait()
            except TimeoutError:
                pass
            try:
                await self.refresh(database)
            except AutoragError as error:
                log.warning("apps could not be read: %s", first_line(error))
                self._stale.set()
            except Exception:
                log.exception("apps could not be read")
                self._stale.set()


def revision_at(applied: tuple[list[int], list[str]], start_ns: int) -> str | None:
    """The revision that was applied last at a moment, None before the first."""
    times, revisions = applied
    at = bisect_right(times, start_ns / NS)
    return revisions[at - 1] if at else None


def _read(session: Session) -> Known:
    applied: dict[tuple[str, str], tuple[list[int], list[str]]] = defaultdict(lambda: ([], []))
    for app, instance, revision, when in session.acks.applied(session.now - LOOKS_BACK_S):
        times, revisions = applied[app, instance]
        times.append(when)
        revisions.append(str(revision))
    return Known(frozenset(session.apps.names()), dict(applied))
