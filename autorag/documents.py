"""Documents: raw (as found), parsed (title and text), and how to find them.

``--docs`` is a folder of text files (.txt .md .rst .html .pdf), a folder holding ``corpus.jsonl``,
or any ``.jsonl`` of ``{"id", "title"?, "text"}`` lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from autorag.errors import DocumentsError
from autorag.hashing import address, bytes_address
from autorag.jsonl import encodable, read_objects

TEXT_FORMATS = (".txt", ".md", ".rst")
FORMATS = (*TEXT_FORMATS, ".html", ".htm", ".pdf")


@dataclass(frozen=True)
class RawDocument:
    """A document as found: ``raw`` bytes in a ``format`` (a suffix, or ``"record"``)."""

    id: str
    title: str
    raw: bytes
    format: str

    @cached_property
    def raw_hash(self) -> str:
        """Content hash of title and bytes."""
        return address([self.title, bytes_address(self.raw)])


@dataclass(frozen=True)
class Document:
    """A parsed document. The title is part of the embedded and lexical text of every chunk, but
    outside the character offsets of its span."""

    id: str
    title: str
    text: str

    @cached_property
    def content_hash(self) -> str:
        """Hash of title and text."""
        return address([self.title, self.text])


def load_documents(path: Path) -> list[RawDocument]:
    """Read the documents at ``path``, sorted by file name or in file order.

    Raises:
        DocumentsError: missing path, nothing to read, malformed line (with its number),
            duplicate or missing id.
    """
    if not path.exists():
        raise DocumentsError(f"no such file or folder: {path}", key="docs", value=str(path))
    jsonl = path / "corpus.jsonl" if path.is_dir() else path
    if jsonl.is_file() and jsonl.suffix == ".jsonl":
        documents = list(_records(jsonl))
    elif path.is_dir():
        documents = list(_files(path))
    elif path.suffix.lower() in FORMATS:
        documents = [_file(path, path.parent)]
    else:
        raise DocumentsError(
            f"{path}: not a folder, a .jsonl file or one of {', '.join(FORMATS)}",
            key="docs",
            value=str(path),
        )
    if not documents:
        looked = "lines" if jsonl.is_file() else ", ".join(FORMATS)
        raise DocumentsError(
            f"no documents in {path} (looked for {looked})", key="docs", value=str(path)
        )
    return documents


def _records(path: Path) -> Iterator[RawDocument]:
    first: dict[str, int] = {}
    for number, row in read_objects(path, DocumentsError):
        where = f"{path}:{number}"
        id_, text, title = row.get("id"), row.get("text"), row.get("title") or ""
        if not isinstance(id_, str) or not id_:
            raise DocumentsError(f"{where}: needs a non-empty string 'id'", key=where, value=id_)
        if not isinstance(text, str) or not isinstance(title, str):
            raise DocumentsError(f"{where}: 'text' and 'title' must be strings", key=where)
        if not encodable(id_ + title + text):
            raise DocumentsError(f"{where}: not valid Unicode (a lone surrogate)", key=where)
        if id_ in first:
            raise DocumentsError(
                f"{where}: duplicate document id {id_!r} (first on line {first[id_]})",
                key=where,
                value=id_,
            )
        first[id_] = number
        yield RawDocument(id_, title, text.encode(), "record")


def _files(folder: Path) -> Iterator[RawDocument]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path.suffix.lower() in FORMATS:
            yield _file(path, folder)


def _file(path: Path, root: Path) -> RawDocument:
    name = path.relative_to(root).as_posix()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DocumentsError(f"cannot read {path}: {error.strerror}", key=str(path)) from error
    return RawDocument(name, path.stem.replace("_", " "), raw, path.suffix.lower())


def document_from_json(row: dict[str, Any]) -> Document:
    """The inverse of :func:`document_to_json`."""
    return Document(row["id"], row["title"], row["text"])


def document_to_json(document: Document) -> dict[str, Any]:
    """``{"id", "title", "text"}``."""
    return {"id": document.id, "title": document.title, "text": document.text}
