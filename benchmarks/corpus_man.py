"""Manual pages without groff: the man(7) macros taken off, paragraphs filled again.

Covers what pages use in practice: headings, paragraphs, tagged lists, font macros, examples, tables
and the common escapes. Conditionals and definitions only steer a typesetter: they are left out.
Pages in the mdoc(7) language and aliases (``.so``) give nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

from autorag.documents import Document

_CHARACTERS = {
    "-": "-", "e": "\\", "E": "\\", " ": " ", "0": " ", "~": " ", "t": "\t", ".": ".", "rs": "\\",
    "'": "'", "`": "`", "(aq": "'", "(dq": '"', "(cq": "’", "(oq": "‘", "(lq": "“", "(rq": "”",
    "(bu": "•", "(em": "—", "(en": "–", "(hy": "-", "(mi": "-", "(co": "©", "(ha": "^", "(ti": "~",
    "(ga": "`", "(rs": "\\", "(mu": "×", "(->": "→", "(<=": "≤", "(>=": "≥", "(+-": "±", "(Fo": "«",
    "(Fc": "»", "(bq": "„", "(lB": "[", "(rB": "]", "(lC": "{", "(rC": "}", "(ba": "|", "(or": "|",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:(?P<drop>f(?:\[[^]]*\]|\(..|.)|F(?:\[[^]]*\]|\(..|.)|m(?:\[[^]]*\]|\(..|.)"
    r"|s(?:\[[^]]*\]|'[^']*'|[-+]?\d\d?|\(\d\d)|n[+-]?(?:\[[^]]*\]|\(..|.)|k.|z"
    r"|[hvwlLDoXZxbR]'[^']*'|[&/,|^:%cdu)p{}!?])"
    r"|\*(?P<string>\[[^]]*\]|\(..|.)|\[(?P<name>[^]]*)\]|(?P<two>\(..)|(?P<one>.))"
)
_STRINGS = {"lq": "“", "rq": "”", 'L"': "“", 'R"': "”", "C+": "C++", "R": "®", "Aq": "'"}
_FONTS = {"B": " ", "I": " ", "SM": " ", "SB": " ", "R": " ", "CW": " "} | dict.fromkeys(
    ("BR", "RB", "IR", "RI", "BI", "IB"), ""
)
_BREAKS = {"PP", "P", "LP", "HP", "br", "sp", "RS", "RE", "TQ", "Sp", "EX", "EE", "nf", "fi", "Vb"}
_REPEATED = re.compile(
    r"^\.SH\s+\"?(?:COPYRIGHT|COLOPHON|REPORTING BUGS|著作権|この文書について|バグ報告)\"?[ \t]*$"
    r".*?(?=^\.SH|\Z)",
    re.MULTILINE | re.DOTALL,
)
"""Sections that say the same on every page of a project."""
_WIDE = re.compile(r"[\u3000-\u9fff\uff00-\uffef]")


def man(name: str, raw: bytes) -> Iterator[Document]:
    """One document a page, titled like ``open(2)``."""
    page = PurePosixPath(name)
    text = man_text(raw.decode("utf-8", "replace"))
    if text:
        yield Document(name, f"{page.stem}({page.suffix[1:]})", text)


def man_text(source: str) -> str:
    """The text of a page; empty if it is not one of man(7)."""
    heading = re.search(r"^\.\s*TH\b.*\n", source, re.MULTILINE)
    if not heading:
        return ""
    body = source[heading.end() :]
    lines = _filled(_lines(_kept(_REPEATED.sub("", body))))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _kept(body: str) -> Iterator[str]:
    """Lines without comments, definitions and conditionals (with the blocks they open)."""
    depth, defining = 0, False
    for line in body.replace("\\\n", "").split("\n"):
        line = re.sub(r"\\[\"#].*", "", line) if '\\"' in line or "\\#" in line else line
        opened, closed = line.count("\\{"), line.count("\\}")
        conditional = re.match(r"[.']\s*(if|ie|el|while)\b", line)
        if defining:
            defining = line.rstrip() != ".."
        elif re.match(r"[.']\s*(de|de1|am|ig)\b", line):
            defining = True
        elif depth or conditional:
            depth = max(0, depth + opened - closed)
        elif line.strip() not in (".", "'"):
            yield line


def _lines(source: Iterator[str]) -> Iterator[tuple[str, bool]]:
    """``(text, starts a new line)`` of everything printed; an empty new line is a paragraph."""
    verbatim, tag, joined = False, False, False
    for line in source:
        macro, arguments = _macro(line)
        if macro == "TS":
            yield from ((row, True) for row in _table(source))
        elif macro in ("SH", "SS"):
            title = " ".join(arguments) or next(source, "")
            yield from (("", True), (plain(title), True), ("", True))
            joined = False
        elif macro in ("TP", "IP") or macro in _BREAKS:
            if macro != "br":
                yield "", True
            verbatim = macro in ("nf", "EX", "Vb") or (verbatim and macro not in ("fi", "EE"))
            tag = macro == "TP"
            joined = False
            if macro == "IP" and arguments:
                yield plain(arguments[0]), True
        elif macro is None or macro in _FONTS or macro in ("UR", "MT"):
            text = plain(line if macro is None else _FONTS.get(macro, " ").join(arguments))
            if text.strip() or verbatim:
                yield text, verbatim or not joined or (macro is None and line[:1] == " ")
                joined, tag = not tag, False
            elif macro is None:
                yield "", True
                joined = False


def _macro(line: str) -> tuple[str | None, list[str]]:
    """A request's name and arguments; None for a line of text."""
    match = re.match(r"[.']\s*(\\?[A-Za-z]\w*)\s*(.*)", line)
    if not match:
        return (None, []) if line[:1] != "." else ("", [])
    return match[1], [a.replace('""', '"') for a in _arguments(match[2])]


