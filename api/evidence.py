"""What this installation has measured that bears on predictions: trials on a machine, and what the
requests of an app take. Looked up once a minute, not for every request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import Engine

from autorag.experience import Experience, Served
from autorag.ports import Clock
from store.database import Database
from store.traffic import served

T = TypeVar("T")

FRESH_S = 60.0
TRAFFIC_S = 86_400
"""How far back an app's traffic is looked at."""

KEPT = 256


class Evidence:
    """Looks things up, and keeps what it found for a while.

    Args:
        telemetry: the database of observations.
    """

    def __init__(self, database: Database, telemetry: Engine, clock: Clock) -> None:
        self._database = database
        self._telemetry = telemetry
        self._clock = clock
        self._found: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._lock = Lock()

    def trials(self, hardware: str) -> Sequence[Experience]:
        """What was measured on the machine with this fingerprint."""
        return self._recent(
            ("trials", hardware),
            lambda: self._database.read(lambda s: s.experience.trials(hardware=hardware)),
        )

    def traffic(self, app: str) -> Sequence[Served]:
        """What the requests of an app took lately."""
        since = int(self._clock.time()) - TRAFFIC_S
        return self._recent(("traffic", app), lambda: served(self._telemetry, app, since))

    def _recent(self, name: Hashable, look: Callable[[], T]) -> T:
        now = self._clock.time()
        with self._lock:
            if name in self._found and now - self._found[name][0] < FRESH_S:
                found: T = self._found[name][1]
                return found
        found = look()
        with self._lock:
            self._found[name] = now, found
            self._found.move_to_end(name)
            while len(self._found) > KEPT:
                self._found.popitem(last=False)
        return found
