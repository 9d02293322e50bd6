"""CPU pressure (Linux PSI): the share of wall time in which something waited for a CPU.

See https://docs.kernel.org/accounting/psi.html. It is of the whole machine, not of one process.
Unknown, where the kernel has no PSI, is None.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path("/proc/pressure")
FILE = FOLDER / "cpu"


@dataclass(frozen=True, slots=True)
class PressureMark:
    """A reading: total microseconds waited, and when."""

    waited_us: int | None
    at: float

    @classmethod
    def now(cls) -> PressureMark:
        return cls(_cpu_waited_us(), time.monotonic())

    def since(self) -> float | None:
        """Share of the time since this mark in which some task waited, 0..1, or None."""
        later = PressureMark.now()
        if self.waited_us is None or later.waited_us is None:
            return None
        return waited_share(later.waited_us - self.waited_us, later.at - self.at)


def waited_share(waited_us: float | None, seconds: float) -> float | None:
    """Share of the seconds in which something waited, 0..1; None where that is unknown."""
    if waited_us is None or seconds <= 0:
        return None
    return min(1.0, waited_us / (seconds * 1e6))


def waited_us(text: str, who: Literal["some", "full"]) -> int | None:
    """Microseconds since boot in which some task, or every one (``full``), waited.

    Args:
        text: of a file under ``/proc/pressure``.
    """
    line = text.find(f"{who} ")
    start = text.find("total=", line) + len("total=")
    total = text[start:].partition("\n")[0]
    return int(total) if line >= 0 and total.isdigit() else None


def _cpu_waited_us() -> int | None:
    try:
        return waited_us(FILE.read_text(), "some")
    except OSError:
        return None
