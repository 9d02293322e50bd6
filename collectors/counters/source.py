"""What counters are read from, and how: a source is read before and after a block.

Between two reads the block has had the caches, so that every system call and every line of Python
costs several times what it costs in a loop. Hence reading keeps what the kernel says as it is, all
kernel files are read in one go, and numbers are made of it later.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

READ_BYTES = 448
"""Of a kernel file; what is looked for stands before. (Larger objects cost Python more.)"""


class Source(Protocol):
    """Metrics that are read together. Opened once, it is read around any number of blocks.

    Attributes:
        missing: metric → why it cannot be had here.
    """

    missing: dict[str, str]

    def begin(self) -> Any:
        """What must be known when a block starts."""

    def end(self, begun: Any) -> Any:
        """What must be known when the block that began so ends."""

    def values(self, begun: Any, ended: Any) -> dict[str, float]:
        """The block's metrics; what is unknown is left out."""

    def close(self) -> None:
        """Give the file descriptors back."""


class Table(Protocol):
    """Metrics made of kernel files that :class:`Files` reads.

    Attributes:
        missing: metric → why it cannot be had here.
        files: what is read at both ends of a block.
    """

    METRICS: ClassVar[Sequence[str]]
    missing: dict[str, str]
    files: list[io.FileIO]

    def values(self, before: Sequence[str], after: Sequence[str]) -> dict[str, float]:
        """The metrics of a block, from the texts of the files at both its ends, none empty."""


class Files:
    """The kernel files of several tables, read together: at the end of a block the other way round
    than at its start, so that the last table's is read next to the block."""

    def __init__(self, kinds: Sequence[type[Table]]) -> None:
        self.missing: dict[str, str] = {}
        self._tables: list[Table] = []
        for kind in kinds:
            try:
                self._tables.append(kind())
                self.missing.update(self._tables[-1].missing)
            except (OSError, ValueError, LookupError) as error:
                self.missing.update(dict.fromkeys(kind.METRICS, reason(error)))
        self._files = [file for table in self._tables for file in table.files]
        self._descriptors = [file.fileno() for file in self._files]
        self._reversed = self._descriptors[::-1]

    def begin(self) -> list[bytes]:
        try:
            return [os.pread(descriptor, READ_BYTES, 0) for descriptor in self._descriptors]
        except OSError:
            return [read_or_nothing(descriptor) for descriptor in self._descriptors]

    def end(self, begun: list[bytes]) -> list[bytes]:
        try:
            return [os.pread(descriptor, READ_BYTES, 0) for descriptor in self._reversed]
        except OSError:
            return [read_or_nothing(descriptor) for descriptor in self._reversed]

    def values(self, begun: list[bytes], ended: list[bytes]) -> dict[str, float]:
        before = [text.decode("ascii", "replace") for text in begun]
        after = [text.decode("ascii", "replace") for text in reversed(ended)]
        values: dict[str, float] = {}
        for table in self._tables:
            count = len(table.files)
            if count and all(before[:count]) and all(after[:count]):
                values.update(table.values(before[:count], after[:count]))
            before, after = before[count:], after[count:]
        return values

    def close(self) -> None:
        for file in self._files:
            file.close()


def read_or_nothing(descriptor: int) -> bytes:
    """What a file says now; nothing where it is gone, as that of a removed cgroup is."""
    try:
        return os.pread(descriptor, READ_BYTES, 0)
    except OSError:
        return b""


def open_file(path: Path) -> tuple[io.FileIO, str]:
    """Open a kernel file to keep, and its text now.

    Raises:
        OSError: it is not there or may not be read.
    """
    file = io.FileIO(path)
    try:
        return file, os.pread(file.fileno(), READ_BYTES, 0).decode("ascii", "replace")
    except OSError:
        file.close()
        raise


def reason(error: Exception, of: str = "") -> str:
    """Why something cannot be had, in words; errors of the system with their symbolic name."""
    if not isinstance(error, OSError) or error.errno is None:
        return f"{type(error).__name__}: {error}"
    what = of or error.filename or "reading"
    return f"{errno.errorcode[error.errno]}: {what}: {error.strerror}"
