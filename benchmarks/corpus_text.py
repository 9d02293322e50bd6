"""Readers of prose: text, marked-up text cut at headings, web pages, manual pages, mail.

A reader takes a file's name in its package and its bytes, and yields documents whose text reads
like text: markup, navigation and signatures are taken off, sentences stay whole.
"""

from __future__ import annotations

import codecs
import email
import email.header
import re
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import PurePosixPath

from autorag.documents import Document, RawDocument
from autorag.pipeline.parse import parse
from benchmarks.corpus_man import man

INLINE = (
    "a", "abbr", "acronym", "b", "big", "bdi", "bdo", "cite", "code", "dfn", "em", "font", "i",
    "kbd", "label", "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "tt", "u",
    "var", "wbr",
)  # fmt: skip
PART_WORDS = 400

_MARKDOWN_HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.*?)[ \t]*#*$", re.MULTILINE)
_RST_HEADING = re.compile(
    r"^(?:([=\-~^\"'*+#.:`_])\1{2,}[ \t]*\n)?[ \t]*(\S[^\n]*)\n([=\-~^\"'*+#.:`_])\3{2,}[ \t]*$",
    re.MULTILINE,
)
_SITE = re.compile(r"\s+[-—|]\s+[^-—|]*(?:documentation|\.com)$")
_RST_SKIPPED = re.compile(
    r"^([ \t]*)\.\. (?:toctree|index|image|figure|contents|meta|raw|only|graphviz|include|plot|"
    r"currentmodule|module|highlight|default-domain|autosummary|auto\w+|tabularcolumns|_)"
    r"[^\n]*(?:\n(?:\1[ \t]+[^\n]*|[ \t]*(?=\n\1[ \t])))*",
    re.MULTILINE,
)


def text(name: str, raw: bytes) -> Iterator[Document]:
    """A file is a document."""
    yield Document(name, _stem(name), _decoded(raw))


def parts(name: str, raw: bytes) -> Iterator[Document]:
    """A file is cut between paragraphs into documents of about PART_WORDS words."""
    whole, title = _decoded(raw), _stem(name)
    if name.endswith(".md"):
        heading = _MARKDOWN_HEADING.search(whole)
        whole, title = _unmarked(whole), _unmarked(heading[2]) if heading else title
    gathered: list[str] = []
    for n, paragraph in enumerate([*re.split(r"\n\s*\n", whole), None]):
        if gathered and (paragraph is None or len(" ".join(gathered).split()) >= PART_WORDS):
            yield Document(f"{name}#{n}", title, "\n\n".join(gathered))
            gathered = []
        if paragraph and paragraph.strip():
            gathered.append(paragraph.strip())


def brown(name: str, raw: bytes) -> Iterator[Document]:
    """``word/tag`` text, the tags taken off."""
    words = re.sub(r"(\S+)/[^\s/]+", r"\1", _decoded(raw))
    words = re.sub(r"``\s*|\s*''", '"', words)
    words = re.sub(r"[ \t]+([.,;:?!)])", r"\1", words).replace("( ", "(")
    lines = [" ".join(line.split()) for line in words.split("\n")]
    whole = re.sub(r"([.,;:?!])\1+", r"\1", "\n".join(line for line in lines if line))
    yield Document(name, "", whole)


def markdown(name: str, raw: bytes) -> Iterator[Document]:
    """A document for each section of a Markdown file (also with JSX in it)."""
    source = _decoded(raw)
    front = re.match(r"---\n(.*?)\n---\n", source, re.DOTALL)
    stated = re.search(r"^title:\s*[\"']?(.*?)[\"']?$", front[1], re.MULTILINE) if front else None
    body = source[front.end() :] if front else source
    yield from _sections(name, stated[1] if stated else "", _fenced(body), _markdown_sections)


def rst(name: str, raw: bytes) -> Iterator[Document]:
    """A document for each section of a reStructuredText file."""
    yield from _sections(name, "", _RST_SKIPPED.sub("", _decoded(raw)), _rst_sections)


def html(name: str, raw: bytes, main: str = "body", drop: str = "") -> Iterator[Document]:
    """A page is a document: what the selector ``main`` finds, without what ``drop`` finds."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_decoded(raw))
    titled = tree.css_first("title")
    title = titled.text(strip=True) if titled is not None else _stem(name)
    for node in tree.css(drop) if drop else []:
        node.decompose()
    content = tree.css_first(main)
    if content is None or not content.html:
        return
    yield Document(name, _SITE.sub("", title), html_text(content.html))


def html_text(markup: str) -> str:
    """Text of markup by AutoRAG's parser, words inside a line kept together."""
    from selectolax.lexbor import LexborHTMLParser

    markup = re.sub(r"(?i)<pre\b.*?</pre>", _broken, markup, flags=re.DOTALL)
    tree = LexborHTMLParser(markup.replace('<span class="classifier">', ": <span>"))  # Sphinx
    tree.unwrap_tags(list(INLINE))
    whole = re.sub(r"[^\S\n]+", " ", re.sub(r"\s*\n\s*", " ", tree.html or ""))
    page = whole.replace("\N{SYMBOL FOR NEWLINE}", "\n").encode()
    return parse(RawDocument("page", "", page, ".html"))[1]


def _broken(pre: re.Match[str]) -> str:
    return pre[0].replace("\n", "\N{SYMBOL FOR NEWLINE}")


