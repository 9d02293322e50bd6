"""JSON Lines with errors that name the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autorag.errors import InputError


def read_objects(path: Path, error: type[InputError]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line number from 1, object)``; blank lines are skipped.

    Raises:
        error: unreadable file, malformed line, or a line that is no object.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _object(line, f"{path}:{number}", error)
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror}", key=str(path)) from problem
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8 ({problem.reason})", key=str(path)) from problem


def encodable(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON escapes can spell lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(line: str, where: str, error: type[InputError]) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as problem:
        why = getattr(problem, "msg", problem)
        raise error(f"{where}: malformed JSON ({why})", key=where) from problem
    if not isinstance(row, dict):
        raise error(f"{where}: expected an object, got {type(row).__name__}", key=where)
    return row
