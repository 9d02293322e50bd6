"""Paths that apps give: they lie in the data folder, and nothing leads out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from api.settings import Settings
from autorag.errors import InputError


def data_path(settings: Settings, given: str, key: str) -> Path:
    """The file or folder at a path below ``AUTORAG_DATA_DIR``; ``key`` names it in errors.

    Raises:
        InputError: there is no data folder, or nothing there; the path is absolute, has ``..`` in
            it, or leads over a symbolic link.
    """
    if settings.data_dir is None:
        raise _refused(given, key, "paths are taken only where AUTORAG_DATA_DIR is set")
    relative = PurePosixPath(given)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts or "\0" in given:
        raise _refused(given, key, "expected a path below the data folder, without '..'")
    path = settings.data_dir
    for part in relative.parts:
        path = path / part
        mode = _mode(path, given, key)
        if stat.S_ISLNK(mode):
            raise _refused(given, key, "leads over a symbolic link")
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise _refused(given, key, "is neither a file nor a folder")
    return path


def check_links(settings: Settings, path: Path, key: str) -> None:
    """Refuse a folder that holds a symbolic link out of the data folder. Links within it are how
    mounted volumes are made.

    Args:
        path: a result of :func:`data_path`; for a file, what lies beside it counts.
    """
    assert settings.data_dir is not None
    for folder, folders, files in os.walk(path if path.is_dir() else path.parent):
        for found in (Path(folder, name) for name in (*folders, *files)):
            if found.is_symlink() and not found.resolve().is_relative_to(settings.data_dir):
                shown = found.relative_to(settings.data_dir).as_posix()
                raise _refused(shown, key, "is a symbolic link out of the data folder")
        if not path.is_dir():
            return


def _mode(path: Path, given: str, key: str) -> int:
    try:
        return path.lstat().st_mode
    except (OSError, ValueError):
        raise _refused(given, key, "no such file or folder in the data folder") from None


def _refused(given: str, key: str, why: str) -> InputError:
    return InputError(f"{key} = {given!r}: {why}", key=key, value=given)
