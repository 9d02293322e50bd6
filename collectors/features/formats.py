"""Format of documents: what their lines look like. Heuristics, weighted by characters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, get_args

Format = Literal["prose", "table", "code", "markup", "list"]
FORMATS: tuple[Format, ...] = get_args(Format)

CODE_SYMBOLS = 0.12
"""Share of symbols of programming among a line's characters from which it is code; half as many
will do when it is indented or ends as code does."""

_COMMAND = re.compile(r"`[^`]+`$|(?:>>>|\.\.\.|\$) \S|```")
_STATEMENT = re.compile(
    r"(?:def|class) \w+.*:$|(?:if|elif|while) .+:$|(?:async )?(?:for|with) .+ (?:in|as) .+:$"
    r"|(?:else|try|finally):$|except\b.*:$|(?:return|raise|yield) \S+$|(?:break|continue|pass)$"
    r"|import [\w.]+(?: as \w+)?;?$|from [\w.]+ import |#include\b|(?:package|using) [\w.:]+;$"
    r"|(?:public|private|static|void|int|const|let|var|function|func|fn) .*[({=;]"
)
_SYMBOL = re.compile(r"[(){}\[\]=<>;_&|\\+*/:\"'`$@]")
_ENDINGS = (";", "{", "}", ")", "]", ",")
_TAG = re.compile(
    r"</?[a-zA-Z][^<>]*>|^#{1,6} |^\\[a-z]+\{|^={2,}[^=]+={2,}$|^\.\. |^([=\-~^*#])\1{3,}$"
)
_ITEM = re.compile(r"(?:[-*+•‣–] |\(?(?:\d{1,3}|[a-zA-Z])[.)] )\S")
_RULE = re.compile(r"\+[-=+]+\+$|=+ +=[= ]*$")


def line_format(line: str) -> Format:
    """The format of one line that is not blank: the first that fits."""
    text = line.strip()
    if _COMMAND.match(text) or _STATEMENT.match(text):
        return "code"
    if _is_row(text):
        return "table"
    if _TAG.search(line.rstrip()):
        return "markup"
    if _ITEM.match(text):
        return "list"
    return "code" if _has_symbols(line, text) else "prose"


def format_mix(texts: Iterable[str]) -> dict[Format, float] | None:
    """Share of characters by format of their line, adding up to 1; None without any."""
    characters = dict.fromkeys(FORMATS, 0)
    for text in texts:
        for line in text.splitlines():
            if line and not line.isspace():
                characters[line_format(line)] += len(line.strip())
    total = sum(characters.values())
    return {name: n / total for name, n in characters.items()} if total else None


def _is_row(text: str) -> bool:
    return text.count("|") >= 2 or text.count("\t") >= 2 or _RULE.match(text) is not None


def _has_symbols(line: str, text: str) -> bool:
    likely = line.startswith(("    ", "\t")) or text.endswith(_ENDINGS)
    least = CODE_SYMBOLS / 2 if likely else CODE_SYMBOLS
    return len(_SYMBOL.findall(text)) >= least * len(text)
