"""When instances last asked for settings. It is kept in memory: it changes with every poll, and is
of no use later."""

from __future__ import annotations

from collections import OrderedDict

from autorag.ports import Clock

MOST_INSTANCES = 10_000


class Polls:
    """Instances that asked, the last ones."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked: OrderedDict[tuple[str, str], int] = OrderedDict()

    def asked(self, app: str, instance: str) -> None:
        """An instance of an app asks now."""
        name = (app, instance)
        self._asked[name] = int(self._clock.time())
        self._asked.move_to_end(name)
        while len(self._asked) > MOST_INSTANCES:
            self._asked.popitem(last=False)

    def by_app(self) -> dict[str, dict[str, int]]:
        """App → instance → when it last asked, in seconds since the epoch."""
        found: dict[str, dict[str, int]] = {}
        for (app, instance), at in self._asked.items():
            found.setdefault(app, {})[instance] = at
        return found
