"""Settings as source text to paste into an app made with LangChain, LlamaIndex or Haystack.

A snippet is a dictionary ``CONFIG`` and small functions that hand its values to the framework. Only
what the settings name is there: an app may have declared some of the knobs, and knobs of its own,
which are in ``CONFIG`` alone. Names of the reference pipeline mean what they mean there. Functions
read ``CONFIG`` when they are called and import their framework then.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from string import Template
from typing import Any, Literal, get_args

from api.snippets import haystack, langchain, llamaindex
from api.snippets.knobs import Knobs, comment
from autorag.errors import InputError

Format = Literal["langchain", "llamaindex", "haystack"]
FORMATS: tuple[Format, ...] = get_args(Format)

_FUNCTIONS = {
    "langchain": langchain.functions,
    "llamaindex": llamaindex.functions,
    "haystack": haystack.functions,
}
_NAMES: dict[Format, str] = {
    "langchain": "LangChain",
    "llamaindex": "LlamaIndex",
    "haystack": "Haystack",
}


def snippet(format: Format, settings: Mapping[str, Any], title: str) -> str:  # noqa: A002
    """Python source text that applies ``settings``; its first line is the comment ``title``.

    Raises:
        InputError: an unknown format, or a setting that cannot be written down.
    """
    if format not in FORMATS:
        raise InputError(
            f"unknown format {format!r}: say {', '.join(FORMATS)}", key="format", value=format
        )
    head = _HEAD.substitute(title=comment(title), framework=_NAMES[format])
    blocks = [head + _config(settings), *_FUNCTIONS[format](Knobs(settings))]
    return "\n\n\n".join(block.strip("\n") for block in blocks) + "\n"


def _config(settings: Mapping[str, Any]) -> str:
    lines = [f"    {_text(name)}: {_literal(name, settings[name])},\n" for name in sorted(settings)]
    return f"CONFIG = {{\n{''.join(lines)}}}" if lines else "CONFIG = {}"


def _literal(name: str, value: Any) -> str:
    """A value as source text that evaluates to it and does nothing else."""
    if isinstance(value, str):
        return _text(value)
    try:
        text = repr(value)
        same = ast.literal_eval(text) == value
    except (ValueError, SyntaxError):
        same = False
    if not same:
        raise InputError(f"{name}: cannot be written down", key=name, value=value)
    return text


def _text(text: str) -> str:
    """What JSON escapes in ASCII, Python reads the same."""
    return json.dumps(text) if text.isascii() else repr(text)


_HEAD = Template("""
# $title
# For $framework. The functions read CONFIG when called, so that CONFIG.update(...) is enough for
# new values of the same knobs.
""")
