"""Deleting what nobody used for long, from folders that the processes of a home share."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path


def clear_unused(folder: Path, unused_s: float) -> None:
    """Delete the files and folders in it that were last written or touched so long ago. What cannot
    be deleted stays: another process may be just doing it."""
    for path in unused(folder, unused_s):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def unused(folder: Path, unused_s: float) -> list[Path]:
    """What in a folder was last written or touched so long ago, in seconds."""
    before, found = time.time() - unused_s, []
    for path in folder.glob("*"):
        try:
            if path.lstat().st_mtime < before:
                found.append(path)
        except OSError:
            continue
    return found
