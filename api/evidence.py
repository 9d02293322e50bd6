"""What this installation has measured that bears on predictions: trials on a machine, and what the
requests of an app take. Looked up once a minute, by one request, while others get what was found
before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
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

MOST_TRIALS = 1_000
"""The newest trials on a machine that are looked at."""


@dataclass
class _Found:
    """What was found, and who looks again."""

    at: float = float("-inf")
    value: Any = None
    looking: Lock = field(default_factory=Lock)


class Evidence:
    """Looks things up, and keeps what it found for a while.

    Args:
        telemetry: the database of spans.
    """

    def __init__(self, database: Database, telemetry: Engine, clock: Clock) -> None:
        self._database = database
        self._telemetry = telemetry
        self._clock = clock
        self._found: OrderedDict[Hashable, _Found] = OrderedDict()
        self._lock = Lock()

    def trials(self, hardware: str) -> Sequence[Experience]:
        """What was measured on the machine with this fingerprint."""
        return self._recent(
            ("trials", hardware),
            lambda: self._database.read(
                lambda s: s.experience.trials(hardware=hardware, newest=MOST_TRIALS)
            ),
        )

    def traffic(self, app: str) -> Sequence[Served]:
        """What the requests of an app took lately."""
        since = int(self._clock.time()) - TRAFFIC_S
        return self._recent(("traffic", app), lambda: served(self._telemetry, app, since))

    def _recent(self, name: Hashable, look: Callable[[], T]) -> T:
        with self._lock:
            found = self._found.setdefault(name, _Found())
            self._found.move_to_end(name)
            while len(self._found) > KEPT:
                self._found.popitem(last=False)
        first = found.value is None
        if (first or self._is_old(found)) and found.looking.acquire(blocking=first):
            try:
                if found.value is None or self._is_old(found):
                    found.value = look()
                    found.at = self._clock.time()
            finally:
                found.looking.release()
        value: T = found.value
        return value

    def _is_old(self, found: _Found) -> bool:
        return self._clock.time() - found.at >= FRESH_S