def mail(name: str, raw: bytes) -> Iterator[Document]:
    """A message is a document titled by its subject; signatures and list footers are cut off."""
    message = email.message_from_bytes(raw)
    subject = _header(message["Subject"])
    body = re.sub(r"\A\s*(?:(?:URL|Date): .*\s+)+", "", _body(message).replace("\r", ""))
    body = re.sub(r"^\S*/mailman/listinfo/\S*$", "", body, flags=re.MULTILINE)
    body = re.split(r"\n(?:-- ?|[_=\-*]{20,}.*)\n", "\n" + body)[0]
    yield Document(name, subject, re.sub(r"\n{3,}", "\n\n", body).strip())


def _header(value: object) -> str:
    decoded = (
        part if isinstance(part, str) else part.decode(_known(charset or "latin-1"), "replace")
        for part, charset in email.header.decode_header(str(value or ""))
    )
    return " ".join("".join(decoded).split())


def _body(message: Message) -> str:
    """The first plain part, or the first web page as text."""
    leaves = [part for part in message.walk() if part.get_content_maintype() == "text"]
    for subtype in ("plain", "html"):
        for part in leaves:
            if part.get_content_subtype() == subtype:
                payload = part.get_payload(decode=True)
                charset = _known(part.get_content_charset() or "latin-1")
                content = bytes(payload or b"").decode(charset, "replace")
                return html_text(content) if subtype == "html" else content
    return ""


def _known(charset: str) -> str:
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return "latin-1"


TEXT_READERS: dict[str, Callable[..., Iterator[Document]]] = {
    f.__name__: f for f in (text, parts, brown, markdown, rst, html, man, mail)
}


def _sections(
    name: str, page: str, source: str, split: Callable[[str], Iterator[tuple[str, str]]]
) -> Iterator[Document]:
    """Documents titled by page and section; the first heading names a page that has no title."""
    for n, (heading, body) in enumerate(split(source)):
        page = page or heading
        title = heading if heading in ("", page) else f"{page}: {heading}"
        yield Document(f"{name}#{n}", title or page or _stem(name), body)


def _fenced(source: str) -> str:
    """Code keeps its lines but not its fences, and no line of it looks like a heading."""

    def code(match: re.Match[str]) -> str:
        return re.sub(r"^", "    ", match[1], flags=re.MULTILINE)

    return re.sub(r"^[ \t]*```[^\n]*\n(.*?)^[ \t]*```", code, source, flags=re.M | re.S)


def _markdown_sections(source: str) -> Iterator[tuple[str, str]]:
    start, heading = 0, ""
    for match in [*_MARKDOWN_HEADING.finditer(source), None]:
        yield _unmarked(heading), _unmarked(source[start : match.start() if match else None])
        if match:
            start, heading = match.end(), match[2]


def _unmarked(markdown_text: str) -> str:
    for pattern, kept in (
        (r"<!--.*?-->", ""),
        (r"(?m)^(?:import|export) .*$", ""),
        (r"</?[A-Za-z][\w.]*(?:\s[^<>]*?)?/?>", ""),
        (r"!\[[^]]*\]\([^)]*\)", ""),
        (r"\[([^][]*)\]\([^()]*(?:\([^()]*\)[^()]*)*\)", r"\1"),
        (r"(?<![\w`])(\*\*|__)(?=\S)(.+?)(?<=\S)\1(?!\w)", r"\2"),
        (r"(?<![\w`*])([*_])(?=\S)([^*_]{1,400}?)(?<=\S)\1(?!\w)", r"\2"),
        (r"(?m)^[ \t]*>[ \t]?", ""),
        (r"`([^`\n]+)`", r"\1"),
        (r"\n\s*\n\s*\n+", "\n\n"),
    ):
        markdown_text = re.sub(pattern, kept, markdown_text, flags=re.DOTALL)
    return markdown_text.strip()


def _rst_sections(source: str) -> Iterator[tuple[str, str]]:
    start, heading = 0, ""
    for match in [*_RST_HEADING.finditer(source), None]:
        yield _rst_plain(heading), _rst_plain(source[start : match.start() if match else None])
        if match:
            start, heading = match.end(), match[2]


def _rst_plain(rst_text: str) -> str:
    for pattern, kept in (
        (r"(?m)^[ \t]*\.\. (?![\w:+.-]+::)[^\n]*$", ""),
        (r"(?m)^[ \t]*\.\. (?:code-block|code|sourcecode|parsed-literal)::[^\n]*$", ""),
        (r"(?m)^[ \t]*\.\. (versionadded|versionchanged|deprecated):: *", r"\1 "),
        (r"(?m)^([ \t]*)\.\. [\w:+.-]+:: *", r"\1"),
        (r"(?m)^[ \t]+:[\w-]+:(?=[ \t]|$)[^\n]*$", ""),
        (r":[\w:+.-]+:`~?!?([^`<]+?)\s*(?:<[^`>]*>)?`", r"\1"),
        (r"``(.+?)``", r"\1"),
        (r"`([^`<]+?)\s*(?:<[^`>]*>)?`_{0,2}", r"\1"),
        (r"(?<![\w*])(\*\*|\*)(?=\w)([^*\n]+?)(?<=[\w.,!?])\1(?![\w*])", r"\2"),
        (r"\|(\w[\w -]*)\|", r"\1"),
        (r"::(?=[ \t]*$)(?m:)", ":"),
        (r"\n\s*\n\s*\n+", "\n\n"),
    ):
        rst_text = re.sub(pattern, kept, rst_text, flags=re.MULTILINE)
    return rst_text.strip()


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.replace("_", " ").replace("-", " ")
