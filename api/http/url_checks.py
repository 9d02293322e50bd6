"""Checks of URLs that users gave. To resolve a host may take long and cannot be broken off: a few
at a time are resolved, and one that takes too long is given up.
"""

from __future__ import annotations

import asyncio
from typing import Any

from api.http.threads import apart
from autorag.errors import AddressError, BusyError
from collectors.outbound import Outbound

WITHIN_S = 5.0
MOST_CHECKS = 4
"""At once, those included that were given up and go on."""


class UrlChecks:
    """Checks URLs.

    Args:
        within_s: seconds that one may take.
    """

    def __init__(self, outbound: Outbound, within_s: float = WITHIN_S) -> None:
        self._outbound = outbound
        self._within_s = within_s
        self._running = 0

    async def check(self, url: str, key: str) -> None:
        """Refuse a URL that this service must not call.

        Raises:
            InputError: see :meth:`Outbound.check`, or it took too long; ``key`` names the URL.
            BusyError: too many are being checked.
        """
        if self._running >= MOST_CHECKS:
            raise BusyError(f"the hosts of {MOST_CHECKS} URLs are being looked up; try again")
        self._running += 1
        checking = asyncio.wrap_future(apart(self._outbound.check, url, key))
        checking.add_done_callback(self._ended)
        await asyncio.wait({checking}, timeout=self._within_s)
        if not checking.done():
            raise AddressError(
                f"{key} = {url!r}: its host was not found within {self._within_s:g} s",
                key=key,
                value=url,
            )
        checking.result()

    def _ended(self, checking: asyncio.Future[Any]) -> None:
        self._running -= 1
        checking.exception()
