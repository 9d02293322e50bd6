"""Reading option values; every error names the option and the value."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autorag.errors import ConfigError, InputError

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def parse_duration(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``10m``, ``1h30m``; ``none`` is infinite.

    Raises:
        InputError: not a duration above 0.
    """
    if text.strip().lower() == "none":
        return math.inf
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = 0.0
    if match is not None:
        hours, minutes, rest = (float(g) if g else 0.0 for g in match.groups())
        seconds = hours * 3600 + minutes * 60 + rest
    if seconds <= 0:
        raise InputError(
            f"--budget {text!r}: expected a duration such as 90s, 10m or 1h30m",
            key="budget",
            value=text,
        )
    return seconds


def parse_sets(pairs: Sequence[str]) -> dict[str, Any]:
    """Knob values of ``--set knob=value``; values are JSON where they parse as such.

    Raises:
        ConfigError: no ``=``, or a knob set twice.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        knob, equals, text = pair.partition("=")
        knob = knob.strip()
        if not equals or not knob:
            raise ConfigError(f"--set {pair!r}: expected knob=value", key="set", value=pair)
        if knob in values:
            raise ConfigError(f"--set {knob}: given twice", key=knob, value=text)
        values[knob] = _value(text.strip())
    return values


def read_config(path: Path | None) -> dict[str, Any]:
    """The flat object of a config file; empty without one.

    Accepts what any command prints as ``config``, also as a member of its object.

    Raises:
        ConfigError: missing file, malformed JSON, not an object.
    """
    if path is None:
        return {}
    value = _read_object(path, "config")
    nested = value.get("config")
    return nested if isinstance(nested, dict) else value


def read_space(path: Path | None) -> dict[str, Any] | None:
    """The declaration of a space; None without one. See :mod:`autorag.space.declared`.

    Raises:
        ConfigError: missing file, malformed JSON, not an object.
    """
    return None if path is None else _read_object(path, "space")


def check_report(path: Path, option: str = "report") -> Path:
    """The path, given by this option, when a report can be written there.

    Raises:
        InputError: it is a folder, or its folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        why = "is a folder" if path.is_dir() else ""
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
    if not why and not os.access(path.parent, os.W_OK):
        why = "cannot be written"
    if why:
        raise InputError(f"--{option} {path}: {why}", key=option, value=str(path))
    return path


def check_model_folder(path: Path) -> str:
    """The path of a local model.

    Raises:
        InputError: no ``config.json`` in it.
    """
    if not (path / "config.json").is_file():
        raise InputError(
            f"--cross-encoder {path}: no config.json there", key="cross-encoder", value=str(path)
        )
    return str(path)


def _read_object(path: Path, option: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"--{option} {path}: {error.strerror}", key=option, value=str(path)
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"--{option} {path}: malformed JSON ({error})", key=option, value=str(path)
        ) from error
    if not isinstance(value, dict):
        raise ConfigError(f"--{option} {path}: expected an object", key=option, value=str(path))
    return value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