def _arguments(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.quotes, lexer.escape, lexer.commenters = True, '"', "", ""
    try:
        return list(lexer)
    except ValueError:  # an unclosed quote
        return text.replace('"', "").split()


def _table(source: Iterator[str]) -> Iterator[str]:
    """Rows of a tbl(1) table, cells separated by tabs; the format section is left out."""
    formatted, separator = False, "\t"
    for line in source:
        if re.match(r"\.\s*TE\b", line):
            break
        if not formatted:
            given = re.search(r"\btab\s*\((.)\)", line)
            separator = given[1] if given else separator
            formatted = line.rstrip().endswith(".")
        elif not re.match(r"[.']|[_=]$", line):
            row = plain(re.sub(r"T[{}]", "", line)).replace(separator, "\t").strip()
            if row:
                yield row
    yield ""


def plain(text: str) -> str:
    """Text with its escapes resolved."""
    return _ESCAPE.sub(_resolved, text)


def _resolved(match: re.Match[str]) -> str:
    if match["string"]:
        return _STRINGS.get(match["string"].strip("[("), "")
    if match["name"] is not None:
        name = match["name"]
        if re.fullmatch(r"u[0-9A-F]{4,6}", name):
            return chr(int(name[1:], 16))
        return _CHARACTERS.get("(" + name, "")
    return _CHARACTERS.get(match["two"] or match["one"] or "", "")


def _filled(pieces: Iterator[tuple[str, bool]]) -> Iterator[str]:
    """Lines: text that does not start a new one is joined to the one before."""
    line: str | None = None
    for text, starts in pieces:
        if line is None:
            line = text
        elif starts:
            yield line.rstrip()
            line = text
        else:
            wide = _WIDE.match(text.lstrip()[:1]) and _WIDE.search(line.rstrip()[-1:])
            line = f"{line.rstrip()}{'' if wide else ' '}{text.lstrip()}"
    if line is not None:
        yield line.rstrip()
