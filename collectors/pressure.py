"""CPU pressure (Linux PSI): the share of wall time in which something waited for a CPU.

See https://docs.kernel.org/accounting/psi.html. Unknown, where the kernel has no PSI, is None.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

FILE = Path("/proc/pressure/cpu")


@dataclass(frozen=True, slots=True)
class PressureMark:
    """A reading: total microseconds waited, and when."""

    waited_us: int | None
    at: float

    @classmethod
    def now(cls) -> PressureMark:
        return cls(_waited_us(), time.monotonic())

    def since(self) -> float | None:
        """Share of the time since this mark in which some task waited, 0..1, or None."""
        later = PressureMark.now()
        if self.waited_us is None or later.waited_us is None or later.at <= self.at:
            return None
        return min(1.0, (later.waited_us - self.waited_us) / ((later.at - self.at) * 1e6))


def _waited_us() -> int | None:
    try:
        for line in FILE.read_text().splitlines():
            if line.startswith("some "):
                return int(line.rsplit("total=", 1)[1])
    except (OSError, ValueError, IndexError):
        pass
    return None
