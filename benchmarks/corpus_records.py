"""Readers of records: dictionaries, sayings, JSON, SQLite, law, descriptions of interfaces, code.

Like those of ``corpus_text``, each takes a file's name and bytes and yields documents; most find
many of them in one file.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import sqlite3
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from autorag.documents import Document
from benchmarks.corpus_text import html_text

CODE_LINES, CODE_COLUMNS = 120, 500
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_THEOREM = re.compile(
    r"\$\(\s(?P<said>(?:(?!\$\)).)*?)\$\)\s*(?P<label>[\w.-]+)\s+\$p\s+\|-\s(?P<it>.*?)\$=",
    re.DOTALL,
)
_GO_COMMENT = re.compile(r"^(?://.*\n)+(?=\w)", re.MULTILINE)
_BLOCK_COMMENT = re.compile(r"^[ \t]*/\*\*(?:.|\n)*?\*/[ \t]*\n", re.MULTILINE)
_HEADWORD = re.compile(r"\n(?=\S)")
_MARKS = re.compile(r"\s*\[(?:1913 Webster|PJC|WordNet[^]]*|{Jargon File})[^]]*\]")


def dictionary(name: str, raw: bytes) -> Iterator[Document]:
    """Entries of a dictd database: headwords at the margin, explanations indented."""
    entries: list[tuple[list[str], list[str]]] = []
    for line in raw.decode("utf-8", "replace").split("\n"):
        margin = bool(line[:1].strip())
        if margin and (not entries or any(entries[-1][1])):
            entries.append(([], []))
        if entries and margin:
            entries[-1][0].append(line)
        elif entries:
            entries[-1][1].append(line)
    for n, (heads, lines) in enumerate(entries):
        if not heads[0].startswith("00-database"):
            head = re.split(r"\s*\\|\s{2,}", heads[0])[0]
            yield Document(f"{head}#{n}", head, _entry(heads, lines))


def _entry(heads: Sequence[str], lines: Sequence[str]) -> str:
    body = _MARKS.sub("", textwrap.dedent("\n".join(lines)))
    spelled = " ".join(heads) if len(heads) > 1 or "\\" in heads[0] else ""
    return re.sub(r"[{}]", "", f"{spelled}\n{body}")


def sayings(
    name: str, raw: bytes, separator: str = "%", titled: bool = False
) -> Iterator[Document]:
    """Texts between lines of ``separator``; if ``titled``, the first line of each is its title."""
    source = raw.decode("utf-8", "replace")
    if titled:
        source = re.sub(r"(?m)^#.*\n", "", source)
    for n, saying in enumerate(re.split(rf"(?m)^{re.escape(separator)}[ \t]*$", source)):
        title, body = "", textwrap.dedent(saying.expandtabs(4)).strip("\n")
        if titled:
            title, _, body = body.strip().partition("\n")
        yield Document(f"{PurePosixPath(name).name}#{n}", title, body.strip())


def records(
    name: str, raw: bytes, at: str = "", title: str = "", text: Sequence[str] = ()
) -> Iterator[Document]:
    """Objects of a JSON file: the list that is its member ``at``, or the file itself; what stands
    at the dotted paths ``text`` is their prose."""
    found = json.loads(raw)
    found = found[at] if at else found
    for n, row in enumerate(found if isinstance(found, list) else [found]):
        body = "\n".join(filter(None, (prose(_field(row, path)) for path in text)))
        body = re.sub(r"!\[[^]]*\]\([^)]*\)|^#+ .*$", "", body, flags=re.MULTILINE)
        yield Document(f"{name}#{n}", prose(row.get(title, "")), body)


def _field(row: Any, path: str) -> Any:
    """What stands at a dotted path, in each element of the lists on the way."""
    if not path:
        return row
    if isinstance(row, list):
        return [_field(element, path) for element in row]
    key, _, rest = path.partition(".")
    return _field(row[key], rest) if isinstance(row, dict) and key in row else None


def prose(value: Any) -> str:
    """A JSON value as lines of text: attributes, numbers and nulls are left out, keys are labels
    unless they only say that a text follows, Arabic vowel signs and direction marks go."""
    if isinstance(value, str):
        value = re.sub("[\u064b-\u0652\u0670\u200e\u200f]", "", value)
        return "\n".join(" ".join(line.split()) for line in value.split("\n")).strip()
    if isinstance(value, list):
        return "\n\n".join(filter(None, map(prose, value)))
    if not isinstance(value, dict):
        return ""
    lines = []
    for key, inner in value.items():
        said = "" if key.startswith(("@", "attr")) else prose(inner)
        label = "" if re.search(r"[#:]|^(text|description|\w)$", key, re.I) else f"{key}: "
        lines += [f"{label.replace('_', ' ')}{said}"] if said else []
    return "\n\n".join(lines)


def factbook(name: str, raw: bytes) -> Iterator[Document]:
    """A document for each chapter about each country."""
    chapters = json.loads(raw)
    named = chapters.get("Government", {}).get("Country name", {})
    country = prose(named.get("conventional short form")) or PurePosixPath(name).stem
    for chapter, content in chapters.items():
        yield Document(f"{name}#{chapter}", f"{country}: {chapter}", prose(content))


def weaknesses(name: str, raw: bytes) -> Iterator[Document]:
    """Entries of the Common Weakness Enumeration."""
    fields = ("Description", "Extended_Description", "Potential_Mitigations", "Observed_Examples")
    for number, row in json.loads(raw).items():
        body = "\n".join(filter(None, (prose(row.get(field)) for field in fields)))
        title = row.get("attr", {}).get("@_Name", "")
        yield Document(f"CWE-{number}", title, body)


def articles(name: str, raw: bytes) -> Iterator[Document]:
    """Articles of a French code, titled by number and the innermost section."""

    def walk(node: dict[str, Any], section: str) -> Iterator[Document]:
        data = node["data"]
        if node["type"] == "article":
            markup = data.get("texteHtml") or data.get("texte") or ""
            yield Document(data["id"], f"{data.get('num', '')} {section}", html_text(markup))
        for child in node.get("children", ()):
            yield from walk(child, data.get("title") or section)

    yield from walk(json.loads(raw), "")


def leaflets(name: str, raw: bytes) -> Iterator[Document]:
    """Leaflets of the French administration: the text of their introduction and chapters."""
    page = json.loads(raw)["children"][0]
    children = {child.get("name"): child for child in page["children"]}
    title = _inner(children.get("dc:title"))
    wanted = ("Introduction", "Texte", "ListeSituations")
    blocks = [b for key in wanted for b in _blocks(children.get(key))]
    yield Document(name, title, "\n".join(blocks))


def _blocks(node: dict[str, Any] | None) -> Iterator[str]:
    """Paragraphs and titles below a node, each a line."""
    if node is None:
        return
    if node.get("name") in ("Paragraphe", "Titre", "Cellule"):
        yield _inner(node)
    else:
        for child in node.get("children", ()):
            yield from _blocks(child)


def _inner(node: dict[str, Any] | None) -> str:
    """Everything said inside a node, on one line."""
    if node is None:
        return ""
    pieces = [node.get("text") or "", *map(_inner, node.get("children", ()))]
    return " ".join(" ".join(pieces).split())


def operations(name: str, raw: bytes) -> Iterator[Document]:
    """Operations of a web service from its botocore description, with their input's members."""
    service = json.loads(raw)
    shapes = service["shapes"]
    label = service["metadata"].get("serviceId", name)
    for operation, row in service["operations"].items():
        lines = [html_text(row.get("documentation", ""))]
        members = shapes.get(row.get("input", {}).get("shape"), {}).get("members", {})
        for member, about in members.items():
            lines.append(f"{member}: {html_text(about.get('documentation', ''))}")
        yield Document(f"{label}.{operation}", f"{label} {operation}", "\n".join(lines))


