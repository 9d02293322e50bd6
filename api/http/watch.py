"""Long polls: requests that wait until the settings of an app change.

Whoever changes settings may be another process (a worker that ends a tune), so one task looks at
the versions of those apps that somebody waits for, a few times a second, however many wait.
"""

from __future__ import annotations

import asyncio
import logging

from api.http.threads import Reads
from api.problems import first_line
from autorag.errors import AutoragError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2

Version = tuple[int, int]
"""Of what is delivered to an app: the app's id and the number of changes."""

GONE: Version = (0, 0)
"""Of an app that is not registered any more."""


class Watch:
    """Tells waiting requests that the settings of their app changed."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._seen: dict[str, Version] = {}
        self._somebody = asyncio.Event()
        self._stopped = False

    async def changed(self, name: str, known: Version, within_s: float) -> bool:
        """Wait until the app's version is another than ``known``; whether it is, when the time is
        over or the service stops."""
        news = asyncio.Event()
        self._waiting.setdefault(name, set()).add(news)
        self._somebody.set()
        try:
            async with asyncio.timeout(within_s):
                while not (self._stopped or self._is_news(name, known)):
                    news.clear()
                    await news.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting[name].discard(news)
            if not self._waiting[name]:
                del self._waiting[name]
        return self._is_news(name, known)

    async def keep_looking(self) -> None:
        """Look at the versions of the apps that are waited for, for ever, whatever fails."""
        while True:
            self._somebody.clear()
            if not self._waiting:
                self._seen = {}
                await self._somebody.wait()
            try:
                await self._look()
            except AutoragError as error:
                log.warning("settings could not be looked at: %s", first_line(error))
            except Exception:
                log.exception("settings could not be looked at")
            await asyncio.sleep(LOOK_EVERY_S)

    def stop(self) -> None:
        """Answer everybody who waits: the service stops."""
        self._stopped = True
        self._tell(list(self._waiting))

    async def _look(self) -> None:
        names = list(self._waiting)
        found = await self._reads.read(lambda session: session.apps.versions(names))
        before, self._seen = self._seen, {name: found.get(name, GONE) for name in names}
        self._tell([name for name in names if self._seen[name] != before.get(name)])

    def _tell(self, names: list[str]) -> None:
        for name in names:
            for news in self._waiting.get(name, ()):
                news.set()

    def _is_news(self, name: str, known: Version) -> bool:
        """Whether a look found something newer. What was seen may be older than what a request
        knows, which read by itself."""
        app, version = self._seen.get(name, known)
        return (app, version) == GONE or app > known[0] or (app == known[0] and version > known[1])
