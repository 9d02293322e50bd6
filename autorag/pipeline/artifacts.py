"""The artifact store: immutable, content-addressed arrays on disk.

An artifact is an ``.npz`` of named arrays plus a JSON ``meta``. It is written to a draft and
renamed, so a reader sees all of it or nothing, also after ``kill -9``. The CRC of every member is
checked on reading; a corrupt artifact is removed and counts as missing, so it is built again.
The least recently used artifacts go when the store outgrows its limit. Several processes may
share a store: reading needs no lock, ``building`` is a lock per name so that work is not done
twice, and what vanishes between looking and opening counts as missing.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autorag.hashing import bytes_address

LOG = logging.getLogger(__name__)
META = "meta.json"
CORRUPT = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, RuntimeError)
"""What reading a damaged file raises, beside seeking to nowhere (``EINVAL``). No other ``OSError``
is among them: the file may read well later."""

ABANDONED_S = 3600.0
"""A draft older than this was left by a killed process."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """Named arrays and what is known about them."""

    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]


class ArtifactStore:
    """Artifacts under ``root`` by slash-separated names, at most ``limit_bytes`` of them."""

    def __init__(self, root: Path, limit_bytes: int = 20 * 10**9) -> None:
        self.root = root
        self.limit_bytes = limit_bytes

    def peek(self, name: str, array: str) -> np.ndarray | None:
        """One array of an artifact, without counting as use; None as in :meth:`load`."""
        artifact = self._read(name, only=array)
        return None if artifact is None else artifact.arrays[array]

    def load(self, name: str) -> Artifact | None:
        """The artifact, or None when it is missing or was corrupt."""
        artifact = self._read(name)
        if artifact is not None:
            with suppress(FileNotFoundError):
                os.utime(self._path(name))
        return artifact

    def save(
        self, name: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any] | None = None
    ) -> None:
        """Write an artifact; one that exists is replaced."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{uuid.uuid4().hex}.draft")
        encoded = json_array(dict(meta or {}))
        try:
            with draft.open("wb") as file:
                np.savez(file, **{**arrays, META: encoded})  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        self._evict(keep=path)

    def __contains__(self, name: str) -> bool:
        return self._path(name).is_file()

    def names(self, folder: str) -> list[str]:
        """Names of the artifacts directly in a folder, sorted."""
        return sorted(f"{folder}/{p.stem}" for p in (self.root / folder).glob("*.npz"))

    @contextmanager
    def building(self, name: str) -> Iterator[None]:
        """Hold the right to build ``name``; other processes wait."""
        from filelock import FileLock

        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{bytes_address(name.encode())}.lock"):
            yield

    def size_bytes(self) -> int:
        """Bytes of all artifacts."""
        return sum(size for _, size, _ in self._files())

    def check(self) -> dict[str, int]:
        """Read every artifact: ``{"artifacts", "corrupt"}``. Corrupt ones are removed."""
        paths = [path for path, _, _ in self._files()]
        names = [p.relative_to(self.root).with_suffix("").as_posix() for p in paths]
        corrupt = sum(self._read(name) is None for name in names)
        return {"artifacts": len(names), "corrupt": corrupt}

    def _read(self, name: str, only: str | None = None) -> Artifact | None:
        path = self._path(name)
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                wanted = [only] if only else [key for key in file.files if key != META]
                arrays = {key: file[key] for key in wanted}
                return Artifact(arrays, json.loads(file[META].tobytes()))
        except FileNotFoundError:
            return None
        except (*CORRUPT, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            LOG.warning("artifact %s is corrupt (%s) and will be built again", name, error)
            path.unlink(missing_ok=True)
            return None

    def _path(self, name: str) -> Path:
        return self.root / f"{name}.npz"

    def _files(self) -> list[tuple[Path, int, float]]:
        """(path, bytes, last used) of every artifact, least recently used first."""
        found = []
        for path in self.root.rglob("*.npz"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((path, status.st_size, status.st_mtime))
        return sorted(found, key=lambda f: f[2])

    def _evict(self, keep: Path) -> None:
        files = self._files()
        excess = sum(size for _, size, _ in files) - self.limit_bytes
        for path, size, _ in files:
            if excess <= 0:
                break
            if path != keep:
                path.unlink(missing_ok=True)
                excess -= size
        for draft in self.root.rglob(".*.draft"):
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > ABANDONED_S:
                    draft.unlink()


def json_array(value: Any) -> np.ndarray:
    """A JSON value as a ``uint8`` array."""
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def from_json_array(array: np.ndarray) -> Any:
    """The inverse of :func:`json_array`."""
    return json.loads(array.tobytes())