def theorems(name: str, raw: bytes) -> Iterator[Document]:
    """Theorems of a Metamath database: what is said about them, and their statement."""
    pattern = (
        r"\$\(\s(?P<said>(?:(?!\$\)).)*?)\$\)\s*(?P<label>[\w.-]+)\s+\$p\s+\|-\s(?P<it>.*?)\$="
    )
    for match in re.finditer(pattern, raw.decode("ascii", "replace"), re.DOTALL):
        said = re.sub(r"\((?:Contributed|Revised|Proof|New|Proposed)[^()]*\)", "", match["said"])
        said = re.sub(r"~\s+(\S+)", r"\1", " ".join(said.split()))
        said = re.sub(r"`\s*(.*?)\s*`", r"\1", said)
        statement = " ".join(match["it"].split())
        yield Document(match["label"], match["label"], f"{said.strip()}\n{statement}")


def rows(name: str, raw: bytes, query: str = "") -> Iterator[Document]:
    """Rows ``(id, title, text)`` that a query finds in a SQLite database."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(raw)
        for id_, title, body in connection.execute(query):
            yield Document(str(id_), str(title), str(body))
    finally:
        connection.close()


def functions(name: str, raw: bytes) -> Iterator[Document]:
    """Python functions with a docstring, and the docstrings of classes."""
    source = raw.decode("utf-8", "replace")
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for path, node in _definitions(tree, ""):
        said = ast.get_docstring(node)
        if said:
            heading = f"class {node.name}:\n{said}"
            text = heading if isinstance(node, ast.ClassDef) else _source(source, node)
            yield Document(f"{name}#{path}", path, text)


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    """Functions and classes, also those inside classes, with their dotted paths."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield f"{prefix}{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from _definitions(child, f"{prefix}{child.name}.")


def _source(source: str, node: Definition) -> str:
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    lines = source.split("\n")[first - 1 : node.end_lineno]
    return textwrap.dedent("\n".join(lines[:CODE_LINES]))


def declarations(name: str, raw: bytes) -> Iterator[Document]:
    """Declarations with the comment above them, in languages of the C family: ``//`` lines at the
    margin (Go), else ``/** … */`` blocks. Each ends where the next comment of its kind begins."""
    source = raw.decode("utf-8", "replace").replace("\r\n", "\n")
    pattern = (
        r"^(?://.*\n)+(?=\w)" if name.endswith(".go") else r"^[ \t]*/\*\*(?:.|\n)*?\*/[ \t]*\n"
    )
    found = list(re.finditer(pattern, source, re.MULTILINE))
    for match, following in itertools.zip_longest(found, found[1:]):
        end = following.start() if following else len(source)
        code = textwrap.dedent(source[match.start() : end]).strip("\n")
        declared = source[match.end() : end].strip().split("\n")[0].strip(" {(")
        if declared and not re.search(r"(?i)copyright|licen[sc]e|go:build|@package", match[0]):
            lines = [line for line in code.split("\n") if len(line) <= CODE_COLUMNS]
            whole = "\n".join(lines[:CODE_LINES])
            yield Document(f"{name}#{source.count(chr(10), 0, match.end())}", declared, whole)


RECORD_READERS: dict[str, Callable[..., Iterator[Document]]] = {
    f.__name__: f
    for f in (
        dictionary, sayings, records, factbook, weaknesses, articles, leaflets, operations,
        theorems, rows, functions, declarations,
    )
}  # fmt: skip
