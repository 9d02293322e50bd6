"""What counters are read from, and how: a source is read before and after a block.

Between two reads the block has had the caches, so that every line of Python and every system call
costs several times what it costs in a loop. Hence a source is read by calls that are as plain as
can be, mostly one system call each, and numbers are made of what they gave later.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

READ_BYTES = 448
"""Of a kernel file; what is looked for stands before. (Larger objects cost Python more.)"""

Call = Callable[[], Any]


class Source(Protocol):
    """Metrics that are read together. Opened once, it is read around any number of blocks.

    Attributes:
        missing: metric → why it cannot be had here.
        begins: what is called when a block starts; none gives None.
        ends: what is called when it ends, the last one first.
    """

    METRICS: ClassVar[Sequence[str]]
    missing: dict[str, str]
    begins: list[Call]
    ends: list[Call]

    def values(self, begun: Sequence[Any], ended: Sequence[Any]) -> dict[str, float]:
        """The block's metrics, from what the calls gave; what is unknown is left out."""

    def close(self) -> None:
        """Give the file descriptors back."""


class KernelFile:
    """A file of ``/proc`` or ``/sys``, opened once and read from its start again and again.

    Attributes:
        read: gives its bytes now.
        first: its text when it was opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = io.FileIO(path)
        self.read = partial(os.pread, self._file.fileno(), READ_BYTES, 0)
        try:
            self.first = self.read().decode("ascii", "replace")
        except OSError:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()


def reason(error: Exception, of: str = "") -> str:
    """Why something cannot be had, in words; errors of the system with their symbolic name."""
    if not isinstance(error, OSError) or error.errno is None:
        return f"{type(error).__name__}: {error}"
    what = of or error.filename or "reading"
    return f"{errno.errorcode[error.errno]}: {what}: {error.strerror}"
